"""Images and masks at the size of a screen."""

import base64
import io
from dataclasses import dataclass

import numpy as np
import PIL.Image
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

from maskgrid import rle

_GREY = 128


@dataclass(frozen=True, slots=True)
class Thumbnail:
    """The size at which an image is shown, and the pixels of the image that its masks are read at."""

    size_hw: tuple[int, int]
    shown_hw: tuple[int, int]

    @classmethod
    def fit(cls, size_hw: tuple[int, int], max_side: int) -> "Thumbnail":
        """The largest size within ``max_side`` that is not larger than the image."""
        shrink = min(1.0, max_side / max(size_hw))
        height, width = (max(1, round(side * shrink)) for side in size_hw)
        return cls(size_hw, (height, width))

    def pixels(self, image: NDArray[np.uint8] | None) -> NDArray[np.uint8]:
        """The image at the size shown; grey where there is none."""
        if image is None:
            return np.full((*self.shown_hw, 3), _GREY, np.uint8)
        height, width = self.shown_hw
        picture = PIL.Image.fromarray(image)
        return np.asarray(picture.resize((width, height), PIL.Image.Resampling.BOX) if self._shrinks else picture)

    def counts(self, counts: bytes) -> bytes:
        """The run-length code of a mask at the size shown: its value in the middle of each pixel shown.

        Works on the runs alone: the place of a run's end among the pixels that are looked at is its end there.
        """
        if not self._shrinks:
            return counts
        height, width = self.shown_hw
        rows, columns = _middles(self.size_hw[0], height), _middles(self.size_hw[1], width)
        ends = np.cumsum(rle.run_lengths(counts))[:-1]
        column, row = np.divmod(ends, self.size_hw[0])
        whole_columns = np.searchsorted(columns, column)
        is_looked_at = columns[np.minimum(whole_columns, width - 1)] == column
        ends_shown = whole_columns * height + np.where(is_looked_at, np.searchsorted(rows, row), 0)
        # Two ends in one place take each other back.
        places, times = np.unique(ends_shown, return_counts=True)
        places = places[(times % 2 == 1) & (places < height * width)]
        runs = np.diff(places, prepend=0, append=height * width)
        code = coco_mask.frPyObjects({"size": [height, width], "counts": runs.tolist()}, height, width)
        shown: bytes = code["counts"]
        return shown

    @property
    def _shrinks(self) -> bool:
        return self.shown_hw != self.size_hw


def jpeg(pixels: NDArray[np.uint8], quality: int = 80, comment: str = "") -> bytes:
    """Encode as JPEG, with a comment where one is given; the same pixels give the same bytes."""
    stream = io.BytesIO()
    PIL.Image.fromarray(pixels).save(stream, "JPEG", quality=quality, optimize=True, comment=comment.encode())
    return stream.getvalue()


def data_uri(content: bytes, kind: str = "image/jpeg") -> str:
    """Content as the address of an image, so that a page needs no second file."""
    return f"data:{kind};base64,{base64.b64encode(content).decode('ascii')}"


def _middles(n: int, n_shown: int) -> NDArray[np.int64]:
    """The pixel of n under the middle of each pixel shown."""
    return ((np.arange(n_shown) * 2 + 1) * n) // (2 * n_shown)
