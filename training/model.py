"""Build the demo model and call sam2's parts: features of images, masks of prompts."""

from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import cast

import torch
import torch.nn.functional as F
from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from training.prompts import Prompts

# With equal projections of queries and keys, cross-attention starts out attending to nearby positions.
_NEARNESS_GAIN = 1.7
# The image embedding must not start larger than the positional encoding, or the decoder never sees clicks.
_NECK_SCALE = 0.08


@dataclass(frozen=True, slots=True)
class Features:
    """The encoder's output for B images.

    Attributes:
        levels: feature maps with cells of 4, 8 and 16 pixels, finest first, each (B, C, h, w).
        positions: their positional encodings, of the same shapes.
    """

    levels: list[Tensor]
    positions: list[Tensor]

    def repeated(self, times: int) -> "Features":
        """Repeat each image ``times`` times, once per prompt."""
        return Features([level.repeat_interleave(times, 0) for level in self.levels], self.positions)

    def chosen(self, indices: Tensor) -> "Features":
        """The features of the images with these indices, (n,) int64."""
        return Features([level[indices] for level in self.levels], self.positions)


@dataclass(frozen=True, slots=True)
class Answers:
    """The decoder's output for N prompts.

    Attributes:
        logits: (N, 4, h, w): the single mask, then the three for an ambiguous prompt.
        predicted_iou: (N, 4).
        presence: logit that the object is visible at all, (N, 1).
    """

    logits: Tensor
    predicted_iou: Tensor
    presence: Tensor


def encode(model: SAM2Base, images: Tensor) -> Features:
    """Run the image encoder on normalised images (B, 3, S, S), resized to its input as sam2's transforms do."""
    size_hw = (model.image_size, model.image_size)
    if images.shape[-2:] != size_hw:
        images = F.interpolate(images, size_hw, mode="bilinear", align_corners=False, antialias=True)
    output = model.forward_image(images)
    return Features(output["backbone_fpn"], output["vision_pos_enc"])


def decode(model: SAM2Base, features: Features, prompts: Prompts) -> Answers:
    """Run the prompt encoder and the mask decoder without memory; ``features`` has one image per prompt."""
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
    """Pick one mask per prompt from (N, M, h, w) by indices (N,): (N, 1, h, w)."""
    return torch.gather(logits, 1, indices[:, None, None, None].expand(-1, 1, *logits.shape[-2:]))


def demo_config_path() -> Path:
    """Path of the demo model's configuration."""
    return Path(str(files("maskgrid.network.demo") / "maskgrid_demo.yaml"))


def build_model(side_px: int = 320, video: bool = False, postprocessing: bool = False) -> SAM2Base:
    """Build the demo model with random weights, in training mode.

    Args:
        side_px: width and height of the input; a multiple of 64. No weight depends on it.
        video: build sam2's video predictor, the same network with more methods.
        postprocessing: replace an unstable single mask by the best of three, sam2's default for inference.
    """
    config = OmegaConf.load(demo_config_path())
    config.model.image_size = side_px
    cells = [side_px // 16, side_px // 16]
    config.model.memory_attention.layer.self_attention.feat_sizes = cells
    config.model.memory_attention.layer.cross_attention.feat_sizes = cells
    if video:
        config.model["_target_"] = "sam2.sam2_video_predictor.SAM2VideoPredictor"
    if postprocessing:
        config.model.sam_mask_decoder_extra_args = {
            "dynamic_multimask_via_stability": True,
            "dynamic_multimask_stability_delta": 0.05,
            "dynamic_multimask_stability_thresh": 0.98,
        }
    return cast(SAM2Base, instantiate(config.model, _recursive_=True))


def initialise(model: SAM2Base) -> None:
    """Initialise a fresh model so that it learns to follow clicks."""
    for level in (0, 1):
        for parameter in model.image_encoder.neck.convs[level].parameters():
            parameter.data.mul_(_NECK_SCALE)
    transformer = model.sam_mask_decoder.transformer
    attentions = [layer.cross_attn_token_to_image for layer in transformer.layers]
    attentions += [layer.cross_attn_image_to_token for layer in transformer.layers]
    for attention in [*attentions, transformer.final_attn_token_to_image]:
        _attend_to_nearness(attention)


def _attend_to_nearness(attention: nn.Module) -> None:
    queries, keys = cast(nn.Linear, attention.q_proj), cast(nn.Linear, attention.k_proj)
    nn.init.orthogonal_(queries.weight, gain=_NEARNESS_GAIN)
    keys.weight.data.copy_(queries.weight.data)
    nn.init.zeros_(queries.bias)
    nn.init.zeros_(keys.bias)
