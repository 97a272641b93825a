"""The demo model: sam2's own classes, put together by a configuration file of this package."""

from importlib.resources import files
from pathlib import Path
from typing import cast

from hydra.utils import instantiate
from omegaconf import OmegaConf
from sam2.modeling.sam2_base import SAM2Base
from torch import nn

# Cross-attention over positions starts as nearness when queries and keys are projected alike.
_NEARNESS_GAIN = 1.7
# The image embedding has to start no larger than the positional encoding, or the decoder never sees clicks.
_NECK_SCALE = 0.08


def demo_config_path() -> Path:
    """Where the configuration of the demo model lies."""
    return Path(str(files("maskgrid.checkpoints") / "maskgrid_demo.yaml"))


def build_model(side_px: int = 320, video: bool = False, postprocessing: bool = False) -> SAM2Base:
    """Build the demo model with random weights, in training mode.

    Args:
        side_px: width and height of the images that it takes; a multiple of 64. No weight depends on it.
        video: whether to build sam2's video predictor, which is the same network with more methods.
        postprocessing: whether an unstable single mask gives way to the best of three, sam2's default in use.
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
    """Give a fresh model the start from which it learns to follow the click."""
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
