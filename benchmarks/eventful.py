"""Drawn clips in which objects come into view, leave it, and pass behind something."""

from collections.abc import Iterator

import cv2
import numpy as np
from numpy.random import Generator, SeedSequence, default_rng
from numpy.typing import NDArray

from maskgrid.dataset.demo import Clip, draw_clip

SIDE_PX = 192
_SCENE_HW = 208, 256
_KIND = 3  # tells the random numbers from those of other clips


def eventful_clips(count: int, n_frames: int, first: int = 0) -> Iterator[Clip]:
    """Draw clips of 192 x 192 pixels, seeds below those of the demo model's training.

    A camera pans over a larger scene and back again, so that objects enter, leave and return, and a post wanders
    through the picture, behind which each object is hidden for some frames. The post is no object.
    """
    return (eventful_clip(seed, n_frames) for seed in range(first, first + count))


def eventful_clip(seed: int, n_frames: int) -> Clip:
    """Draw one clip."""
    rng = default_rng(SeedSequence([_KIND, seed]))
    scene = draw_clip(seed, n_frames, _SCENE_HW)
    views = [_window(corner) for corner in _pan(rng, n_frames)]
    frames = np.stack([frame[view] for frame, view in zip(scene.frames, views, strict=True)])
    masks = np.stack([mask[:, *view] for mask, view in zip(scene.masks, views, strict=True)])
    width_px, colour = int(rng.integers(14, 24)), rng.integers(30, 226, 3)
    start, pace = rng.uniform(0, SIDE_PX * 0.4), rng.uniform(4, 7)
    for number in range(n_frames):
        left = int(start + pace * number)
        shown = slice(max(0, left), max(0, left + width_px))
        post = frames[number, :, shown]
        frames[number, :, shown] = _wood(rng, post.shape, colour)
        masks[number, :, :, shown] = False
    return Clip(frames, masks)


def _pan(rng: Generator, n_frames: int) -> list[tuple[int, int]]:
    """The window's upper left corner, row and column, in each frame."""
    room_hw = _SCENE_HW[0] - SIDE_PX, _SCENE_HW[1] - SIDE_PX
    phase, turns = rng.uniform(0, 2 * np.pi), rng.uniform(0.5, 0.7)
    swing = (1 + np.sin(phase + turns * 2 * np.pi * np.arange(n_frames) / n_frames)) / 2
    return [(int(room_hw[0] * share), int(room_hw[1] * share)) for share in swing]


def _window(corner_yx: tuple[int, int]) -> tuple[slice, slice]:
    top, left = corner_yx
    return slice(top, top + SIDE_PX), slice(left, left + SIDE_PX)


def _wood(rng: Generator, shape: tuple[int, ...], colour: NDArray[np.int64]) -> NDArray[np.uint8]:
    grain = cv2.GaussianBlur(rng.normal(0, 30, shape[:2]), (0, 0), sigmaX=1, sigmaY=9) if 0 not in shape else 0
    return np.clip(colour + np.asarray(grain)[..., None], 0, 255).astype(np.uint8)
