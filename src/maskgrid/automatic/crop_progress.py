"""Show how far a pass is: by images, or by tiles, of which an image may have thousands."""

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from maskgrid.automatic.proposals import tile_boxes
from maskgrid.dataset.tables import IndexedImage
from maskgrid.io.errors import ImageTooLargeError
from maskgrid.io.progress import counted, shown
from maskgrid.plan.passes import Pass

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
        n_tiles = [_n_tiles(image, self.pass_.tile_px) for image in self.images]
        with counted(sum(n_tiles), self.pass_.name, "tiles") as self._advance:
            for self._left in n_tiles:
                part = next(parts)
                self._advance(self._left)  # an image that was not run now, or that failed
                yield part

    def count(self) -> None:
        """Count one more tile of the image."""
        if self._advance is not None and self._left > 0:
            self._left -= 1
            self._advance(1)


def _n_tiles(image: IndexedImage, tile_px: tuple[int, int]) -> int:
    try:
        return len(tile_boxes((image.height, image.width), *tile_px))
    except ImageTooLargeError:
        return 0
