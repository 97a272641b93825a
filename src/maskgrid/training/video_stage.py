"""Training of the memory on clips, with the encoder frozen and clicks rehearsed."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from maskgrid.training.batches import click_inside
from maskgrid.training.clip_pool import EncodedClip, Window, draw_window
from maskgrid.training.losses import mask_loss, tracking_loss
from maskgrid.training.memory import TrackedFrame, freeze, masked_out, memory_parameters, track_window
from maskgrid.training.network import decode
from maskgrid.training.plans import VideoPlan
from maskgrid.training.prompts import click_prompts
from maskgrid.training.shards import N_SHARDS, mean_gradients
from maskgrid.training.state import State, advance, generators, started, trained_parameters

_STAGE = 2  # the stream of random numbers


@dataclass(frozen=True, slots=True)
class VideoReport:
    """Figures of one step: the loss, IoU of the tracked mask, of the best of three after a click, presence known."""

    loss: float
    tracked_iou: float
    clicked_iou: float
    presence: float


def start_video_stage(model: SAM2Base) -> State:
    """A training of the memory and the decoder. The model is left in evaluation mode: no dropout."""
    model.eval()
    trained = memory_parameters(model)
    freeze(model, trained)
    return started(model, nn.Identity(), trained)


def video_step(
    state: State,
    plan: VideoPlan,
    pool: list[EncodedClip],
    positions: list[Tensor],
    executor: ThreadPoolExecutor,
) -> VideoReport:
    """Do the next step of the training.

    Args:
        state: the training, changed in place.
        plan: what to do at which step.
        pool: clips.
        positions: the positional encodings of a frame.
        executor: from :func:`maskgrid.training.shards.workers`.
    """

    def loss_of(shard: int) -> tuple[Tensor, VideoReport]:
        rng, _ = generators(_STAGE, state.step, shard)
        n_frames = plan.frames_at(state.step)
        window = draw_window(rng, pool, positions, plan.n_clips // N_SHARDS, plan.n_objects, n_frames)
        return _window_loss(cast(SAM2Base, state.model), window, rng)

    gradients, reports = mean_gradients(executor, trained_parameters(state), loss_of)
    advance(state, gradients, plan.rate_at(state.step))
    means = np.mean([astuple(report) for report in reports], axis=0)
    return VideoReport(*(float(mean) for mean in means))


def _window_loss(model: SAM2Base, window: Window, rng: np.random.Generator) -> tuple[Tensor, VideoReport]:
    answers = track_window(model, window.frames, window.targets[0])
    parts = [_frame_loss(answer, target) for answer, target in zip(answers, window.targets[1:], strict=True)]
    clicks = np.stack([click_inside(rng, mask) for mask in window.targets[0].numpy()])
    clicked = decode(model, window.frames[0], click_prompts(torch.from_numpy(clicks)))
    rehearsed = mask_loss(clicked.logits, clicked.predicted_iou, window.targets[0].float(), 1.0, three=True)
    loss = sum((part for part, _ in parts), start=rehearsed.masks + rehearsed.iou) / len(parts)
    presence = np.mean(
        [
            float(((answer.presence[:, 0] > 0) == target.any(2).any(1)).float().mean())
            for answer, target in zip(answers, window.targets[1:], strict=True)
        ]
    )
    tracked = float(np.mean([iou for _, iou in parts]))
    best = float(rehearsed.true_iou[:, 1:].max(1).values.mean())
    return loss, VideoReport(float(loss.detach()), tracked, best, float(presence))


def _frame_loss(answer: TrackedFrame, targets: Tensor) -> tuple[Tensor, float]:
    """The loss in one frame, and the IoU of the masks that go into the memory."""
    there = targets.flatten(1).any(1)
    presence = F.binary_cross_entropy_with_logits(answer.presence[:, 0], there.float())
    rows = masked_out(answer.presence, there)
    if len(rows) == 0:
        return presence, 0.0
    found = tracking_loss(answer.logits[rows], answer.predicted_iou[rows], targets[rows].float())
    chosen = answer.predicted_iou[rows].argmax(1)
    iou = float(found.true_iou[torch.arange(len(rows)), chosen].mean())
    return presence + found.masks + found.iou, iou
