"""Scenes and clips that no training has seen."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from maskgrid.errors import UserError
from maskgrid.scenes import Clip, Scene, draw_clip, draw_scene

FIRST_TRAINING_SEED = 1_000_000  # training draws from here on, measuring below
LEAST_AREA_FRAC = 0.002  # objects under this share of the image are not measured


def held_out_scenes(count: int, first: int = 0) -> Iterator[Scene]:
    """``count`` held-out scenes of 256 x 256 pixels from seed ``first`` on, in full difficulty."""
    if first < 0 or first + count > FIRST_TRAINING_SEED:
        raise UserError(
            f"held-out scenes have the seeds 0 to {FIRST_TRAINING_SEED - 1}, not {first} to {first + count - 1}"
        )
    return (draw_scene(seed) for seed in range(first, first + count))


def held_out_clips(count: int) -> Iterator[Clip]:
    """The first ``count`` held-out clips of 20 frames of 256 x 256 pixels."""
    return (draw_clip(seed) for seed in range(count))


def is_measured(scene: Scene) -> NDArray[np.bool_]:
    """Which objects of a scene, wholes and parts, are large enough to be measured, (N,) bool."""
    return np.asarray(scene.masks.mean((1, 2)) > LEAST_AREA_FRAC)


def measured_masks(scene: Scene) -> NDArray[np.bool_]:
    """Their masks, (M, H, W) bool."""
    return np.asarray(scene.masks[is_measured(scene)])
