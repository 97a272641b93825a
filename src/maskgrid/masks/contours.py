"""DAVIS's measures of a mask against the truth: region similarity J and contour accuracy F.

Perazzi et al., A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation (CVPR 2016), with the
conventions of davis2017-evaluation for contours, tolerance and empty masks.
"""

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

# The tolerance of F as a share of the image's diagonal.
TOLERANCE_FRAC = 0.008
# Distances between pixels are roots of whole numbers; the next one above a radius is further away than this.
_ROUNDING_PX = 1e-3


@dataclass(frozen=True, slots=True, eq=False)
class Contour:
    """A mask's contour: pixels that differ from their neighbour to the right, below, or both.

    Attributes:
        corner_yx: where ``pixels`` begin in the image.
        pixels: bool (h, w), a part of the image that holds the whole contour.
        n_px: pixels on the contour; 0 for an empty mask and for one that covers the whole image.
        radius_px: the tolerance.
        near: bool (h + 2 r, w + 2 r), pixels within the tolerance; begins by that much before ``pixels``.
    """

    corner_yx: tuple[int, int]
    pixels: NDArray[np.bool_]
    n_px: int
    radius_px: int
    near: NDArray[np.bool_]


def contour_of(mask: NDArray[np.bool_]) -> Contour:
    """Find the contour of a mask (H, W)."""
    corner_yx, pixels = _contour(mask)
    radius_px = math.ceil(TOLERANCE_FRAC * float(np.linalg.norm(mask.shape)))
    n_px = int(pixels.sum())
    return Contour(corner_yx, pixels, n_px, radius_px, _near(np.pad(pixels, radius_px), radius_px) if n_px else pixels)


def _contour(mask: NDArray[np.bool_]) -> tuple[tuple[int, int], NDArray[np.bool_]]:
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return (0, 0), np.zeros((0, 0), np.bool_)
    top, left = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
    # A row and a column more than the mask, if the image has them: only the image's own edge is no contour.
    part = mask[top : rows[-1] + 2, left : columns[-1] + 2]
    right, below = np.zeros_like(part), np.zeros_like(part)
    right[:, :-1] = part[:, :-1] ^ part[:, 1:]
    below[:-1] = part[:-1] ^ part[1:]
    pixels = right | below
    pixels[:-1, :-1] |= part[:-1, :-1] ^ part[1:, 1:]
    return (top, left), pixels


def region_similarity(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """J: the IoU of two masks (H, W); 1 if both are empty."""
    union = int((mask | truth).sum())
    return 1.0 if union == 0 else float((mask & truth).sum() / union)


def contour_accuracy(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """F of two masks (H, W); 1 if neither has a contour."""
    return accuracy_of_contour(contour_of(mask), contour_of(truth))


def accuracy_of_contour(contour: Contour, truth: Contour) -> float:
    """F: the harmonic mean of the contours' precision and recall; 1 if neither has a pixel, 0 if one of them has none.

    A pixel counts as found if the other contour is within 0.8 % of the image's diagonal, rounded up.
    """
    if not contour.n_px or not truth.n_px:
        return float(contour.n_px == truth.n_px)
    precision = _n_near(contour, truth) / contour.n_px
    recall = _n_near(truth, contour) / truth.n_px
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def _n_near(contour: Contour, other: Contour) -> int:
    """How many pixels of a contour are within the tolerance of another."""
    parts = ((contour.pixels, contour.corner_yx), (other.near, tuple(at - other.radius_px for at in other.corner_yx)))
    first = [max(corner[axis] for _, corner in parts) for axis in (0, 1)]
    last = [min(corner[axis] + pixels.shape[axis] for pixels, corner in parts) for axis in (0, 1)]
    if first[0] >= last[0] or first[1] >= last[1]:
        return 0
    windows = [
        pixels[first[0] - corner[0] : last[0] - corner[0], first[1] - corner[1] : last[1] - corner[1]]
        for pixels, corner in parts
    ]
    return int(np.count_nonzero(windows[0] & windows[1]))


def _near(contour: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """Which pixels are within a distance of a contour."""
    distance_px = cv2.distanceTransform((~contour).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance_px <= radius_px + _ROUNDING_PX)
