"""Train the memory on clips with a frozen encoder, and keep rehearsing prompts on still scenes."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from training.clip_pool import EncodedClip, draw_clicked, draw_window
from training.losses import MaskLoss, mask_loss, tracking_loss
from training.memory import TrackedFrame, decoder_parameters, freeze, learnable_rows, memory_parameters, track_window
from training.model import decode
from training.plans import VideoPlan
from training.prompts import box_prompts, click_prompts
from training.shards import N_SHARDS, mean_gradients
from training.state import State, advance, generators, started, trained_parameters

_STAGE = 2  # seeds the random numbers
_BOX_SHARE = 0.35  # of the prompts in scenes; the others are clicks


@dataclass(frozen=True, slots=True)
class VideoPools:
    """Training data: clips to track in, and scenes to prompt in.

    Attributes:
        clips: encoded clips.
        scenes: encoded scenes, as clips of one frame.
        positions: the positional encodings that all frames share, finest level first.
    """

    clips: list[EncodedClip]
    scenes: list[EncodedClip]
    positions: list[Tensor]


@dataclass(frozen=True, slots=True)
class VideoReport:
    """Figures of one step.

    Attributes:
        loss: total loss.
        tracked_iou: mean IoU of the tracked masks.
        clicked_iou: mean IoU of the best of three masks for a click or a box in a scene.
        presence: share of frames in which the model is right about whether the object is visible.
    """

    loss: float
    tracked_iou: float
    clicked_iou: float
    presence: float


def start_video_stage(model: SAM2Base) -> State:
    """Start training the memory, and the decoder at a lower rate; in evaluation mode, so without dropout."""
    model.eval()
    memory, decoder = memory_parameters(model), decoder_parameters(model)
    freeze(model, [*memory, *decoder])
    return started(model, nn.Identity(), memory, careful=decoder)


def video_step(state: State, plan: VideoPlan, pools: VideoPools, executor: ThreadPoolExecutor) -> VideoReport:
    """Run the next training step.

    Args:
        state: the training state, changed in place.
        plan: the schedule.
        pools: the clips and scenes.
        executor: from :func:`training.shards.workers`.
    """
    gradients, reports = mean_gradients(
        executor, trained_parameters(state), lambda shard: _shard_loss(state, plan, pools, shard)
    )
    advance(state, gradients, plan.rate_at(state.step))
    means = np.mean([astuple(report) for report in reports], axis=0)
    return VideoReport(*(float(mean) for mean in means))


def _shard_loss(state: State, plan: VideoPlan, pools: VideoPools, shard: int) -> tuple[Tensor, VideoReport]:
    rng, generator = generators(_STAGE, state.step, shard)
    model = cast(SAM2Base, state.model)
    n_clips, n_frames = plan.n_clips // N_SHARDS, plan.frames_at(state.step)
    window = draw_window(rng, pools.clips, pools.positions, n_clips, plan.n_objects, n_frames)
    answers = track_window(model, window.frames, window.targets[0])
    parts = [_frame_loss(answer, target) for answer, target in zip(answers, window.targets[1:], strict=True)]
    tracked = torch.stack([part.loss for part in parts]).mean()
    clicked = _prompted(model, pools, plan, rng, generator)
    loss = tracked + clicked.masks + clicked.iou
    return loss, VideoReport(
        loss=float(loss.detach()),
        tracked_iou=float(np.mean([part.iou for part in parts])),
        clicked_iou=float(clicked.true_iou[:, 1:].max(1).values.mean()),
        presence=float(np.mean([part.presence for part in parts])),
    )


def _prompted(
    model: SAM2Base, pools: VideoPools, plan: VideoPlan, rng: np.random.Generator, generator: torch.Generator
) -> MaskLoss:
    """Loss of clicks or boxes in scenes, which keeps the decoder from forgetting them."""
    n_images = plan.n_clicked // N_SHARDS
    features, targets, clicks = draw_clicked(rng, pools.scenes, pools.positions, n_images, plan.n_targets)
    boxed = rng.random() < _BOX_SHARE
    prompts = box_prompts(targets, generator) if boxed else click_prompts(clicks, plan.side_px)
    answers = decode(model, features, prompts)
    return mask_loss(answers.logits, answers.predicted_iou, targets.float(), 0.9, three=0.25 if boxed else 1.0)


@dataclass(frozen=True, slots=True)
class _FramePart:
    """One frame's loss, the mean IoU of the masks that go into the memory, and how often presence is right."""

    loss: Tensor
    iou: float
    presence: float


def _frame_loss(answer: TrackedFrame, targets: Tensor) -> _FramePart:
    there = targets.flatten(1).any(1)
    loss = F.binary_cross_entropy_with_logits(answer.presence[:, 0], there.float())
    known = float(((answer.presence[:, 0] > 0) == there).float().mean())
    rows = learnable_rows(answer.presence, there)
    if len(rows) == 0:
        return _FramePart(loss, 0.0, known)
    found = tracking_loss(answer.logits[rows], answer.predicted_iou[rows], targets[rows].float())
    chosen = answer.predicted_iou[rows].argmax(1)
    iou = float(found.true_iou[torch.arange(len(rows)), chosen].mean())
    return _FramePart(loss + found.masks + found.iou, iou, known)
