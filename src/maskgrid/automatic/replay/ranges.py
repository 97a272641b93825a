"""Where each mask is kept, as ranges of a threshold; suppression cuts out where a rival is kept."""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.replay.rivals import Rivals

Ends = NDArray[np.float64]


@dataclass(slots=True)
class Ranges:
    """For each of n masks the values of a threshold at which it is kept: half-open ranges, the start included.

    Attributes:
        start: float64 (n,), where the mask's first range starts.
        end: float64 (n,), where it ends; not above the start if the mask is kept nowhere.
        more: the further ranges of those masks that have some, float64 (ranges, 2).
    """

    start: Ends
    end: Ends
    more: dict[int, Ends] = field(default_factory=dict)

    @classmethod
    def everywhere(cls, n: int) -> Self:
        """All masks are kept at any value."""
        return cls(np.full(n, -np.inf), np.full(n, np.inf))

    def only(self, kept: NDArray[np.bool_]) -> None:
        """Keep only some masks, bool (n,)."""
        self.clip(np.full(len(kept), -np.inf), np.where(kept, np.inf, -np.inf))

    def clip(self, start: Ends, end: Ends) -> None:
        """Keep each mask only from a start to an end, (n,); nowhere if one is NaN."""
        np.maximum(self.start, start, out=self.start)
        np.minimum(self.end, end, out=self.end)
        for mask, ranges in self.more.items():
            self.more[mask] = np.clip(ranges, start[mask], end[mask])

    def somewhere(self) -> NDArray[np.bool_]:
        """Which masks are kept at some value: bool (n,)."""
        kept = self.start < self.end
        kept[list(self.more)] = True
        return kept

    def suppress(self, rivals: Rivals, is_axis: bool) -> None:
        """Cut from each mask's ranges those of its earlier rivals.

        Args:
            rivals: the pairs that overlap too much; at the axis, the pairs that do so at some value.
            is_axis: whether the threshold is that of this suppression: a rival then counts below the pair's overlap.
        """
        for mask, pairs in rivals.later():
            if not self.start[mask] < self.end[mask] and mask not in self.more:
                continue
            others = rivals.earlier[pairs]
            low, high = self.start[others], self.end[others]
            limit = rivals.overlap[pairs] if is_axis else None
            if self.more:
                low, high, limit = self._with_more(others, low, high, limit)
            if limit is not None:
                high = np.minimum(high, limit)
            there = low < high
            if there.any():
                self._cut(mask, low[there], high[there])

    def steps(self) -> tuple[Ends, NDArray[np.int64]]:
        """The number of masks kept: from each value, ascending and the first -inf, up to the next."""
        is_kept = self.start < self.end
        further = np.concatenate([np.empty((0, 2)), *self.more.values()])
        further = further[further[:, 0] < further[:, 1]]
        starts = np.concatenate([[-np.inf], self.start[is_kept], further[:, 0]])
        ends = np.concatenate([self.end[is_kept], further[:, 1]])
        changes = np.repeat(np.array([1, -1]), [len(starts), len(ends)])
        changes[0] = 0
        values, place = np.unique(np.concatenate([starts, ends]), return_inverse=True)
        counts = np.cumsum(np.bincount(place.ravel(), changes, len(values))).astype(np.int64)
        is_step = np.concatenate([[True], counts[1:] != counts[:-1]]) & (values < np.inf)
        return values[is_step], counts[is_step]

    def _with_more(
        self, others: NDArray[np.int64], low: Ends, high: Ends, limit: Ends | None
    ) -> tuple[Ends, Ends, Ends | None]:
        """The ranges of some masks, the further ones too."""
        found = [(place, self.more[other]) for place, other in enumerate(others.tolist()) if other in self.more]
        if not found:
            return low, high, limit
        further = np.concatenate([ranges for _, ranges in found])
        place = np.repeat([place for place, _ in found], [len(ranges) for _, ranges in found])
        low, high = np.concatenate([low, further[:, 0]]), np.concatenate([high, further[:, 1]])
        return low, high, None if limit is None else np.concatenate([limit, limit[place]])

    def _cut(self, mask: int, low: Ends, high: Ends) -> None:
        """Cut ranges out of a mask's own."""
        start, end = self.start[mask], self.end[mask]
        if mask not in self.more and ((low <= start) & (high >= end)).any():
            self.end[mask] = start
            return
        by_low = np.argsort(low)
        reach = np.maximum.accumulate(high[by_low])
        # What lies between the ranges cut out, before the first and after the last.
        gaps = np.stack([np.concatenate([[-np.inf], reach]), np.concatenate([low[by_low], [np.inf]])], axis=1)
        own = np.concatenate([np.array([[start, end]]), self.more.pop(mask, np.empty((0, 2)))])
        left = np.concatenate([np.clip(gaps, *ends) for ends in own if ends[0] < ends[1]] or [np.empty((0, 2))])
        left = left[left[:, 0] < left[:, 1]]
        if not len(left):
            self.end[mask] = start
            return
        self.start[mask], self.end[mask] = left[0]
        if len(left) > 1:
            self.more[mask] = left[1:]
