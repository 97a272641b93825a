"""How much pairs of an image's masks overlap, from run-length codes; each pair is looked at once for all settings."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.masks import rle

Measure = Literal["iou", "of_smaller"]
# Rows of pairs to compute at once: a block is float64, rows x masks.
_ROWS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Pairs:
    """Pairs of masks with common pixels, n of them.

    Attributes:
        one, other: int32 (n,), the places of the two masks.
        common_px: int64 (n,), pixels in both.
        iou: float64 (n,), common pixels over pixels in either.
        of_smaller: float64 (n,), common pixels over pixels of the smaller mask.
    """

    one: NDArray[np.int32]
    other: NDArray[np.int32]
    common_px: NDArray[np.int64]
    iou: NDArray[np.float64]
    of_smaller: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class _Neighbours:
    """The masks that each of n masks overlaps, mask by mask.

    Attributes:
        first: int64 (n + 1,), where those of each mask begin.
        other: int32 (2 pairs,), their places.
        iou, of_smaller: float64 (2 pairs,), as in :class:`Pairs`.
        most: float64 (n,), the most that a mask overlaps any other by.
    """

    first: NDArray[np.int64]
    other: NDArray[np.int32]
    iou: NDArray[np.float64]
    of_smaller: NDArray[np.float64]
    most: NDArray[np.float64]

    @classmethod
    def of(cls, pairs: Pairs, n: int) -> Self:
        """Look at the pairs from both sides."""
        one, other = np.concatenate([pairs.one, pairs.other]), np.concatenate([pairs.other, pairs.one])
        by_one = np.argsort(one, kind="stable")
        first = np.searchsorted(one[by_one], np.arange(n + 1))
        iou, of_smaller = (np.tile(values, 2)[by_one] for values in (pairs.iou, pairs.of_smaller))
        most = np.zeros(n)
        np.maximum.at(most, one, np.tile(pairs.of_smaller, 2))
        return cls(first, other[by_one], iou, of_smaller, most)


@dataclass(slots=True)
class Overlaps:
    """Overlaps of an image's masks, for settings that choose among them.

    Masks are added as settings need them. Only pairs with common pixels are stored, so memory follows the overlaps and
    not the square of the number of masks.

    Attributes:
        size_hw: the image's height and width in pixels.
    """

    size_hw: tuple[int, int]
    _places: dict[bytes, int] = field(default_factory=dict)
    _areas: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    _boxes: NDArray[np.float64] = field(default_factory=lambda: np.empty((0, 4)))
    _found: list[Pairs] = field(default_factory=list)
    _near: "_Neighbours | None" = None

    def add(self, codes: Sequence[bytes]) -> NDArray[np.int64]:
        """The places of masks, int64 (n,); equal masks share one. New ones are compared with all others."""
        first = len(self._places)
        for code in codes:
            self._places.setdefault(code, len(self._places))
        if len(self._places) > first:
            self._compare(first)
        return np.array([self._places[code] for code in codes], np.int64)

    def pairs(self) -> Pairs:
        """All pairs of the masks added that have common pixels."""
        if len(self._found) != 1:
            parts = self._found or [_pairs_of(*(np.empty(0, np.int64) for _ in range(5)))]
            self._found = [
                Pairs(*(np.concatenate([getattr(part, name) for part in parts]) for name in Pairs.__slots__))
            ]
        return self._found[0]

    def between(self, codes: Sequence[bytes]) -> Pairs:
        """The pairs of some masks that have common pixels, by their positions in ``codes``, equal masks among them."""
        places = self.add(codes)
        by_place = np.argsort(places, kind="stable")
        first = np.searchsorted(places[by_place], np.arange(len(self._places) + 1))
        n_same, pairs = np.diff(first), self.pairs()
        n_pairs = n_same[pairs.one] * n_same[pairs.other]
        which = np.repeat(np.arange(len(n_pairs)), n_pairs)
        among = np.arange(len(which)) - np.repeat(np.cumsum(n_pairs) - n_pairs, n_pairs)
        one, other = pairs.one[which].astype(np.int64), pairs.other[which].astype(np.int64)
        at_one, at_other = np.divmod(among, n_same[other])
        parts = [(by_place[first[one] + at_one], by_place[first[other] + at_other], pairs.common_px[which])]
        # Equal masks overlap wholly; empty ones overlap nothing, not even their like.
        for place in np.flatnonzero((n_same > 1) & (self._areas > 0)):
            same = by_place[first[place] : first[place + 1]]
            one, other = np.triu_indices(len(same), 1)
            parts.append((same[one], same[other], np.full(len(one), self._areas[place])))
        one, other, common_px = (np.concatenate(column) for column in zip(*parts, strict=True))
        return _pairs_of(one, other, common_px, self._areas[places[one]], self._areas[places[other]])

    def area_px(self, place: int) -> int:
        """Pixels of a mask."""
        return int(self._areas[place])

    def suppress(
        self, codes: Sequence[bytes], order: NDArray[np.int64], limit: float, measure: Measure
    ) -> NDArray[np.bool_]:
        """Which masks stay if each that stays drops the later ones that it overlaps by more than a limit.

        Args:
            codes: the masks, n of them.
            order: int64 (n,), their positions, in the order in which they are looked at.
            limit: the largest overlap allowed, below 1.
            measure: what is compared with it.

        Returns:
            Bool (n,). Empty masks overlap nothing.
        """
        places = self.add(codes)[order]
        # Of equal masks the first counts, and drops the others: they overlap by 1. Empty ones overlap nothing.
        stays = self._areas[places] == 0
        stays[np.unique(places, return_index=True)[1]] = True
        alive = np.zeros(len(self._places), np.bool_)
        alive[places] = True
        near = self._neighbours()
        overlap = getattr(near, measure)
        for place in places[stays & (near.most[places] > limit)].tolist():
            if alive[place]:
                # All that it overlaps come later: an earlier one that stays would have dropped it.
                around = slice(near.first[place], near.first[place + 1])
                alive[near.other[around][overlap[around] > limit]] = False
        kept = np.empty(len(codes), np.bool_)
        kept[order] = stays & alive[places]
        return kept

    def _neighbours(self) -> "_Neighbours":
        if self._near is None or len(self._near.first) != len(self._places) + 1:
            self._near = _Neighbours.of(self.pairs(), len(self._places))
        return self._near

    def _compare(self, first: int) -> None:
        """Compare the masks from place ``first`` on with those before them and with each other."""
        codes = list(self._places)
        self._areas = np.concatenate([self._areas, rle.areas_px(codes[first:], self.size_hw)])
        self._boxes = np.concatenate([self._boxes, rle.true_boxes_xyxy(codes[first:], self.size_hw)])
        self._found += self._blocks(codes, first)

    def _blocks(self, codes: list[bytes], first: int) -> Iterator[Pairs]:
        for start in range(first, len(codes), _ROWS_AT_ONCE):
            rows = np.arange(start, min(start + _ROWS_AT_ONCE, len(codes)))
            # Masks before this block, and the block itself; later blocks look back at this one.
            columns = np.flatnonzero(self._meets(rows, int(rows[-1]) + 1))
            iou = rle.pairwise_iou([codes[row] for row in rows], [codes[at] for at in columns], self.size_hw)
            row, column = np.nonzero(iou)
            is_once = columns[column] < rows[row]
            one, other, value = columns[column[is_once]], rows[row[is_once]], iou[row[is_once], column[is_once]]
            # IoU = common / (both areas - common), correctly rounded: solved for common, the nearest integer is exact.
            common = np.rint(value * (self._areas[one] + self._areas[other]) / (1.0 + value)).astype(np.int64)
            yield _pairs_of(one, other, common, self._areas[one], self._areas[other])

    def _meets(self, rows: NDArray[np.int64], n: int) -> NDArray[np.bool_]:
        """Bool (n,): whether each of the first masks' boxes meets the box around some masks."""
        low, high = self._boxes[rows, :2].min(axis=0), self._boxes[rows, 2:].max(axis=0)
        meets: NDArray[np.bool_] = ((self._boxes[:n, :2] < high) & (self._boxes[:n, 2:] > low)).all(axis=1)
        return meets


def _pairs_of(
    one: NDArray[np.int64],
    other: NDArray[np.int64],
    common_px: NDArray[np.int64],
    area_one: NDArray[np.int64],
    area_other: NDArray[np.int64],
) -> Pairs:
    smaller = np.minimum(area_one, area_other)
    iou = common_px / (area_one + area_other - common_px)
    return Pairs(one.astype(np.int32), other.astype(np.int32), common_px, iou, common_px / smaller)
