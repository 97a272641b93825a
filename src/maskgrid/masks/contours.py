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


@dataclass(frozen=True, slots=True)
class Contour:
    """A mask's contour: pixels that differ from their neighbour to the right, below, or both.

    Attributes:
        corner_yx: where ``pixels`` begin in the image.
        pixels: bool (h, w), a part of the image that holds the whole contour.
        n_px: pixels on the contour; 0 for an empty mask and for one that covers the whole image.
    """

    corner_yx: tuple[int, int]
    pixels: NDArray[np.bool_]
    n_px: int


def contour_of(mask: NDArray[np.bool_]) -> Contour:
    """Find the contour of a mask (H, W)."""
    rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    if not len(rows):
        return Contour((0, 0), np.zeros((0, 0), np.bool_), 0)
    top, left = max(int(rows[0]) - 1, 0), max(int(columns[0]) - 1, 0)
    # A row and a column more than the mask, if the image has them: only the image's own edge is no contour.
    part = mask[top : rows[-1] + 2, left : columns[-1] + 2]
    right, below = np.zeros_like(part), np.zeros_like(part)
    right[:, :-1] = part[:, :-1] ^ part[:, 1:]
    below[:-1] = part[:-1] ^ part[1:]
    pixels = right | below
    pixels[:-1, :-1] |= part[:-1, :-1] ^ part[1:, 1:]
    return Contour((top, left), pixels, int(pixels.sum()))


def region_similarity(mask: NDArray[np.bool_], truth: NDArray[np.bool_]) -> float:
    """J: the IoU of two masks (H, W); 1 if both are empty."""
    union = int((mask | truth).sum())
    return 1.0 if union == 0 else float((mask & truth).sum() / union)


def contour_accuracy(contour: Contour, truth: Contour, size_hw: tuple[int, int]) -> float:
    """F: the harmonic mean of the contours' precision and recall; 1 if neither has a pixel, 0 if one of them has none.

    A pixel counts as found if the other contour is within 0.8 % of the image's diagonal, rounded up.
    """
    if not contour.n_px or not truth.n_px:
        return float(contour.n_px == truth.n_px)
    radius_px = math.ceil(TOLERANCE_FRAC * float(np.linalg.norm(size_hw)))
    if not _may_touch(contour, truth, radius_px):
        return 0.0
    first, second = _together(contour, truth)
    precision = float((first & _near(second, radius_px)).sum() / contour.n_px)
    recall = float((second & _near(first, radius_px)).sum() / truth.n_px)
    return 0.0 if precision + recall == 0 else 2 * precision * recall / (precision + recall)


def _may_touch(first: Contour, second: Contour, radius_px: int) -> bool:
    """Whether the contours' boxes are within a distance along both axes."""
    return all(
        first.corner_yx[axis] - radius_px < second.corner_yx[axis] + second.pixels.shape[axis]
        and second.corner_yx[axis] - radius_px < first.corner_yx[axis] + first.pixels.shape[axis]
        for axis in (0, 1)
    )


def _together(*contours: Contour) -> list[NDArray[np.bool_]]:
    """The contours in the smallest window that holds them all."""
    top, left = (min(contour.corner_yx[axis] for contour in contours) for axis in (0, 1))
    bottom, right = (max(one.corner_yx[axis] + one.pixels.shape[axis] for one in contours) for axis in (0, 1))
    planes = []
    for contour in contours:
        plane = np.zeros((bottom - top, right - left), np.bool_)
        y, x = contour.corner_yx[0] - top, contour.corner_yx[1] - left
        plane[y : y + contour.pixels.shape[0], x : x + contour.pixels.shape[1]] = contour.pixels
        planes.append(plane)
    return planes


def _near(contour: NDArray[np.bool_], radius_px: int) -> NDArray[np.bool_]:
    """Which pixels are within a distance of a contour."""
    distance_px = cv2.distanceTransform((~contour).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    return np.asarray(distance_px <= radius_px + _ROUNDING_PX)
