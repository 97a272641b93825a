"""sam2's image predictor, with up-sampling left to the caller.

``SAM2ImagePredictor._predict`` brings every proposed mask to the size of the image before anyone has looked at its
score. Here it returns the logits as the decoder made them, so that only masks that clear the floor are up-sampled,
a few at a time.
"""

import warnings

import torch
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.utils.transforms import SAM2Transforms
from torch import Tensor

from maskgrid.extents import Extent, interpolate

# Pixels of full-resolution logits that are held at once. On a CPU a few megabytes stay in the cache; on a GPU larger
# chunks keep it busy. One mask is always held, however large the image.
_CHUNK_PX = {"cpu": 4 << 20, "other": 64 << 20}


class LowResolutionTransforms(SAM2Transforms):  # type: ignore[misc]
    """sam2's transforms, whose ``postprocess_masks`` keeps the decoder's resolution."""

    def postprocess_masks(self, masks: Tensor, orig_hw: tuple[int, int]) -> Tensor:
        """The decoder's logits in float32, not up-sampled and, other than the clamped ones, not cut off."""
        return masks.float()

    def upsample(self, logits: Tensor, size: Extent | tuple[int, int]) -> Tensor:
        """sam2's own up-sampling: (n, h, w) logits to (n, H, W) float32, or to what an extent shows of it."""
        return interpolate(logits, size if isinstance(size, Extent) else Extent.whole(size))


def make_predictor(model: SAM2Base) -> SAM2ImagePredictor:
    """An image predictor for any image size of the model, returning logits at the decoder's resolution.

    sam2 writes the sizes of the feature maps down for 1024 pixels; they follow from the image size.
    """
    with warnings.catch_warnings():
        # sam2 scripts its transforms, which torch has deprecated; nobody who runs a job can do anything about it.
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        predictor = SAM2ImagePredictor(model)
        predictor._transforms = LowResolutionTransforms(model.image_size, predictor.mask_threshold)
    fit_feature_sizes(predictor)
    return predictor


def fit_feature_sizes(predictor: SAM2ImagePredictor) -> None:
    """Set the predictor's feature map sizes from the model's image size (strides 4, 8 and 16)."""
    size = predictor.model.image_size
    predictor._bb_feat_sizes = [(size // stride, size // stride) for stride in (4, 8, 16)]


def chunk_px(device: torch.device) -> int:
    """Pixels of full-resolution logits to hold at once on a device."""
    return _CHUNK_PX["cpu" if device.type == "cpu" else "other"]


def masks_at_once(chunk_px: int, size_hw: tuple[int, int]) -> int:
    """How many masks to bring to the size of the image in one go; at least one."""
    return max(1, chunk_px // (size_hw[0] * size_hw[1]))
