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
# Beyond these the page would be too large: an image then has only pairs that overlap by more than higher floors.
_MAX_MASKS, _MAX_PAIRS = 4000, 150_000
_HIGHER = ((0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95))


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
    """Pairs of masks at one level that overlap: their rows, common pixels, and the floors; None if there are too many.

    Args:
        codes: the masks, row by row; None for those that sam2 drops at a crop's edge.
        level: float64 (n,), the logit at which each was drawn.
        size_hw: the image's height and width in pixels.
        floors: the lowest thresholds wanted; an image with too many pairs has higher ones.
    """
    parts: list[tuple[Overlaps, dict[int, list[int]]]] = []
    for value in np.unique(level):
        rows = [row for row in np.flatnonzero(level == value).tolist() if codes[row] is not None]
        if len(rows) > _MAX_MASKS:
            return None
        overlaps, rows_of = Overlaps(size_hw), dict[int, list[int]]()
        # Equal masks share a place.
        for row, place in zip(rows, overlaps.add([codes[row] or b"" for row in rows]).tolist(), strict=True):
            rows_of.setdefault(place, []).append(row)
        parts.append((overlaps, rows_of))
    least = floors.mask_nms_thresh, floors.max_containment_frac
    for iou, of_smaller in (least, *(higher for higher in _HIGHER if higher > least)):
        if sum(_count(*part, iou, of_smaller) for part in parts) <= floors.max_pairs:
            triples = [triple for part in parts for triple in _triples(*part, iou, of_smaller)]
            one, other, common = np.array(triples, np.int64).reshape(-1, 3).T.tolist()
            reached = {"mask_nms_thresh": iou, "max_containment_frac": of_smaller}
            return {"one": one, "other": other, "common": common, "floors": reached}
    return None


def _count(overlaps: Overlaps, rows_of: Mapping[int, list[int]], min_iou: float, min_of_smaller: float) -> int:
    """The number of pairs of rows that overlap by more than either floor."""
    pairs = overlaps.pairs()
    wanted = (pairs.iou > min_iou) | (pairs.of_smaller > min_of_smaller)
    # Empty masks overlap nothing, not even their like.
    n_rows = np.array([len(rows_of[at]) if overlaps.area_px(at) else 0 for at in range(len(rows_of))], np.int64)
    return int((n_rows[pairs.one[wanted]] * n_rows[pairs.other[wanted]]).sum() + (n_rows * (n_rows - 1) // 2).sum())


def _triples(
    overlaps: Overlaps, rows_of: Mapping[int, list[int]], min_iou: float, min_of_smaller: float
) -> list[tuple[int, int, int]]:
    """Two rows and their common pixels, for each pair that overlaps by more than either floor."""
    pairs = overlaps.pairs()
    wanted = (pairs.iou > min_iou) | (pairs.of_smaller > min_of_smaller)
    columns = (column[wanted].tolist() for column in (pairs.one, pairs.other, pairs.common_px))
    found = [
        (a, b, common)
        for one, other, common in zip(*columns, strict=True)
        for a in rows_of[one]
        for b in rows_of[other]
    ]
    # Equal masks overlap wholly.
    areas = {place: overlaps.area_px(place) for place, same in rows_of.items() if len(same) > 1}
    return found + [(a, b, area) for place, area in areas.items() if area for a, b in combinations(rows_of[place], 2)]


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
