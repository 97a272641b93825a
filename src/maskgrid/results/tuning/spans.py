"""Pixels that any of an image's masks cover, from the runs of their codes, without drawing a mask."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.masks.rle import run_lengths


@dataclass(frozen=True, slots=True)
class Spans:
    """The runs of n masks, in COCO's order of pixels, down the columns.

    Attributes:
        start: int64 (runs,), the first pixel of each run, mask by mask.
        end: int64 (runs,), the pixel after its last.
        first: int64 (n + 1,), where each mask's runs begin.
    """

    start: NDArray[np.int64]
    end: NDArray[np.int64]
    first: NDArray[np.int64]

    @classmethod
    def of(cls, codes: Sequence[bytes]) -> Self:
        """Read the runs of compressed codes."""
        edges = [np.cumsum(run_lengths(code)) for code in codes]
        edges = [edge[: len(edge) // 2 * 2].reshape(-1, 2) for edge in edges]
        runs = np.concatenate([np.zeros((0, 2), np.int64), *edges])
        first = np.cumsum([0, *map(len, edges)])
        return cls(np.ascontiguousarray(runs[:, 0]), np.ascontiguousarray(runs[:, 1]), first)

    def take(self, masks: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
        """The runs of some masks: starts, ends, and the place of each run's mask among them."""
        n_runs = self.first[masks + 1] - self.first[masks]
        owner = np.repeat(np.arange(len(masks)), n_runs)
        begins = np.cumsum(n_runs) - n_runs
        at = np.arange(len(owner)) + np.repeat(self.first[masks] - begins, n_runs)
        return self.start[at], self.end[at], owner

    def covered_px(self, masks: NDArray[np.int64]) -> int:
        """Pixels in at least one of some masks."""
        start, end, _ = self.take(masks)
        order = np.argsort(start)
        start, reach = start[order], np.maximum.accumulate(end[order])
        before = np.concatenate([np.zeros(1, np.int64), reach[:-1]])
        return int(np.maximum(reach - np.maximum(start, before), 0).sum())


def spread(low: NDArray[np.int64], high: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The whole numbers of half-open ranges, and the range of each."""
    length = high - low
    which = np.repeat(np.arange(len(low)), length)
    return np.arange(len(which)) + np.repeat(low - (np.cumsum(length) - length), length), which
