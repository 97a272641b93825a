"""Scenes and clips that no training has seen."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from maskgrid.errors import UserError
from maskgrid.scenes import Clip, Scene, draw_clip, draw_scene

FIRST_TRAINING_SEED = 1_000_000  # training draws from here on, measuring below
LEAST_AREA_FRAC = 0.002  # objects under this share of the image are not measured


def held_out_scenes(count: int) -> Iterator[Scene]:
    """The first ``count`` held-out scenes of 256 x 256 pixels, in full difficulty."""
    if count > FIRST_TRAINING_SEED:
        raise UserError(f"there are {FIRST_TRAINING_SEED} held-out scenes, not {count}")
    return (draw_scene(seed) for seed in range(count))


def held_out_clips(count: int) -> Iterator[Clip]:
    """The first ``count`` held-out clips of 20 frames of 256 x 256 pixels."""
    return (draw_clip(seed) for seed in range(count))


def measured_masks(scene: Scene) -> NDArray[np.bool_]:
    """The masks of a scene that are large enough to be measured, (N, H, W) bool: wholes and parts."""
    large = scene.masks.mean((1, 2)) > LEAST_AREA_FRAC
    return np.asarray(scene.masks[large])
