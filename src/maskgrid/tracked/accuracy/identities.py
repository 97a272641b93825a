"""HOTA and IDF1: whether masklets keep to their objects.

Luiten et al., HOTA: A Higher Order Metric for Evaluating Multi-Object Tracking (IJCV 129, 2021); Ristani et al.,
Performance Measures and a Data Set for Multi-Target, Multi-Camera Tracking (ECCV Workshops 2016). Conventions are those
of TrackEval: 19 thresholds for HOTA, 0.5 for IDF1.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

# 0.05, 0.1, ... 0.95
THRESHOLDS = np.arange(0.05, 0.99, 0.05)
_IDENTITY_THRESHOLD = 0.5
_EPS = float(np.finfo(np.float64).eps)


@dataclass(frozen=True, slots=True, eq=False)
class IdentityCounts:
    """What HOTA and IDF1 are computed from; counts of several videos can be added.

    Attributes:
        n_found: int64 (19,), true masks matched at each threshold.
        n_missed: int64 (19,), true masks without a match.
        n_extra: int64 (19,), masks without a match.
        association: float64 (19,), the sum of A(c) over all matches c.
        id_found: IDTP, true masks whose masklet is the object's own.
        id_missed: IDFN.
        id_extra: IDFP.
    """

    n_found: NDArray[np.int64]
    n_missed: NDArray[np.int64]
    n_extra: NDArray[np.int64]
    association: NDArray[np.float64]
    id_found: int
    id_missed: int
    id_extra: int

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> "IdentityCounts":
        """The counts from plain lists and numbers, as JSON has them."""
        found, missed, extra = (np.array(values[name], np.int64) for name in ("n_found", "n_missed", "n_extra"))
        ids = (int(values[name]) for name in ("id_found", "id_missed", "id_extra"))
        return cls(found, missed, extra, np.array(values["association"], np.float64), *ids)

    @classmethod
    def total(cls, counts: Iterable[Self]) -> "IdentityCounts":
        """The counts over several videos, whose objects are all different."""
        nothing, none = np.zeros(len(THRESHOLDS), np.int64), np.zeros(len(THRESHOLDS))
        found = IdentityCounts(nothing, nothing, nothing, none, 0, 0, 0)
        for one in counts:
            found = IdentityCounts(
                found.n_found + one.n_found,
                found.n_missed + one.n_missed,
                found.n_extra + one.n_extra,
                found.association + one.association,
                found.id_found + one.id_found,
                found.id_missed + one.id_missed,
                found.id_extra + one.id_extra,
            )
        return found

    @property
    def det_a(self) -> float:
        """Detection accuracy, the mean over the thresholds."""
        return float(self._detection().mean())

    @property
    def ass_a(self) -> float:
        """Association accuracy, the mean over the thresholds."""
        return float(self._association().mean())

    @property
    def hota(self) -> float:
        """HOTA: the geometric mean of both at each threshold, averaged."""
        return float(np.sqrt(self._detection() * self._association()).mean())

    @property
    def idf1(self) -> float:
        """IDF1."""
        return self.id_found / max(1.0, self.id_found + 0.5 * self.id_extra + 0.5 * self.id_missed)

    def _detection(self) -> NDArray[np.float64]:
        return np.asarray(self.n_found / np.maximum(1, self.n_found + self.n_missed + self.n_extra))

    def _association(self) -> NDArray[np.float64]:
        return np.asarray(self.association / np.maximum(1, self.n_found))


@dataclass(frozen=True, slots=True, eq=False)
class _Frame:
    """Overlaps on one frame; most are 0 and left out.

    Attributes:
        truth: int64 (g,), the true objects on the frame.
        masks: int64 (m,), the masklets on it.
        place: int64 (2, n), the pairs that overlap, by their places in both.
        iou: float64 (n,).
    """

    truth: NDArray[np.int64]
    masks: NDArray[np.int64]
    place: NDArray[np.int64]
    iou: NDArray[np.float64]

    def matrix(self) -> NDArray[np.float64]:
        """All overlaps, float64 (g, m)."""
        iou = np.zeros((len(self.truth), len(self.masks)))
        iou[tuple(self.place)] = self.iou
        return iou


class Identities:
    """Collects the overlaps of a video's frames, and counts."""

    def __init__(self, n_truth: int, n_masklets: int) -> None:
        """Begin with no frame.

        Args:
            n_truth: number of true objects.
            n_masklets: number of masklets.
        """
        self._frames: list[_Frame] = []
        self._n_truth = np.zeros(n_truth, np.int64)
        self._n_masks = np.zeros(n_masklets, np.int64)

    def add(self, truth: Sequence[int], masks: Sequence[int], iou: NDArray[np.float64]) -> None:
        """Add a frame.

        Args:
            truth: the true objects that are on it, by number from 0, g of them.
            masks: the masklets that are on it, m of them.
            iou: (g, m).
        """
        place = np.array(np.nonzero(iou), np.int64)
        frame = _Frame(np.array(truth, np.int64), np.array(masks, np.int64), place, iou[tuple(place)])
        self._n_truth[frame.truth] += 1
        self._n_masks[frame.masks] += 1
        self._frames.append(frame)

    def counts(self) -> IdentityCounts:
        """The counts over all frames added."""
        alignment = self._alignment()
        found = np.zeros(len(THRESHOLDS), np.int64)
        matches = np.zeros((len(THRESHOLDS), *alignment.shape), np.int32)
        for frame in self._frames:
            if not len(frame.iou):
                continue
            iou = frame.matrix()
            rows, columns = linear_sum_assignment(alignment[np.ix_(frame.truth, frame.masks)] * iou, maximize=True)
            hits = iou[rows, columns] >= THRESHOLDS[:, None] - _EPS
            found += hits.sum(axis=1)
            for threshold, hit in enumerate(hits):
                matches[threshold, frame.truth[rows[hit]], frame.masks[columns[hit]]] += 1
        union = self._n_truth[:, None] + self._n_masks[None] - matches
        association = (matches * (matches / np.maximum(1, union))).sum(axis=(1, 2))
        n_truth, n_masks = int(self._n_truth.sum()), int(self._n_masks.sum())
        id_found = self._id_found()
        missed, extra = n_truth - found, n_masks - found
        return IdentityCounts(found, missed, extra, association, id_found, n_truth - id_found, n_masks - id_found)

    def _alignment(self) -> NDArray[np.float64]:
        """How well each object and masklet fit over the whole video, float64 (n_truth, n_masklets)."""
        common = np.zeros((len(self._n_truth), len(self._n_masks)))
        for frame in self._frames:
            iou = frame.matrix()
            total = iou.sum(0)[None] + iou.sum(1)[:, None] - iou
            share = np.divide(iou, total, out=np.zeros_like(iou), where=total > _EPS)
            common[np.ix_(frame.truth, frame.masks)] += share
        union = self._n_truth[:, None] + self._n_masks[None] - common
        return np.divide(common, union, out=np.zeros_like(common), where=union > 0)

    def _id_found(self) -> int:
        """IDTP: frames on which masklets fit, each masklet given to at most one object so that it is largest."""
        fits = np.zeros((len(self._n_truth), len(self._n_masks)), np.int64)
        for frame in self._frames:
            fit = frame.iou >= _IDENTITY_THRESHOLD
            fits[frame.truth[frame.place[0, fit]], frame.masks[frame.place[1, fit]]] += 1
        return int(fits[linear_sum_assignment(fits, maximize=True)].sum())
