"""Fit the IoU head alone to the IoU that the trained network really reaches.

While the masks still change, the head lags behind and predicts little but the mean. Once everything else is frozen, it
can be fitted to recorded tokens in seconds.
"""

from dataclasses import dataclass

import numpy as np
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from training.batches import Choice, draw_batch
from training.losses import drawn_iou
from training.model import decode, encode
from training.plans import CalibrationPlan
from training.pool import Pool
from training.prompts import box_prompts, click_prompts

_STAGE = 3  # seeds the random numbers
_FULL_AREA_FRAC = 0.003
_HELD_BACK = 5  # every fifth record checks the fit


@dataclass(frozen=True, slots=True)
class Records:
    """Inputs of the IoU head and the right answers.

    Attributes:
        tokens: the head's inputs, (M, C) float32.
        true_iou: true IoU of the four masks, (M, 4) float32.
    """

    tokens: Tensor
    true_iou: Tensor


@dataclass(frozen=True, slots=True)
class Fit:
    """Mean absolute error of the three masks' predicted IoU on held-back records, before and after the fit."""

    before: float
    after: float


def record(model: SAM2Base, pool: Pool, plan: CalibrationPlan) -> Records:
    """Prompt objects in scenes with clicks and boxes; record the head's inputs and the IoU of each mask."""
    tokens: list[Tensor] = []
    true_iou: list[Tensor] = []
    hook = model.sam_mask_decoder.iou_prediction_head.register_forward_pre_hook(
        lambda _, arguments: tokens.append(arguments[0].detach())
    )
    n_clicks = plan.n_targets - plan.n_boxes
    clicked = Choice(n_clicks, plan.least_area_frac, _FULL_AREA_FRAC, plan.ground_share)
    boxed = Choice(plan.n_boxes, plan.least_area_frac, _FULL_AREA_FRAC, plan.ground_share)
    generator = torch.Generator().manual_seed(_STAGE)
    with torch.no_grad():
        for step in range(plan.batches):
            rng = np.random.default_rng([_STAGE, step])
            batch = draw_batch(rng, pool, plan.n_images, (clicked, boxed)).to(model.device)
            features = encode(model, batch.images)
            clicks, boxes = batch.part(slice(n_clicks)), batch.part(slice(n_clicks, None))
            for asked, prompts in (
                (clicks, click_prompts(clicks.clicks_xy, clicks.targets.shape[-1])),
                (boxes, box_prompts(boxes.targets, generator)),
            ):
                answers = decode(model, features.repeated(len(asked.targets) // plan.n_images), prompts)
                true_iou.append(drawn_iou(answers.logits, asked.targets.float()))
    hook.remove()
    return Records(torch.cat(tokens), torch.cat(true_iou))


def calibrate(model: SAM2Base, records: Records, plan: CalibrationPlan) -> Fit:
    """Fit the IoU head of ``model`` in place to a quantile of the true IoU in ``records``."""
    head = model.sam_mask_decoder.iou_prediction_head
    checks = torch.arange(len(records.tokens)) % _HELD_BACK == 0
    fitted = Records(records.tokens[~checks], records.true_iou[~checks])
    held_back = Records(records.tokens[checks], records.true_iou[checks])
    before = _error(head, held_back)
    best = (float("inf"), head.state_dict())
    optimizer = torch.optim.AdamW(head.parameters(), lr=plan.rate, weight_decay=plan.weight_decay)
    generator = torch.Generator().manual_seed(_STAGE)
    for step in range(plan.steps):
        chosen = torch.randint(0, len(fitted.tokens), (plan.batch,), generator=generator).to(fitted.tokens.device)
        loss = _missed(head, Records(fitted.tokens[chosen], fitted.true_iou[chosen]), plan.quantile)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
        if step % 50 == 0:
            with torch.no_grad():
                missed = float(_missed(head, held_back, plan.quantile))
            if missed < best[0]:
                best = (missed, {name: value.clone() for name, value in head.state_dict().items()})
    head.load_state_dict(best[1])
    return Fit(before, _error(head, held_back))


def _missed(head: nn.Module, records: Records, quantile: float) -> Tensor:
    """Quantile (pinball) loss."""
    short = records.true_iou - head(records.tokens)
    return torch.maximum(quantile * short, (quantile - 1) * short).mean()


def _error(head: nn.Module, records: Records) -> float:
    with torch.no_grad():
        return float((head(records.tokens) - records.true_iou)[:, 1:].abs().mean())
