"""For notebooks: a tracked video as a film with its masks on top."""

import base64
import io
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from maskgrid.dataset.pixels.images import ImageLike, rgb_pixels
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.masks.pictures import Pixels
from maskgrid.tracked.exports.overlay_video import RATE_HZ, as_rate, encode_mp4, painted
from maskgrid.tracked.propagation.tracker import Tracking
from maskgrid.tracked.records import TrackedMask

Shown = tuple[ImageLike, Sequence[TrackedMask]]


@dataclass(frozen=True, slots=True, repr=False)
class Film:
    """A film that a notebook shows if it is a cell's last line.

    Attributes:
        mp4: the file's content, H.264.
    """

    mp4: bytes

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the film to a file, which is replaced once complete."""
        write_bytes(Path(path), self.mp4)

    def _repr_html_(self) -> str:
        content = base64.b64encode(self.mp4).decode("ascii")
        return f'<video controls loop muted style="max-width: 100%" src="data:video/mp4;base64,{content}"></video>'

    def __repr__(self) -> str:
        """Say how large it is; the content is not text."""
        return f"Film({len(self.mp4):,} bytes of MP4)"


def show_video(video: Tracking | Iterable[Shown], rate_hz: float = RATE_HZ) -> Film:
    """Draw the masks of a tracked video over its frames, with the objects' ids; a notebook shows the film.

    An object has the same colour on all frames, as in :func:`maskgrid.show`.

    Args:
        video: what :func:`maskgrid.track` returns, which is tracked to its end now; or pairs in order, each a frame
            with its masks.
        rate_hz: frames a second.

    Raises:
        UserError: there is no frame, a frame or mask is of another size, or this build of PyAV cannot write H.264.
    """
    if not rate_hz > 0:
        raise UserError(f"rate_hz is {rate_hz!r}; give a number above 0")
    pictures = map(_painted, _in_order(video) if isinstance(video, Tracking) else video)
    first = next(pictures, None)
    if first is None:
        raise UserError("the video has no frame to show")
    size_hw, stream = (first.shape[0], first.shape[1]), io.BytesIO()
    encode_mp4(stream, _of_size(chain([first], pictures), size_hw), size_hw, as_rate(rate_hz))
    return Film(stream.getvalue())


def _in_order(tracking: Tracking) -> Iterator[Shown]:
    """Frames by their number: tracking in both directions gives them in another order."""
    for frame, masks in sorted(dict(tracking).items()):
        yield tracking.pixels(frame), masks


def _painted(shown: Shown) -> Pixels:
    image, masks = shown
    pixels = rgb_pixels(image)
    for mask in masks:
        if mask.size_hw != pixels.shape[:2]:
            sizes = " x ".join(map(str, mask.size_hw)), " x ".join(map(str, pixels.shape[:2]))
            raise UserError(f"the mask has {sizes[0]} pixels, but its frame {sizes[1]}")
    rows = [{"object_id": mask.object_id, "counts": mask.counts} for mask in masks if mask.area_px]
    return painted(pixels, rows)


def _of_size(pictures: Iterable[Pixels], size_hw: tuple[int, int]) -> Iterator[Pixels]:
    for number, picture in enumerate(pictures):
        if picture.shape[:2] != size_hw:
            sizes = " x ".join(map(str, picture.shape[:2])), " x ".join(map(str, size_hw))
            raise UserError(f"frame {number} has {sizes[0]} pixels, but the first {sizes[1]}")
        yield picture
