"""Overlaps of an image's candidates, and their pixels in regions, for the explorer's filters."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.config.settings import Setting
from maskgrid.masks import rle
from maskgrid.masks.overlaps import Overlaps

# Pairs that overlap by less than both are left out, unless a setting goes lower: the sliders begin here.
_MIN_IOU, _MIN_OF_SMALLER = 0.3, 0.5
# Beyond these the page would be too large, and has no suppression of masks for the image.
_MAX_MASKS, _MAX_PAIRS = 4000, 150_000


@dataclass(frozen=True, slots=True)
class Floors:
    """The lowest thresholds that the page can answer, and the most pairs of an image that it takes for them."""

    mask_nms_thresh: float
    max_containment_frac: float
    max_pairs: int = _MAX_PAIRS

    @classmethod
    def of(cls, settings: Sequence[Setting]) -> "Floors":
        """As low as the settings go, and lower for the sliders."""
        return cls(
            min([_MIN_IOU, *(one.filters.mask_nms_thresh for one in settings)]),
            min([_MIN_OF_SMALLER, *(one.filters.max_containment_frac for one in settings)]),
        )


def pairs_data(
    codes: Sequence[bytes | None], level: NDArray[np.float64], size_hw: tuple[int, int], floors: Floors
) -> dict[str, Any] | None:
    """Pairs of masks at one level that overlap by more than the floors: their rows and common pixels; None if too many.

    Args:
        codes: the masks, row by row; None for those that sam2 drops at a crop's edge.
        level: float64 (n,), the logit at which each was drawn.
        size_hw: the image's height and width in pixels.
        floors: the lowest thresholds wanted.
    """
    found: list[tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]] = []
    for value in np.unique(level):
        rows = [row for row in np.flatnonzero(level == value).tolist() if codes[row] is not None]
        if len(rows) > _MAX_MASKS:
            return None
        found.append(_pairs([codes[row] or b"" for row in rows], np.array(rows, np.int64), size_hw, floors))
    if sum(len(part[0]) for part in found) > floors.max_pairs:
        return None
    columns = (np.concatenate([np.empty(0, np.int64), *(part[at] for part in found)]) for at in range(3))
    return dict(zip(("one", "other", "common"), columns, strict=True))


def _pairs(
    codes: Sequence[bytes], rows: NDArray[np.int64], size_hw: tuple[int, int], floors: Floors
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    overlaps = Overlaps(size_hw)
    places = overlaps.add(codes)
    pairs = overlaps.pairs()
    wanted = (pairs.iou > floors.mask_nms_thresh) | (pairs.of_smaller > floors.max_containment_frac)
    found = list(
        zip(pairs.one[wanted].tolist(), pairs.other[wanted].tolist(), pairs.common_px[wanted].tolist(), strict=True)
    )
    # Equal masks share a place, and overlap wholly.
    rows_of: dict[int, list[int]] = {}
    for row, place in zip(rows.tolist(), places.tolist(), strict=True):
        rows_of.setdefault(place, []).append(row)
    triples = [(a, b, px) for one, other, px in found for a in rows_of[one] for b in rows_of[other]]
    areas = rle.areas_px(codes, size_hw)
    area_of = dict(zip(rows.tolist(), areas.tolist(), strict=True))
    triples += [(a, b, area_of[a]) for same in rows_of.values() if area_of[same[0]] for a, b in combinations(same, 2)]
    table = np.array(triples, np.int64).reshape(-1, 3)
    return table[:, 0], table[:, 1], table[:, 2]


def region_px(
    codes: Sequence[bytes | None], in_image: Mapping[str, bytes], size_hw: tuple[int, int]
) -> dict[str, list[int]]:
    """Pixels that masks have in each region; 0 for masks that are not drawn."""
    known = [code for code in codes if code is not None]
    areas = rle.areas_px(known, size_hw)
    found = {}
    for name, region in in_image.items():
        shares = rle.containment(known, [region], size_hw)[:, 0] if known else np.empty(0)
        values = iter(np.rint(shares * areas).astype(np.int64).tolist())
        found[name] = [0 if code is None else next(values) for code in codes]
    return found
