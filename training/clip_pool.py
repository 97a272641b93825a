"""A pool of clips with encoded frames: the encoder is frozen while the memory learns, so each frame is encoded once."""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from maskgrid.dataset.demo import Clip
from training.batches import Choice, choose_targets, click_inside, normalise
from training.model import Features, encode

_LEAST_CLICKED_FRAC, _FULL_CLICKED_FRAC, _GROUND_SHARE = 0.0007, 0.003, 0.3
_LEAST_FIRST_FRAC = 0.003  # of the image: least area of an object in the frame where tracking starts


@dataclass(frozen=True, slots=True)
class EncodedClip:
    """The encoded frames of a clip and its masks.

    Attributes:
        levels: feature maps, finest first, each (T, C, h, w) float16.
        masks: (T, N, S, S) bool.
    """

    levels: list[Tensor]
    masks: NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Window:
    """N objects to track through T frames; each comes with the features of its own clip.

    Attributes:
        frames: the features of each frame, one row per object.
        targets: (T, N, S, S) bool; every object is visible in the first frame.
    """

    frames: list[Features]
    targets: Tensor


def encode_clips(model: SAM2Base, clips: Iterable[Clip]) -> tuple[list[EncodedClip], list[Tensor]]:
    """Encode clips; return them and the positional encodings that all frames share."""
    encoded: list[EncodedClip] = []
    positions: list[Tensor] = []
    with torch.no_grad():
        for clip in clips:
            if clip.masks.shape[1] == 0:
                continue
            features = encode(model, normalise(clip.frames).to(model.device))
            encoded.append(EncodedClip([level.half() for level in features.levels], clip.masks))
            positions = [position[:1] for position in features.positions]
    return encoded, positions


def draw_window(
    rng: Generator,
    pool: list[EncodedClip],
    positions: list[Tensor],
    n_clips: int,
    n_objects: int,
    n_frames: int,
) -> Window:
    """Cut windows out of random clips, forwards or backwards, at the clip's speed or twice that.

    Args:
        rng: random number generator.
        pool: the clips; the windows stay on their device.
        positions: the positional encodings of a frame.
        n_clips: number of windows.
        n_objects: objects to track in each window.
        n_frames: frames per window.
    """
    levels: list[list[Tensor]] = [[] for _ in positions]
    targets: list[NDArray[np.bool_]] = []
    while len(targets) < n_clips * n_objects:
        clip = pool[int(rng.integers(len(pool)))]
        times = _times(rng, len(clip.masks), n_frames)
        seen = np.flatnonzero(clip.masks[times[0]].mean((1, 2)) > _LEAST_FIRST_FRAC)
        if len(seen) == 0:
            continue
        for number in rng.choice(seen, size=n_objects):
            targets.append(clip.masks[times, number])
            for kept, level in zip(levels, clip.levels, strict=True):
                kept.append(level[times])
    stacked = [torch.stack(kept).float() for kept in levels]  # (N, T, C, h, w)
    frames = [Features([level[:, t] for level in stacked], positions) for t in range(n_frames)]
    return Window(frames, torch.from_numpy(np.stack(targets, axis=1)).to(stacked[0].device))


def draw_clicked(
    rng: Generator, pool: list[EncodedClip], positions: list[Tensor], n_images: int, n_targets: int
) -> tuple[Features, Tensor, Tensor]:
    """Draw objects to click in the first frames of clips.

    Returns:
        Features, one row per object; targets (N, S, S) bool; clicks (N, 2) float32, x then y. N is
        ``n_images * n_targets``.
    """
    chosen = [pool[int(index)] for index in rng.integers(len(pool), size=n_images)]
    choice = Choice(n_targets, _LEAST_CLICKED_FRAC, _FULL_CLICKED_FRAC, _GROUND_SHARE)
    masks = [choose_targets(rng, clip.masks[0], choice) for clip in chosen]
    targets = np.concatenate(masks)
    clicks = np.stack([click_inside(rng, mask) for mask in targets])
    levels = [
        torch.stack([clip.levels[number][0] for clip in chosen]).float().repeat_interleave(n_targets, 0)
        for number in range(len(positions))
    ]
    device = levels[0].device
    return Features(levels, positions), torch.from_numpy(targets).to(device), torch.from_numpy(clicks).to(device)


def _times(rng: Generator, length: int, n_frames: int) -> NDArray[np.int64]:
    stride = 2 if rng.random() < 0.4 and 2 * n_frames <= length else 1
    first = int(rng.integers(length - stride * (n_frames - 1)))
    times = first + stride * np.arange(n_frames)
    return times[::-1].copy() if rng.random() < 0.5 else times
