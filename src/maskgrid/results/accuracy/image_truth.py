"""Measure how well masks find an image's true objects.

Over- and under-segmentation follow Hoover et al., An Experimental Comparison of Range Image Segmentation Algorithms
(IEEE TPAMI 18(7), 1996), with a tolerance of 0.75, for what is not found at IoU 0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.masks import rle
from maskgrid.results.accuracy.matching import IOU_THRESHOLDS, Matcher, Matches, cases

LIMITS = (10, 100, 1000)
# Hoover's tolerance: the share of one region that must lie in another.
TOLERANCE = 0.75
_AT_50 = cases("all", IOU_THRESHOLDS[0])
_AT_75 = cases("all", IOU_THRESHOLDS[5])
_SIZES = ("small", "medium", "large")


@dataclass(frozen=True, slots=True)
class TrueObjects:
    """The annotated objects of one image, g of them.

    Attributes:
        counts: COCO's compressed run-length codes.
        is_crowd: bool (g,); COCO's ``iscrowd``: a region of many objects, not one to find; masks in it count neither
            for nor against a setting.
    """

    counts: tuple[bytes, ...]
    is_crowd: NDArray[np.bool_]

    def __len__(self) -> int:
        return len(self.counts)

    def areas_px(self, size_hw: tuple[int, int]) -> NDArray[np.int64]:
        """Pixels of each object, int64 (g,)."""
        return rle.areas_px(self.counts, size_hw)


@dataclass(frozen=True, slots=True)
class ImageTruth:
    """Overlaps of an image's true objects with all of its masks, from which settings choose.

    Attributes:
        size_hw: height and width in pixels.
        objects: the objects, g of them.
        codes: the masks' compressed run-length codes, d of them.
        iou: float64 (d, g); for a crowd, the share of the mask inside it.
        mask_inside: float64 (d, g), the share of the mask inside the object.
        merges: bool (d,), whether the mask consists of two or more objects.
        matcher: matches masks with objects.
    """

    size_hw: tuple[int, int]
    objects: TrueObjects
    codes: tuple[bytes, ...]
    iou: NDArray[np.float64]
    mask_inside: NDArray[np.float64]
    merges: NDArray[np.bool_]
    matcher: Matcher
    _covered_frac: dict[tuple[int, tuple[int, ...]], float] = field(default_factory=dict)

    @classmethod
    def of(cls, objects: TrueObjects, codes: Sequence[bytes], size_hw: tuple[int, int]) -> Self:
        """Compute the overlaps of an image's masks with its objects."""
        inside = rle.containment(codes, objects.counts, size_hw)
        mask_areas = rle.areas_px(codes, size_hw).astype(np.float64)
        areas = objects.areas_px(size_hw)
        # Common pixels, exact: rounding undoes the division by the mask's area.
        common = np.rint(inside * mask_areas[:, None])
        union = mask_areas[:, None] + areas[None, :] - common
        iou = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
        iou[:, objects.is_crowd] = inside[:, objects.is_crowd]
        merges = _merges(common, inside, areas, _nested(objects, areas, size_hw), objects.is_crowd)
        matcher = Matcher.of(iou, areas, objects.is_crowd)
        return cls(size_hw, objects, tuple(codes), iou, inside, merges, matcher)

    def measure(self, masks: NDArray[np.int64], scores: NDArray[np.float32]) -> dict[str, Any]:
        """Measure one setting: the values of ``tables.MEASURED``.

        Args:
            masks: int64 (n,), positions of the setting's masks, in its order.
            scores: float32 (n,), their predicted IoU, the order in which COCOeval takes them.
        """
        by_score = masks[np.argsort(-scores, kind="stable")]
        matches = self.matcher.match(by_score.tolist(), LIMITS)
        taken = matches.taken[None]
        n_truth = self.matcher.n_counting("all")
        n_50 = self.matcher.n_found(taken, _AT_50)
        n_ignored = sum(bool(bits & _AT_50) for bits in matches.ignored)
        n_judged = len(masks) - n_ignored
        return {
            "n_truth": n_truth,
            **{f"n_truth_{size}": self.matcher.n_counting(size) for size in _SIZES},
            "n_masks": len(masks),
            "n_ignored_50": n_ignored,
            "n_found_50": n_50,
            "n_found_75": self.matcher.n_found(taken, _AT_75),
            "recall_50": _ratio(n_50, n_truth),
            "recall_75": _ratio(self.matcher.n_found(taken, _AT_75), n_truth),
            **self._average_recalls(matches),
            "best_iou_mean": self._best_iou(masks),
            "precision_50": _ratio(n_50, n_judged),
            "f1_50": _ratio(2 * n_50, n_judged + n_truth),
            "n_over_segmented": self._n_over_segmented(masks, taken),
            "n_under_segmented": self._n_under_segmented(by_score, matches),
        }

    def _average_recalls(self, matches: Matches) -> dict[str, float | None]:
        n_thresholds = len(IOU_THRESHOLDS)
        n_truth = self.matcher.n_counting("all")
        averages: dict[str, float | None] = {
            f"ar_{limit}": _ratio(self.matcher.n_found(matches.taken[limit], cases("all")), n_thresholds * n_truth)
            for limit in LIMITS
        }
        for size in _SIZES:
            n_found = self.matcher.n_found(matches.taken[LIMITS[-1]], cases(size))
            averages[f"ar_{size}"] = _ratio(n_found, n_thresholds * self.matcher.n_counting(size))
        return averages

    def _best_iou(self, masks: NDArray[np.int64]) -> float | None:
        wanted = ~self.objects.is_crowd
        if not wanted.any():
            return None
        return float(self.iou[np.ix_(masks, wanted)].max(axis=0, initial=0.0).mean())

    def _n_over_segmented(self, masks: NDArray[np.int64], taken: Sequence[int]) -> int:
        """Count objects that are not found and consist of two or more masks."""
        is_lost = ~self.objects.is_crowd & np.array([not bits & _AT_50 for bits in taken], np.bool_)
        lost = np.flatnonzero(is_lost)
        if len(lost) == 0 or len(masks) < 2:
            return 0
        inside = self.mask_inside[np.ix_(masks, lost)] >= TOLERANCE
        n_inside = inside.sum(axis=0)
        return sum(
            self._frac_covered(int(lost[column]), tuple(sorted(set(masks[inside[:, column]].tolist())))) >= TOLERANCE
            for column in np.flatnonzero(n_inside >= 2)
        )

    def _frac_covered(self, item: int, masks: tuple[int, ...]) -> float:
        """The share of an object inside the union of some masks."""
        key = (item, masks)
        if key not in self._covered_frac:
            union = rle.merge([self.codes[mask] for mask in masks], self.size_hw)
            shares = rle.containment([self.objects.counts[item]], [union], self.size_hw)
            self._covered_frac[key] = float(shares[0, 0])
        return self._covered_frac[key]

    def _n_under_segmented(self, masks: NDArray[np.int64], matches: Matches) -> int:
        """Count masks that match nothing and consist of two or more objects."""
        return sum(
            bool(self.merges[mask]) and not (found | ignored) & _AT_50
            for mask, found, ignored in zip(masks, matches.found, matches.ignored, strict=True)
        )


