"""Show how far a pass is: by images, or by tiles, of which an image may have thousands."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from maskgrid.dataset.tables import IndexedImage
from maskgrid.io.progress import counted, shown
from maskgrid.plan.passes import Pass
from maskgrid.plan.tiles import n_tiles

Part = TypeVar("Part")


class CropProgress:
    """The progress of one pass over some images."""

    def __init__(self, images: Sequence[IndexedImage], pass_: Pass) -> None:
        """Start before the first image."""
        self.images, self.pass_ = images, pass_
        self._left = 0
        self._advance: Callable[[int], None] | None = None

    def shown(self, parts: Iterator[Part]) -> Iterator[Part]:
        """Yield what is found in each image, in order, and show the progress."""
        if self.pass_.tile_px is None:
            yield from shown(parts, len(self.images), self.pass_.name, "images")
            return
        each = [n_tiles((image.height, image.width), self.pass_.tile_px) for image in self.images]
        with counted(sum(each), self.pass_.name, "tiles") as self._advance:
            for self._left in each:
                part = next(parts)
                self._advance(self._left)  # an image that was not run now, or that failed
                yield part

    def count(self, n_tiles: int = 1) -> None:
        """Count more tiles of the image."""
        n_tiles = min(n_tiles, self._left)
        if self._advance is not None and n_tiles > 0:
            self._left -= n_tiles
            self._advance(n_tiles)
