"""Models to measure: the demo's, or an architecture of the official checkpoints with random weights.

Random weights give noise for masks, whose run-length codes take unrealistically long. So on both sides, after the
network has done all its work, a smooth disc replaces the logits of each mask, its place and size computed from them.
The last layer of the IoU head is scaled so that about four masks in ten pass sam2's default threshold of 0.8.
"""

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any

import torch
import torch.nn.functional as F
from sam2.build_sam import build_sam2
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

import maskgrid
from maskgrid.network.exact_decoder import PromptDecoder
from maskgrid.network.fast_decoder import FastPromptDecoder

CONFIGS = {
    "tiny": "configs/sam2.1/sam2.1_hiera_t.yaml",
    "small": "configs/sam2.1/sam2.1_hiera_s.yaml",
    "base_plus": "configs/sam2.1/sam2.1_hiera_b+.yaml",
    "large": "configs/sam2.1/sam2.1_hiera_l.yaml",
}
# Mean and standard deviation of the predicted IoUs' logits: 42 % of predicted IoUs are then above 0.8.
_SCORE_MEAN, _SCORE_STD = 1.2, 1.0


def make_model(architecture: str, device: str) -> SAM2Base:
    """Load the demo's model, or build an architecture with seeded random weights and smooth masks."""
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    if architecture not in CONFIGS:
        return maskgrid.load_model(architecture, device=device)
    torch.manual_seed(0)
    chosen = ("cuda" if torch.cuda.is_available() else "cpu") if device == "auto" else device
    model: SAM2Base = build_sam2(CONFIGS[architecture], None, device=chosen)
    smooth_masks(model)
    _spread_scores(model)
    return model


def smooth(logits: Tensor) -> Tensor:
    """Replace each mask (n, c, h, w) by a disc, its centre and size computed from the middle of the mask's quarters.

    Four logits cost both sides next to nothing; the mean of each quarter took a fifth of the time on a GPU.
    """
    side = logits.shape[-1]
    # In lower precision, there would be only a few discs.
    quarters = logits[..., side // 4 :: side // 2, side // 4 :: side // 2].float().flatten(2)
    y, x, size, _ = (quarters * 2000).frac().abs().unbind(-1)
    radius = side * (0.02 + 0.3 * size**2)
    steps = torch.arange(side, device=logits.device)
    distance_y = steps[:, None] - side * y[..., None, None]
    distance_x = steps - side * x[..., None, None]
    # A slope of 4 per pixel: discs larger than 20 pixels have a stability score above 0.95.
    discs = (4 * (radius[..., None, None] - torch.sqrt(distance_y**2 + distance_x**2))).clamp(-20, 20)
    return discs.to(logits.dtype)


def smooth_masks(model: SAM2Base) -> None:
    """Let a model's decoder draw discs."""
    decoder = model.sam_mask_decoder
    predict_masks = decoder.predict_masks

    def smoothed(**inputs: Any) -> tuple[Tensor, ...]:  # noqa: ANN401
        masks, *others = predict_masks(**inputs)
        return smooth(masks), *others

    decoder.predict_masks = smoothed
    decoder.draws_discs = True
    for kind in (PromptDecoder, FastPromptDecoder):
        if not hasattr(kind._drawn, "__wrapped__"):  # once in a process, however many models it has
            kind._drawn = _discs_if_marked(kind._drawn)  # type: ignore[method-assign]


def _discs_if_marked(drawn: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Smooth what a decoder of maskgrid draws, but only for models with discs: a process may hold others."""

    @wraps(drawn)
    def drawn_as_discs(self: PromptDecoder, *inputs: Any) -> Tensor:  # noqa: ANN401
        masks = drawn(self, *inputs)
        return smooth(masks) if getattr(self.decoder, "draws_discs", False) else masks

    return drawn_as_discs


def _spread_scores(model: SAM2Base) -> None:
    """Scale the IoU head's last layer so that its logits for random tokens have the wanted mean and spread."""
    head = model.sam_mask_decoder.iou_prediction_head
    last = head.layers[-1]
    with torch.no_grad():
        tokens = F.layer_norm(
            torch.randn(256, head.layers[0].in_features, device=last.weight.device), (head.layers[0].in_features,)
        )
        scores = torch.logit(head(tokens))
        scale = _SCORE_STD / scores.std(0)
        last.weight.mul_(scale[:, None])
        last.bias.copy_((last.bias - scores.mean(0)) * scale + _SCORE_MEAN)
