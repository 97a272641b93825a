"""True objects of an image."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from maskgrid import rle


@dataclass(frozen=True, slots=True)
class TrueObjects:
    """The objects that the annotations know in one image, g of them.

    Attributes:
        counts: COCO's compressed run-length codes.
        is_crowd: bool (g,); COCO's ``iscrowd``: a region of many objects, which is no object to find, and in which
            masks count neither for nor against a setting.
    """

    counts: tuple[bytes, ...]
    is_crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.counts)

    def areas_px(self, size_hw: tuple[int, int]) -> NDArray[np.int64]:
        """Pixels of each object: int64 (g,)."""
        return np.array([rle.area_px(counts, size_hw) for counts in self.counts], np.int64)
