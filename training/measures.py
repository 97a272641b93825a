"""Compare masks with the truth."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from maskgrid.dataset.demo import Clip, Scene, draw_clip, draw_scene
from maskgrid.io.errors import UserError

Masks = NDArray[np.bool_]

IOU_STEPS = np.arange(0.5, 1.0, 0.05)

FIRST_TRAINING_SEED = 1_000_000  # training uses seeds from here on, measuring those below
LEAST_AREA_FRAC = 0.002  # objects that cover a smaller share of the image are not measured


def pairwise_iou(first: Masks, second: Masks) -> NDArray[np.float64]:
    """IoU of every mask of ``first`` (N, H, W) with every mask of ``second`` (M, H, W): (N, M)."""
    a = first.reshape(len(first), -1).astype(np.float32)
    b = second.reshape(len(second), -1).astype(np.float32)
    common = (a @ b.T).astype(np.float64)
    union = a.sum(1)[:, None] + b.sum(1)[None] - common
    return np.asarray(common / np.maximum(union, 1))


def drawable(mask: NDArray[np.bool_], logits_side_px: int) -> NDArray[np.bool_]:
    """The best that logits of this size can draw of a square mask (S, S): shrink it to cell means, then enlarge it."""
    cells = cv2.resize(mask.astype(np.float32), (logits_side_px, logits_side_px), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(cells, mask.shape[::-1], interpolation=cv2.INTER_LINEAR) > 0.5)


def recalls(iou: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of objects matched to a mask of their own at each IoU threshold 0.5, 0.55, ..., 0.95.

    Args:
        iou: objects x masks.
    """
    if 0 in iou.shape:
        return np.zeros(len(IOU_STEPS))
    matched = []
    for least in IOU_STEPS:
        hits = iou >= least
        rows, columns = linear_sum_assignment(hits, maximize=True)
        matched.append(hits[rows, columns].sum() / len(iou))
    return np.array(matched)


def held_out_scenes(count: int, first: int = 0) -> Iterator[Scene]:
    """Draw ``count`` held-out scenes of 256 x 256 pixels at full difficulty, from seed ``first`` on."""
    if first < 0 or first + count > FIRST_TRAINING_SEED:
        raise UserError(
            f"held-out scenes have seeds 0 to {FIRST_TRAINING_SEED - 1}, not {first} to {first + count - 1}"
        )
    return (draw_scene(seed) for seed in range(first, first + count))


def held_out_clips(count: int) -> Iterator[Clip]:
    """Draw the first ``count`` held-out clips, each of 20 frames of 256 x 256 pixels."""
    return (draw_clip(seed) for seed in range(count))


def is_measured(scene: Scene) -> NDArray[np.bool_]:
    """Which objects of a scene, wholes and parts, are large enough to measure, (N,) bool."""
    return np.asarray(scene.masks.mean((1, 2)) > LEAST_AREA_FRAC)


def measured_masks(scene: Scene) -> NDArray[np.bool_]:
    """The masks that are large enough to measure, (M, H, W) bool."""
    return np.asarray(scene.masks[is_measured(scene)])
