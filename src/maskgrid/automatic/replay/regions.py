"""``min_mask_region_area`` as documented: remove small holes and islands of a mask, in image pixels.

SAM 1 did this with OpenCV after suppression. sam2 still has the code (``postprocess_small_regions``) but no longer
calls it; it smooths the decoder's 256 x 256 logits instead, on CUDA only. This module does what is documented, with the
same steps and connected components (``remove_small_regions``), one mask at a time.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates
from maskgrid.masks.rle import decode, encode, encode_window
from maskgrid.masks.windows import decode_window


@dataclass(frozen=True, slots=True)
class Region:
    """A redrawn mask.

    Attributes:
        counts: COCO's compressed run-length code.
        area_px: pixels of the mask.
        box_xyxy: int32 (4,), right and bottom edge inclusive, like sam2's boxes.
    """

    counts: bytes
    area_px: int
    box_xyxy: NDArray[np.int32]


@dataclass(slots=True)
class RegionCache:
    """Redraws each mask once, however many settings keep it."""

    _drawn: dict[tuple[str, int, int], Region | None] = field(default_factory=dict)

    def redraw(self, candidates: Candidates, row: int, min_area_px: int) -> Region | None:
        """The candidate's mask without small regions, or None if it has none."""
        key = (candidates.pass_.name, row, min_area_px)
        if key not in self._drawn:
            counts: bytes = candidates.rows.counts[row]
            self._drawn[key] = redraw_code(counts, candidates.size_hw, min_area_px)
        return self._drawn[key]


def redraw_code(counts: bytes, size_hw: tuple[int, int], min_area_px: int) -> Region | None:
    """As :func:`redraw` of the mask in the whole image, by the part around it alone."""
    # A background that goes on beyond this margin is too large to be filled, as it is in the whole image.
    window, (top, left) = decode_window(counts, size_hw, margin_px=min_area_px)
    region = redraw(window, min_area_px)
    if region is None:
        return None
    code = encode_window(decode(region.counts, window.shape[:2]), (top, left), size_hw)
    return Region(code, region.area_px, region.box_xyxy + np.array([left, top, left, top], np.int32))


def redraw(mask: NDArray[np.bool_], min_area_px: int) -> Region | None:
    """Fill a mask's (H, W) holes, then remove its islands, if below ``min_area_px``; None if there are none."""
    from sam2.utils.amg import remove_small_regions  # here: it loads torch, which most settings do not need

    filled, has_holes = remove_small_regions(mask, min_area_px, mode="holes")
    cleaned, has_islands = remove_small_regions(filled, min_area_px, mode="islands")
    if not has_holes and not has_islands:
        return None
    cleaned = np.ascontiguousarray(cleaned)
    rows, columns = np.flatnonzero(cleaned.any(1)), np.flatnonzero(cleaned.any(0))
    box = np.array([columns[0], rows[0], columns[-1], rows[-1]], np.int32)
    return Region(encode(cleaned), int(cleaned.sum()), box)
