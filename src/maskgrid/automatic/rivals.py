"""Which masks of an image drop which others below which threshold: suppression for any number of settings."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

# Boxes to compare with those before them at once.
_BLOCK = 128


@dataclass(frozen=True, slots=True)
class Rivals:
    """The pairs of n masks that overlap, in the order in which a suppression looks at the masks.

    Attributes:
        order: int64 (n,), the masks, best first.
        first: int64 (n + 1,), where the pairs of each place of the order begin.
        earlier: int64 (pairs,), a mask that comes earlier in the order.
        overlap: float64 (pairs,), how much they overlap: a threshold below it drops the later one, if the earlier one
            stays.
    """

    order: NDArray[np.int64]
    first: NDArray[np.int64]
    earlier: NDArray[np.int64]
    overlap: NDArray[np.float64]

    @classmethod
    def of_boxes(
        cls, box_xyxy: NDArray[np.int32], order: NDArray[np.int64], classes: NDArray[np.int64], lowest: float
    ) -> Self:
        """By the IoU of boxes, in torchvision's float32 arithmetic.

        Args:
            box_xyxy: int32 (n, 4).
            order: int64 (n,), the masks, best first.
            classes: int64 (n,); only masks of one class are rivals.
            lowest: no threshold will be below this.
        """
        boxes, ordered = box_xyxy[order].astype(np.float32), classes[order]
        parts = [np.empty((0, 3))]
        for start in range(0, len(order), _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, len(order)))
            iou = _box_iou(boxes[rows], boxes[: rows[-1] + 1])
            near = (iou > lowest) & (ordered[rows, None] == ordered[: rows[-1] + 1])
            row, column = np.nonzero(np.tril(near, start - 1))
            parts.append(np.stack([rows[row], order[column], iou[row, column]], axis=1))
        place, earlier, overlap = np.concatenate(parts).T
        return cls(order, _first(place, len(order)), earlier.astype(np.int64), overlap)

    @classmethod
    def of_pairs(
        cls, order: NDArray[np.int64], one: NDArray[np.int64], other: NDArray[np.int64], overlap: NDArray[np.float64]
    ) -> Self:
        """By pairs of masks, in any order."""
        place = np.empty(len(order), np.int64)
        place[order] = np.arange(len(order))
        is_first = place[one] < place[other]
        earlier, later = np.where(is_first, one, other), place[np.where(is_first, other, one)]
        by_place = np.argsort(later, kind="stable")
        return cls(order, _first(later[by_place], len(order)), earlier[by_place].astype(np.int64), overlap[by_place])

    def above(self, limit: float) -> Self:
        """Only the pairs that overlap by more than a limit."""
        is_above = self.overlap > limit
        n_before = np.concatenate([np.zeros(1, np.int64), np.cumsum(is_above)])
        return replace(self, first=n_before[self.first], earlier=self.earlier[is_above], overlap=self.overlap[is_above])

    def later(self) -> Iterator[tuple[int, slice]]:
        """The masks that have earlier rivals, in order, with the place of their pairs."""
        for place in np.flatnonzero(np.diff(self.first)).tolist():
            yield int(self.order[place]), slice(int(self.first[place]), int(self.first[place + 1]))

    def drop(self, alive: NDArray[np.bool_], thresholds: NDArray[np.float64]) -> None:
        """Drop the worse of rivals: ``alive`` is bool (n, settings), ``thresholds`` float64 (settings,)."""
        near = self.above(float(thresholds.min(initial=1.0)))
        for mask, pairs in near.later():
            here = alive[mask]
            if here.any():
                drops = alive[near.earlier[pairs]] & (near.overlap[pairs, None] > thresholds)
                alive[mask] = here & ~drops.any(axis=0)


def _first(place: NDArray[np.float64] | NDArray[np.int64], n: int) -> NDArray[np.int64]:
    """Where each of n places begins in an ascending list of places."""
    return np.searchsorted(place, np.arange(n + 1)).astype(np.int64)


def _box_iou(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (rows, columns); NaN for two boxes without area, which is above no threshold."""
    low = np.maximum(rows[:, None, :2], columns[None, :, :2])
    side = np.maximum(np.minimum(rows[:, None, 2:], columns[None, :, 2:]) - low, np.float32(0))
    common = side[..., 0] * side[..., 1]
    area, area2 = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (rows, columns))
    with np.errstate(invalid="ignore"):
        iou: NDArray[np.float32] = common / (area[:, None] + area2 - common)
    return iou
