"""J and F of each true object over a video, and which masklet is its own."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from maskgrid.masks import rle
from maskgrid.masks.contours import Contour, accuracy_of_contour, contour_of

Codes = Mapping[int, bytes]


@dataclass(frozen=True, slots=True)
class ObjectAccuracy:
    """How well one true object was followed.

    Attributes:
        masklet: the number of its masklet, from 0; None if none overlaps it.
        n_frames: frames measured.
        j: mean of J over these frames; None without frames.
        f: the same of F.
    """

    masklet: int | None
    n_frames: int
    j: float | None
    f: float | None


class Overlaps:
    """Collects J and F of pairs of a true object and a masklet, frame by frame.

    A masklet without pixels on a frame fits an object without pixels (1) and no other (0), as in davis2017-evaluation.
    """

    def __init__(self, pairs: NDArray[np.bool_]) -> None:
        """Begin with no frame.

        Args:
            pairs: bool (n_truth, n_masklets), the pairs to measure; all others count as 0.
        """
        self.pairs = pairs
        n_truth, n_masklets = pairs.shape
        # The last column is a masklet without any pixel.
        self._j = np.zeros((n_truth, n_masklets + 1))
        self._f = np.zeros((n_truth, n_masklets + 1))
        self._overlaps = np.zeros((n_truth, n_masklets + 1), np.bool_)
        self._n_frames = np.zeros(n_truth, np.int64)

    def add(
        self,
        truth: Codes,
        masks: Codes,
        iou: NDArray[np.float64],
        measured: NDArray[np.bool_],
        size_hw: tuple[int, int],
    ) -> None:
        """Add a frame.

        Args:
            truth: the objects that have pixels on it, by number, as compressed run-length codes; g of them.
            masks: the masklets that have pixels on it; m of them.
            iou: (g, m).
            measured: bool (n_truth,), the objects whose truth on this frame is known.
            size_hw: the frame's height and width.
        """
        self._n_frames += measured
        wanted = np.array([*truth], np.int64), np.array([*masks], np.int64)
        chosen = self.pairs[np.ix_(*wanted)] & measured[wanted[0], None]
        parts = zip((truth, masks), (1, 0), strict=True)
        contours = [_contours(codes, np.asarray(chosen.any(axis)), size_hw) for codes, axis in parts]
        for row, column in np.argwhere(chosen):
            place = wanted[0][row], wanted[1][column]
            self._j[place] += iou[row, column]
            self._overlaps[place] |= iou[row, column] > 0
            both = contours[0][place[0]], contours[1][place[1]]
            if both[0].n_px and both[1].n_px:
                self._f[place] += accuracy_of_contour(both[1], both[0])
        n_truth, n_masklets = self._j.shape
        for total, seen in ((self._j, (truth, masks)), (self._f, [*map(_with_pixels, contours, (truth, masks))])):
            without = [~np.isin(np.arange(n), [*part]) for n, part in zip((n_truth, n_masklets), seen, strict=True)]
            total += np.outer(without[0] & measured, without[1])

    def by_number(self) -> list[ObjectAccuracy]:
        """The accuracy of each object with the first masklet of its pairs."""
        return self._accuracies([int(np.argmax(row)) if row.any() else len(row) for row in self.pairs])

    def best(self) -> list[ObjectAccuracy]:
        """The accuracy of each object, matched one to one so that the mean of J and F is largest.

        As davis2017-evaluation does for unsupervised tracking: missing masklets are empty ones.
        """
        n_truth, n_masklets = self.pairs.shape
        both = (self._j + self._f) / 2 / np.maximum(1, self._n_frames)[:, None]
        columns = [*range(n_masklets), *[n_masklets] * max(0, n_truth - n_masklets)]
        _, chosen = linear_sum_assignment(both[:, columns], maximize=True)
        return self._accuracies([columns[column] for column in chosen])

    def _accuracies(self, masklets: list[int]) -> list[ObjectAccuracy]:
        return [self._accuracy(number, masklet) for number, masklet in enumerate(masklets)]

    def _accuracy(self, number: int, masklet: int) -> ObjectAccuracy:
        n_frames = int(self._n_frames[number])
        own = masklet if self._overlaps[number, masklet] else None
        if not n_frames:
            return ObjectAccuracy(None, 0, None, None)
        j, f = (float(total[number, masklet] / n_frames) for total in (self._j, self._f))
        return ObjectAccuracy(own, n_frames, j, f)


def _contours(codes: Codes, wanted: NDArray[np.bool_], size_hw: tuple[int, int]) -> dict[int, Contour]:
    return {
        number: contour_of(rle.decode(counts, size_hw))
        for (number, counts), is_wanted in zip(codes.items(), wanted, strict=True)
        if is_wanted
    }


def _with_pixels(contours: Mapping[int, Contour], codes: Codes) -> list[int]:
    """Which masks have a contour. Without a wanted pair it is not known, and a mask that fills the image is rare."""
    return [number for number in codes if number not in contours or contours[number].n_px]
