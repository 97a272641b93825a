"""Match masks with true objects as ``pycocotools.cocoeval.COCOeval`` does, for any subset of an image's masks.

COCOeval goes through the masks by descending score. Each takes the object that it overlaps most, among those not yet
taken whose IoU reaches the threshold. It repeats this for ten thresholds and four area ranges. Here the 40 cases are
the bits of one integer, so one pass over a setting's masks matches them in all cases.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

# As in pycocotools' Params, without its rounding: 0.5, 0.55, ... 0.95.
IOU_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
# Areas of objects in pixels, both ends included, as in pycocotools' Params.
AREA_RANGES_PX = {
    "all": (0.0, 1e10),
    "small": (0.0, 32.0**2),
    "medium": (32.0**2, 96.0**2),
    "large": (96.0**2, 1e10),
}
_N_THRESHOLDS = len(IOU_THRESHOLDS)
_EVERY_THRESHOLD = (1 << _N_THRESHOLDS) - 1
_EVERY_RANGE = sum(1 << (place * _N_THRESHOLDS) for place in range(len(AREA_RANGES_PX)))


def cases(area_range: str, iou_threshold: float | None = None) -> int:
    """The bits of an area range, at one threshold or at all ten."""
    start = list(AREA_RANGES_PX).index(area_range) * _N_THRESHOLDS
    if iou_threshold is None:
        return _EVERY_THRESHOLD << start
    return 1 << (start + IOU_THRESHOLDS.index(iou_threshold))


@dataclass(frozen=True, slots=True)
class Matches:
    """What a set of masks finds.

    Attributes:
        taken: for each limit on the number of masks, the cases in which each object was taken.
        found: for each mask, the cases in which it took an object that counts.
        ignored: for each mask, the cases in which it took something that does not count, such as a crowd.
    """

    taken: dict[int | None, list[int]]
    found: list[int]
    ignored: list[int]


@dataclass(frozen=True, slots=True)
class Matcher:
    """The overlaps of an image's masks with its objects, prepared for matching.

    Attributes:
        reach: for each mask, the objects with an IoU of 0.5 or more, largest first, and the cases whose threshold the
            IoU reaches.
        counting: for each object, the cases in which it counts: not a crowd, and its area is in the range.
        is_crowd: for each object, whether any number of masks may take it.
    """

    reach: tuple[tuple[tuple[int, int], ...], ...]
    counting: tuple[int, ...]
    is_crowd: tuple[bool, ...]

    @classmethod
    def of(cls, iou: NDArray[np.float64], areas_px: NDArray[np.int64], is_crowd: NDArray[np.bool_]) -> Self:
        """Prepare the matching.

        Args:
            iou: float64 (masks, objects); for a crowd, the share of the mask inside it, as in pycocotools.
            areas_px: int64 (objects,).
            is_crowd: bool (objects,).
        """
        reach = tuple(tuple(_reach(row)) for row in iou)
        counting = [0 if crowd else _ranges_of(float(area)) for area, crowd in zip(areas_px, is_crowd, strict=True)]
        return cls(reach, tuple(counting), tuple(is_crowd.tolist()))

    def match(self, masks: Sequence[int], limits: Sequence[int] = ()) -> Matches:
        """Match some of the masks.

        Args:
            masks: positions of masks, by descending score.
            limits: numbers of masks after which to save what is taken.
        """
        taken = [0] * len(self.counting)
        noted: dict[int | None, list[int]] = {}
        found, ignored = [0] * len(masks), [0] * len(masks)
        waiting = sorted(limits, reverse=True)
        for place, mask in enumerate(masks):
            while waiting and waiting[-1] <= place:
                noted[waiting.pop()] = taken.copy()
            if self.reach[mask]:
                found[place], ignored[place] = self._take(self.reach[mask], taken)
        for limit in waiting:
            noted[limit] = taken
        noted[None] = taken
        return Matches(noted, found, ignored)

    def _take(self, reach: Sequence[tuple[int, int]], taken: list[int]) -> tuple[int, int]:
        """Let a mask take one object in each case; objects that count come before others, whatever the overlaps."""
        still_free = _EVERY_THRESHOLD * _EVERY_RANGE
        found = ignored = 0
        for item, within in reach:
            hits = still_free & within & self.counting[item] & ~taken[item]
            taken[item] |= hits
            found |= hits
            still_free &= ~hits
        for item, within in reach:
            hits = still_free & within & ~self.counting[item]
            if not self.is_crowd[item]:
                hits &= ~taken[item]
            taken[item] |= hits
            ignored |= hits
            still_free &= ~hits
        return found, ignored

    def n_found(self, taken: Sequence[int], which: int) -> int:
        """Sum, over the objects, the cases among ``which`` in which each counts and was taken."""
        return sum((bits & counts & which).bit_count() for bits, counts in zip(taken, self.counting, strict=True))

    def n_counting(self, area_range: str) -> int:
        """Number of objects to find in an area range."""
        first = cases(area_range, IOU_THRESHOLDS[0])
        return sum(bool(counts & first) for counts in self.counting)


def _reach(iou: NDArray[np.float64]) -> list[tuple[int, int]]:
    near = np.flatnonzero(iou >= IOU_THRESHOLDS[0])
    # Among objects with equal IoU, COCOeval takes the last.
    order = sorted(near.tolist(), key=lambda item: (-iou[item], -item))
    return [(item, _thresholds_of(float(iou[item])) * _EVERY_RANGE) for item in order]


def _thresholds_of(iou: float) -> int:
    # pycocotools caps thresholds just under 1.
    return sum(1 << place for place, threshold in enumerate(IOU_THRESHOLDS) if iou >= min(threshold, 1 - 1e-10))


def _ranges_of(area_px: float) -> int:
    return sum(cases(name) for name, (low, high) in AREA_RANGES_PX.items() if low <= area_px <= high)
