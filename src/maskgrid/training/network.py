"""Calls into sam2: features of images, masks of prompts."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from maskgrid.training.prompts import Prompts


@dataclass(frozen=True, slots=True)
class Features:
    """What the encoder makes of B images.

    Attributes:
        levels: maps at 4, 8 and 16 pixels a cell, finest first, (B, C, h, w) each.
        positions: their positional encodings, in the same shapes.
    """

    levels: list[Tensor]
    positions: list[Tensor]

    def repeated(self, times: int) -> "Features":
        """Each image ``times`` times over, for as many prompts."""
        return Features([level.repeat_interleave(times, 0) for level in self.levels], self.positions)

    def chosen(self, indices: Tensor) -> "Features":
        """The images with these indices, (n,) int64."""
        return Features([level[indices] for level in self.levels], self.positions)


@dataclass(frozen=True, slots=True)
class Answers:
    """What the decoder says to N prompts.

    Attributes:
        logits: (N, 4, h, w): the single mask, then the three of an ambiguous prompt.
        predicted_iou: (N, 4).
        presence: logit of the object being there at all, (N, 1).
    """

    logits: Tensor
    predicted_iou: Tensor
    presence: Tensor


def encode(model: SAM2Base, images: Tensor) -> Features:
    """Run the image encoder on normalised images (B, 3, S, S), brought to its size as sam2's transforms do."""
    size_hw = (model.image_size, model.image_size)
    if images.shape[-2:] != size_hw:
        images = F.interpolate(images, size_hw, mode="bilinear", align_corners=False, antialias=True)
    output = model.forward_image(images)
    return Features(output["backbone_fpn"], output["vision_pos_enc"])


def decode(model: SAM2Base, features: Features, prompts: Prompts) -> Answers:
    """Run the prompt encoder and the mask decoder, without memory; one image for each prompt."""
    sparse, dense = model.sam_prompt_encoder(
        points=(prompts.points_frac_xy * model.image_size, prompts.labels), boxes=None, masks=prompts.logits
    )
    logits, predicted_iou, _, presence = model.sam_mask_decoder.predict_masks(
        image_embeddings=features.levels[-1] + model.no_mem_embed.reshape(1, -1, 1, 1),
        image_pe=model.sam_prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        repeat_image=False,
        high_res_features=features.levels[:-1],
    )
    return Answers(logits, predicted_iou, presence)


def pick(logits: Tensor, indices: Tensor) -> Tensor:
    """One mask of each prompt: (N, 1, h, w) of (N, M, h, w) by indices (N,)."""
    return torch.gather(logits, 1, indices[:, None, None, None].expand(-1, 1, *logits.shape[-2:]))
