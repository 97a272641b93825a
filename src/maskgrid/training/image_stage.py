"""Training on still images: clicks, boxes, masks, corrections."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import astuple, dataclass
from typing import cast

import numpy as np
import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from maskgrid.training.batches import Batch, draw_batch
from maskgrid.training.losses import MaskLoss, PixelEmbedding, mask_loss
from maskgrid.training.memory import memory_parameters
from maskgrid.training.network import Answers, Features, decode, encode, pick
from maskgrid.training.plans import ImagePlan
from maskgrid.training.pool import Pool
from maskgrid.training.prompts import Prompts, box_prompts, click_prompts, corrected, with_mask
from maskgrid.training.shards import N_SHARDS, mean_gradients
from maskgrid.training.state import State, advance, generators, started, trained_parameters

_STAGE = 1  # the stream of random numbers
_EMBEDDING_WEIGHT = 0.3
_PRESENCE_WEIGHT = 0.05
_BOX_SHARE = 0.2
_GROUND_SHARE = 0.5


@dataclass(frozen=True, slots=True)
class ImageReport:
    """Figures of one step.

    Attributes:
        loss: of all parts together.
        best_iou: mean IoU of the best of three masks.
        single_iou: mean IoU of the single mask.
        iou_error: mean absolute error of the predicted IoU.
        embedding: the loss of telling pixels of one object from others.
    """

    loss: float
    best_iou: float
    single_iou: float
    iou_error: float
    embedding: float


def start_image_stage(model: SAM2Base) -> State:
    """A training of everything but the memory."""
    width = model.hidden_dim
    helper = PixelEmbedding(width // 8 + width // 4 + width).to(model.device)
    memory = {id(parameter) for parameter in memory_parameters(model)}
    trained = [parameter for parameter in model.parameters() if id(parameter) not in memory]
    return started(model, helper, [*trained, *helper.parameters()])


def image_step(state: State, plan: ImagePlan, easy: Pool, full: Pool, executor: ThreadPoolExecutor) -> ImageReport:
    """Do the next step of the training.

    Args:
        state: the training, changed in place.
        plan: what to do at which step.
        easy: scenes for the beginning.
        full: scenes for the rest.
        executor: from :func:`maskgrid.training.shards.workers`.
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
    batch = draw_batch(rng, pool, n_images, plan.n_targets, plan.least_area_frac, _GROUND_SHARE)
    batch = batch.to(model.device)
    features = encode(model, batch.images)
    wanted = _wanted(batch, plan.disc_radius_frac(state.step))
    share = plan.best_share(state.step)
    boxes = share >= 1 and rng.random() < _BOX_SHARE
    prompts = box_prompts(batch.targets, generator) if boxes else click_prompts(batch.clicks_xy)
    repeated = features.repeated(plan.n_targets)
    answers = decode(model, repeated, prompts)
    first = mask_loss(answers.logits, answers.predicted_iou, wanted, share, three=not boxes)
    embedding = cast(Tensor, state.helper(features.levels, batch.labels, generator))
    loss = first.masks + first.iou + _EMBEDDING_WEIGHT * embedding + _PRESENCE_WEIGHT * _present(answers)
    if share >= 1 and rng.random() < plan.follow_up:
        second = _follow_up(model, repeated, prompts, answers, batch, generator, correct=rng.random() < 0.7)
        loss = loss + second.masks + second.iou
    return loss, _report(loss, first, embedding, answers)


def _wanted(batch: Batch, disc_radius_frac: float | None) -> Tensor:
    """The targets, at first cut to a disc around the click; while the disc is smallest, the disc itself."""
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


def _follow_up(
    model: SAM2Base,
    features: Features,
    prompts: Prompts,
    answers: Answers,
    batch: Batch,
    generator: torch.Generator,
    correct: bool,
) -> MaskLoss:
    """A second round for every other prompt: one more click where the mask is wrong, or the mask alone."""
    half = torch.arange(int(generator.initial_seed() % 2), len(batch.targets), 2)
    best = answers.predicted_iou[half].argmax(1)
    logits = pick(answers.logits[half], best).detach()
    same = Prompts(prompts.points_xy[half], prompts.labels[half])
    targets = batch.targets[half]
    again = corrected(same, logits, targets, generator) if correct else with_mask(same, logits)
    second = decode(model, features.chosen(half), again)
    return mask_loss(second.logits, second.predicted_iou, targets.float(), 1.0, three=False)


def _report(loss: Tensor, first: MaskLoss, embedding: Tensor, answers: Answers) -> ImageReport:
    error = (answers.predicted_iou.detach() - first.true_iou).abs().mean()
    return ImageReport(
        loss=float(loss.detach()),
        best_iou=float(first.true_iou[:, 1:].max(1).values.mean()),
        single_iou=float(first.true_iou[:, 0].mean()),
        iou_error=float(error),
        embedding=float(embedding.detach()),
    )
