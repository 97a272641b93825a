"""Which masks of an image drop which others below which threshold: suppression for any number of settings."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

# Boxes to compare with others at once, and how many others.
_BLOCK, _OTHERS = 128, 1 << 15
# More boxes than these, as in a large image with tiles, are compared with those around them alone.
_FEW = 4096
# Boxes are grouped by size, and then by squares of the image, so many a side.
_SQUARES = 1024


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
        for rows, columns in _blocks(boxes):
            iou = _box_iou(boxes[rows], boxes[columns])
            near = (iou > lowest) & (ordered[rows, None] == ordered[columns]) & (columns < rows[:, None])
            row, column = np.nonzero(near)
            parts.append(np.stack([rows[row], columns[column], iou[row, column]], axis=1))
        place, earlier, overlap = np.concatenate(parts).T
        if len(order) > _FEW:  # elsewhere the blocks come in this order
            by_place = np.lexsort((earlier, place))
            place, earlier, overlap = place[by_place], earlier[by_place], overlap[by_place]
        return cls(order, _first(place, len(order)), order[earlier.astype(np.int64)], overlap)

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


def _blocks(boxes: NDArray[np.float32]) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int64]]]:
    """Places of boxes, and of others to compare them with: whatever overlaps one of them and comes earlier."""
    n = len(boxes)
    if n <= _FEW:
        for start in range(0, n, _BLOCK):
            rows = np.arange(start, min(start + _BLOCK, n))
            yield rows, np.arange(rows[-1] + 1)
        return
    together = _neighbours_together(boxes)
    for start in range(0, n, _BLOCK):
        rows = together[start : start + _BLOCK]
        low, high = boxes[rows, :2].min(axis=0), boxes[rows, 2:].max(axis=0)
        around = np.flatnonzero(((boxes[: rows.max(), :2] < high) & (boxes[: rows.max(), 2:] > low)).all(axis=1))
        for first in range(0, len(around), _OTHERS):
            yield rows, around[first : first + _OTHERS]


def _neighbours_together(boxes: NDArray[np.float32]) -> NDArray[np.int64]:
    """An order of boxes (n, 4) in which those of like size and place follow one another: few others lie around them."""
    size = np.frexp((boxes[:, 2:] - boxes[:, :2]).max(axis=1))[1]
    low = boxes[:, :2].min(axis=0)
    square = np.maximum((boxes[:, 2:].max(axis=0) - low) / _SQUARES, 1)
    column, row = ((boxes[:, :2] - low) / square).astype(np.int64).T
    code = np.zeros(len(boxes), np.int64)
    for bit in range(_SQUARES.bit_length()):  # bits of both in turn (Morton)
        code |= (column >> bit & 1) << 2 * bit | (row >> bit & 1) << 2 * bit + 1
    return np.lexsort((code, size))


def _box_iou(rows: NDArray[np.float32], columns: NDArray[np.float32]) -> NDArray[np.float32]:
    """float32 (rows, columns); NaN for two boxes without area, which is above no threshold."""
    low = np.maximum(rows[:, None, :2], columns[None, :, :2])
    side = np.maximum(np.minimum(rows[:, None, 2:], columns[None, :, 2:]) - low, np.float32(0))
    common = side[..., 0] * side[..., 1]
    area, area2 = ((boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1]) for boxes in (rows, columns))
    with np.errstate(invalid="ignore"):
        iou: NDArray[np.float32] = common / (area[:, None] + area2 - common)
    return iou