def _nested(objects: TrueObjects, areas_px: NDArray[np.int64], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Bool (g, g): whether the first object lies in the second, as part of a whole."""
    inside = rle.containment(objects.counts, objects.counts, size_hw) >= TOLERANCE
    place = np.arange(len(objects))
    is_smaller = areas_px[:, None] < areas_px[None, :]
    is_same = (areas_px[:, None] == areas_px[None, :]) & (place[:, None] > place[None, :])
    nested: NDArray[np.bool_] = inside & (is_smaller | is_same)
    return nested


def _merges(
    common: NDArray[np.float64],
    inside: NDArray[np.float64],
    areas_px: NDArray[np.int64],
    nested: NDArray[np.bool_],
    is_crowd: NDArray[np.bool_],
) -> NDArray[np.bool_]:
    """Bool (d,): whether each mask contains two or more objects and little else; a whole with its parts counts once."""
    if not areas_px.size:
        return np.zeros(len(common), np.bool_)
    holds = (common >= TOLERANCE * np.maximum(areas_px, 1)) & ~is_crowd
    is_part = (holds.astype(np.int64) @ nested.T.astype(np.int64)) > 0
    wholes = holds & ~is_part
    merges: NDArray[np.bool_] = (wholes.sum(axis=1) >= 2) & ((inside * wholes).sum(axis=1) >= TOLERANCE)
    return merges


def _ratio(numerator: int, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
