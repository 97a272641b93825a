"""Train on still images with clicks, boxes, masks and corrections."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from training.batches import Batch, Choice, draw_batch
from training.losses import MaskLoss, PixelEmbedding, mask_loss
from training.memory import memory_parameters
from training.model import Answers, Features, decode, encode, pick
from training.plans import ImagePlan
from training.pool import Pool
from training.prompts import Prompts, box_prompts, click_prompts, corrected, with_mask
from training.shards import N_SHARDS, mean_gradients
from training.state import State, advance, generators, started, trained_parameters

_STAGE = 1  # seeds the random numbers
_EMBEDDING_WEIGHT = 0.3
_IOU_WEIGHT = 2.0  # the IoU head learns more slowly than the masks
_PRESENCE_WEIGHT = 0.05
_BOX_WEIGHT, _BOXED_THREE = 1.0, 0.25
_FOLLOW_WEIGHT, _BOX_FOLLOWED = 0.6, 0.4
_GROUND_CLICKED, _GROUND_BOXED = 0.4, 0.1
_BOXED_LEAST_FRAC, _BOXED_FULL_FRAC = 0.0003, 0.001  # a box locates even a tiny object
_MOST_FOR_THIN = 5.0  # the network easily mistakes what lies beside a stick or inside a ring for the object


@dataclass(frozen=True, slots=True)
class ImageReport:
    """Figures of one step.

    Attributes:
        loss: total loss.
        best_iou: mean IoU of the best of three masks.
        single_iou: mean IoU of the single mask.
        iou_error: mean absolute error of the predicted IoU.
        embedding: loss of :class:`training.losses.PixelEmbedding`.
    """

    loss: float
    best_iou: float
    single_iou: float
    iou_error: float
    embedding: float


@dataclass(frozen=True, slots=True)
class _Round:
    """Prompts of one kind, their targets and the answers."""

    prompts: Prompts
    asked: Batch
    features: Features
    answers: Answers

    def loss(self, wanted: Tensor, best_share: float, three: float, others: Tensor | None = None) -> MaskLoss:
        return mask_loss(self.answers.logits, self.answers.predicted_iou, wanted, best_share, three, others)


def start_image_stage(model: SAM2Base) -> State:
    """Start training everything but the memory."""
    width = model.hidden_dim
    helper = PixelEmbedding(width // 8 + width // 4 + width).to(model.device)
    memory = {id(parameter) for parameter in memory_parameters(model)}
    trained = [parameter for parameter in model.parameters() if id(parameter) not in memory]
    return started(model, helper, [*trained, *helper.parameters()])


def image_step(state: State, plan: ImagePlan, easy: Pool, full: Pool, executor: ThreadPoolExecutor) -> ImageReport:
    """Run the next training step.

    Args:
        state: the training state, changed in place.
        plan: the schedule.
        easy: scenes for the first ``plan.easy`` steps.
        full: scenes for the other steps.
        executor: from :func:`training.shards.workers`.
    """
    pool = easy if state.step < plan.easy else full
    gradients, reports = mean_gradients(
        executor, trained_parameters(state), lambda shard: _shard_loss(state, plan, pool, shard)
    )
    advance(state, gradients, plan.rate_at(state.step))
    means = np.mean([astuple(report) for report in reports], axis=0)
    return ImageReport(*(float(mean) for mean in means))


def _shard_loss(state: State, plan: ImagePlan, pool: Pool, shard: int) -> tuple[Tensor, ImageReport]:
    model = cast(SAM2Base, state.model)
    rng, generator = generators(_STAGE + plan.side_px, state.step, shard)
    n_images = plan.n_images // N_SHARDS
    batch = draw_batch(rng, pool, n_images, _choices(plan), plan.hard_share).to(model.device)
    features = encode(model, batch.images)
    n_boxes = plan.n_boxes if state.step >= plan.best else 0
    asked = batch.part(slice(plan.n_targets - n_boxes))
    clicked = _answered(model, features, click_prompts(asked.clicks_xy, plan.side_px), asked, n_images)
    radius_frac = plan.disc_radius_frac(state.step)
    others = asked.others.float() if radius_frac is None else None
    first = clicked.loss(_wanted(asked, radius_frac), plan.best_share(state.step), three=1.0, others=others)
    embedding = cast(Tensor, state.helper(features.levels, batch.labels, generator))
    loss = (
        first.masks
        + _IOU_WEIGHT * first.iou
        + _EMBEDDING_WEIGHT * embedding
        + _PRESENCE_WEIGHT * _present(clicked.answers)
    )
    rounds = [clicked]
    if n_boxes:
        asked = batch.part(slice(plan.n_targets - n_boxes, None))
        boxed = _answered(model, features, box_prompts(asked.targets, generator), asked, n_images)
        found = boxed.loss(asked.targets.float(), plan.best_share(state.step), three=_BOXED_THREE)
        loss = loss + _BOX_WEIGHT * (found.masks + _IOU_WEIGHT * found.iou)
        rounds.append(boxed)
        if rng.random() < plan.follow_up:
            before = rounds[int(rng.random() < _BOX_FOLLOWED)]
            second = _follow_up(model, before, generator, correct=rng.random() < 0.7)
            loss = loss + _FOLLOW_WEIGHT * (second.masks + _IOU_WEIGHT * second.iou)
    return loss, _report(loss, first, embedding, clicked.answers)


def _choices(plan: ImagePlan) -> tuple[Choice, Choice]:
    """How to choose the objects for clicks and those for boxes."""
    clicked = Choice(plan.n_targets - plan.n_boxes, plan.least_area_frac, plan.full_area_frac, _GROUND_CLICKED)
    boxed = Choice(plan.n_boxes, _BOXED_LEAST_FRAC, _BOXED_FULL_FRAC, _GROUND_BOXED, _MOST_FOR_THIN, by_shortfall=True)
    return clicked, boxed


def _wanted(batch: Batch, disc_radius_frac: float | None) -> Tensor:
    """The targets, cut to a disc around the click early in training; while the disc is smallest, the disc itself."""
    targets = batch.targets.float()
    if disc_radius_frac is None:
        return targets
    side = targets.shape[-1]
    centres = torch.arange(side, dtype=torch.float32, device=targets.device) + 0.5
    x, y = batch.clicks_xy[:, 0, None, None], batch.clicks_xy[:, 1, None, None]
    disc = ((centres[None, None] - x) ** 2 + (centres[None, :, None] - y) ** 2) < (disc_radius_frac * side) ** 2
    return disc.float() if disc_radius_frac <= 0.15 else targets * disc


def _present(answers: Answers) -> Tensor:
    return F.binary_cross_entropy_with_logits(answers.presence, torch.ones_like(answers.presence))


def _answered(model: SAM2Base, features: Features, prompts: Prompts, asked: Batch, n_images: int) -> _Round:
    repeated = features.repeated(len(asked.targets) // n_images)
    return _Round(prompts, asked, repeated, decode(model, repeated, prompts))


def _follow_up(model: SAM2Base, before: _Round, generator: torch.Generator, correct: bool) -> MaskLoss:
    """Run a second round from the best mask, with one more click where it is wrong if ``correct``."""
    best = before.answers.predicted_iou.argmax(1)
    logits = pick(before.answers.logits, best).detach()
    targets = before.asked.targets
    again = corrected(before.prompts, logits, targets, generator) if correct else with_mask(before.prompts, logits)
    second = decode(model, before.features, again)
    return mask_loss(second.logits, second.predicted_iou, targets.float(), 1.0, three=0.0)


def _report(loss: Tensor, first: MaskLoss, embedding: Tensor, answers: Answers) -> ImageReport:
    error = (answers.predicted_iou.detach() - first.true_iou).abs().mean()
    return ImageReport(
        loss=float(loss.detach()),
        best_iou=float(first.true_iou[:, 1:].max(1).values.mean()),
        single_iou=float(first.true_iou[:, 0].mean()),
        iou_error=float(error),
        embedding=float(embedding.detach()),
    )
