"""What is counted in an image for thousands of settings at once: objects found, panoptic quality, pixels covered."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.results.accuracy.image_truth import LIMITS, TrueObjects
from maskgrid.results.accuracy.matching import IOU_THRESHOLDS, Matcher, cases
from maskgrid.results.tuning.spans import Spans, spread

_EVERY_THRESHOLD = cases("all")
_PANOPTIC_IOU = 0.5


class Measure(Protocol):
    """Two columns per setting whose sums over images, one over the other, are the measure."""

    def of(self, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Measure settings: from bool (n, settings), the masks that each keeps, to float64 (settings, 2)."""
        ...


@dataclass(frozen=True, slots=True)
class Found:
    """F1 at IoU 0.5, or average recall, by the matching of ``accuracy.matching``: all thresholds are bits of a number.

    Attributes:
        order: the masks that reach an object, by descending score: the mask, the objects that it may take and the
            thresholds that it reaches with each, first those that count, then crowds.
        by_score: int64 (n,), all masks by descending score.
        n_objects: objects, crowds too.
        n_truth: objects to find.
        is_recall: average recall instead of F1.
    """

    order: tuple[tuple[int, tuple[tuple[int, int], ...], tuple[int, ...]], ...]
    by_score: NDArray[np.int64]
    n_objects: int
    n_truth: int
    is_recall: bool

    @classmethod
    def prepare(cls, matcher: Matcher, by_score: NDArray[np.int64], is_recall: bool) -> Self:
        """Sort what each mask may take."""
        order = []
        for mask in by_score.tolist():
            reach = [(item, within & _EVERY_THRESHOLD) for item, within in matcher.reach[mask]]
            if reach:
                counting = tuple(each for each in reach if not matcher.is_crowd[each[0]])
                order.append((mask, counting, tuple(bits for item, bits in reach if matcher.is_crowd[item])))
        n_truth = matcher.n_counting("all")
        return cls(tuple(order), by_score, len(matcher.is_crowd), n_truth, is_recall)

    def of(self, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """Twice the objects found, over masks judged and objects; or objects found at ten thresholds."""
        judged = self._best(alive) if self.is_recall else alive
        taken, n_ignored = self._match(judged)
        if self.is_recall:
            n_found = np.bitwise_count(taken).sum(axis=0, dtype=np.int64)
            return _columns(n_found, np.full(len(n_found), len(IOU_THRESHOLDS) * self.n_truth))
        n_found = (taken & 1).sum(axis=0, dtype=np.int64)
        return _columns(2 * n_found, alive.sum(axis=0) - n_ignored + self.n_truth)

    def _best(self, alive: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Leave each setting its 1,000 masks of best score, which average recall looks at."""
        if len(alive) <= LIMITS[-1]:
            return alive
        best = np.empty_like(alive)
        ranked = alive[self.by_score]
        best[self.by_score] = ranked & (np.cumsum(ranked, axis=0) <= LIMITS[-1])
        return best

    def _match(self, alive: NDArray[np.bool_]) -> tuple[NDArray[np.uint16], NDArray[np.int64]]:
        """The thresholds at which each object is taken, uint16 (objects, settings), and the masks in crowds at 0.5."""
        every = np.uint16(_EVERY_THRESHOLD)
        taken = np.zeros((self.n_objects, alive.shape[1]), np.uint16)
        n_ignored = np.zeros(alive.shape[1], np.int64)
        for mask, counting, crowds in self.order:
            if not alive[mask].any():
                continue
            free = np.where(alive[mask], every, np.uint16(0))
            for item, bits in counting:
                hits = free & np.uint16(bits) & ~taken[item]
                taken[item] |= hits
                free &= ~hits
            for bits in crowds:
                hits = free & np.uint16(bits)
                n_ignored += hits & 1
                free &= ~hits
        return taken, n_ignored


@dataclass(frozen=True, slots=True)
class Covered:
    """The share of the image in a mask.

    Attributes:
        spans: the masks' runs.
        n_pixels: the image's.
    """

    spans: Spans
    n_pixels: int

    def of(self, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The share covered, and 1 for the image."""
        covered = np.array([self.spans.covered_px(np.flatnonzero(member)) for member in alive.T], np.float64)
        return _columns(covered / self.n_pixels, np.ones(len(covered)))


@dataclass(frozen=True, slots=True)
class Panoptic:
    """Panoptic quality without categories (Kirillov et al. 2019), each pixel given to its mask of best predicted IoU.

    A mask and an object match if their IoU is above 0.5. Masks more than half in a crowd count neither way, like masks
    of which no pixel is left.

    Attributes:
        by_score: int64 (n,), the masks by descending score.
        spans: the runs of the masks, best first.
        objects: the runs of the objects: start, end, object.
        areas_px: float64 (objects,).
        is_crowd: bool (objects,).
    """

    by_score: NDArray[np.int64]
    spans: Spans
    objects: tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]
    areas_px: NDArray[np.float64]
    is_crowd: NDArray[np.bool_]

    @classmethod
    def prepare(
        cls, codes: Sequence[bytes], by_score: NDArray[np.int64], objects: TrueObjects, size_hw: tuple[int, int]
    ) -> Self:
        """Read the runs of masks and objects."""
        true = Spans.of(objects.counts).take(np.arange(len(objects)))
        areas = objects.areas_px(size_hw).astype(np.float64)
        return cls(by_score, Spans.of([codes[mask] for mask in by_score]), true, areas, objects.is_crowd)

    def of(self, alive: NDArray[np.bool_]) -> NDArray[np.float64]:
        """The sum of matches' IoUs, over matches and half of the masks and objects without one."""
        kept = (np.flatnonzero(member) for member in alive[self.by_score].T)
        return np.array([self._measure(masks) for masks in kept], np.float64).reshape(-1, 2)

    def _measure(self, masks: NDArray[np.int64]) -> tuple[float, float]:
        visible, common = self._painted(masks)
        common, visible = common[visible > 0], visible[visible > 0]
        wanted, areas = common[:, ~self.is_crowd], self.areas_px[~self.is_crowd]
        best = (wanted / (visible[:, None] + areas - wanted)).max(axis=1, initial=0.0)
        # Two masks without common pixels cannot both match an object; of nested objects, a mask takes the best.
        is_match = best > _PANOPTIC_IOU
        in_crowd = common[:, self.is_crowd].max(axis=1, initial=0.0) > visible / 2
        n_match, n_ignored = int(is_match.sum()), int((in_crowd & ~is_match).sum())
        n_alone = len(visible) - n_match - n_ignored + len(areas) - n_match
        return float(best[is_match].sum()), n_match + n_alone / 2

    def _painted(self, masks: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Each mask's visible pixels, float64 (masks,), and those of them in each object, float64 (masks, objects)."""
        start, end, rank = self.spans.take(masks)
        true_start, true_end, item = self.objects
        edges = np.unique(np.concatenate([start, end, true_start, true_end]))
        length = np.diff(edges)
        place, run = spread(np.searchsorted(edges, start), np.searchsorted(edges, end))
        nobody = len(masks)
        owner = np.full(len(length), nobody)
        np.minimum.at(owner, place, rank[run])
        visible = np.bincount(owner, length, nobody + 1).astype(np.float64)[:nobody]
        place, run = spread(np.searchsorted(edges, true_start), np.searchsorted(edges, true_end))
        n_objects = len(self.areas_px)
        pairs = np.bincount(owner[place] * n_objects + item[run], length[place], (nobody + 1) * n_objects)
        return visible, pairs.astype(np.float64).reshape(nobody + 1, n_objects)[:nobody]


def _columns(first: NDArray[np.generic], second: NDArray[np.generic]) -> NDArray[np.float64]:
    return np.stack([first, second], axis=1).astype(np.float64)
