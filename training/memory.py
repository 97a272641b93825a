"""Run sam2's tracking frame by frame, with gradients, to train the memory."""

import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from training.model import Features

# Equal biases of queries and keys make attention under rotary encoding fall off with distance, so that the memory of
# the same place counts most. At 2, a place two cells away has a tenth of the weight.
_NEARNESS_BIAS = 2.0

MEMORY_PARTS = ("memory", "maskmem", "obj_ptr", "no_obj", "mask_downsample")


@dataclass(frozen=True, slots=True)
class TrackedFrame:
    """The model's output for N objects in one frame.

    Attributes:
        logits: the three masks, (N, 3, h, w); -1024 where the model believes that the object is gone.
        predicted_iou: (N, 3).
        presence: logit that the object is visible, (N, 1).
    """

    logits: Tensor
    predicted_iou: Tensor
    presence: Tensor


def initialise_memory(model: SAM2Base, features: Features) -> None:
    """Initialise the memory so that it learns to carry masks from frame to frame.

    Args:
        model: changed in place.
        features: features of some frames; the memory's output starts at the scale of their last level, which the
            decoder is used to.
    """
    for layer in model.memory_attention.layers:
        for projection in (layer.cross_attn_image.q_proj, layer.cross_attn_image.k_proj):
            nn.init.constant_(projection.bias, _NEARNESS_BIAS)
    nn.init.constant_(model.memory_attention.norm.weight, float(features.levels[-1].std()))


def track_window(model: SAM2Base, frames: list[Features], first_masks: Tensor) -> list[TrackedFrame]:
    """Track masks from the first frame through the others, as sam2's video predictor does.

    Args:
        model: the network.
        frames: the features of each frame, one row per object.
        first_masks: the masks in the first frame, (N, S, S) bool.

    Returns:
        The output for each frame after the first.
    """
    outputs: dict[str, dict[int, dict[str, Any]]] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    given = _as_mask_input(first_masks, model.image_size)
    answers = []
    for index, features in enumerate(frames):
        levels = [level.flatten(2).permute(2, 0, 1) for level in features.levels]
        count = len(first_masks)
        positions = [place.expand(count, -1, -1, -1).flatten(2).permute(2, 0, 1) for place in features.positions]
        sizes = [(math.isqrt(len(level)),) * 2 for level in levels]
        current, found, _, _ = model._track_step(
            frame_idx=index,
            is_init_cond_frame=index == 0,
            current_vision_feats=levels,
            current_vision_pos_embeds=positions,
            feat_sizes=sizes,
            point_inputs=None,
            mask_inputs=given if index == 0 else None,
            output_dict=outputs,
            num_frames=len(frames),
            track_in_reverse=False,
            prev_sam_mask_logits=None,
        )
        logits, _, predicted_iou, _, drawn, pointer, presence = found
        current["obj_ptr"] = pointer
        model._encode_memory_in_output(levels, sizes, None, True, drawn, presence, current)
        kind = "cond_frame_outputs" if index == 0 else "non_cond_frame_outputs"
        outputs[kind][index] = current
        if index > 0:
            answers.append(TrackedFrame(logits, predicted_iou, presence))
    return answers


def _as_mask_input(masks: Tensor, side_px: int) -> Tensor:
    """Resize masks (N, S, S) bool to (N, 1, side_px, side_px) bool, as sam2's ``add_new_mask`` does."""
    resized = F.interpolate(
        masks[:, None].float(), (side_px, side_px), mode="bilinear", align_corners=False, antialias=True
    )
    return resized >= 0.5


def memory_parameters(model: SAM2Base) -> list[nn.Parameter]:
    """The parameters that only tracking needs."""
    return [parameter for name, parameter in model.named_parameters() if any(part in name for part in MEMORY_PARTS)]


def decoder_parameters(model: SAM2Base) -> list[nn.Parameter]:
    """The mask decoder's parameters, except conv_s0 and conv_s1, which the encoded features have already passed."""
    return [
        parameter
        for name, parameter in model.sam_mask_decoder.named_parameters()
        if not name.startswith(("conv_s0", "conv_s1"))
    ]


def freeze(model: SAM2Base, trained: list[nn.Parameter]) -> None:
    """Turn off gradients for all parameters except ``trained``."""
    kept = {id(parameter) for parameter in trained}
    for parameter in model.parameters():
        parameter.requires_grad_(id(parameter) in kept)


def learnable_rows(presence: Tensor, there: Tensor) -> Tensor:
    """Rows whose masks carry a gradient: the object is visible, ``there`` (N,) bool, and the model believes so."""
    return torch.nonzero(there & (presence[:, 0] > 0))[:, 0]
