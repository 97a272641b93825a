"""sam2's image predictor for any image size, whose callers up-sample the logits themselves.

Bilinear interpolation stays between its neighbours, so a pixel whose neighbours are all below a level is below it too.
Most masks fill a small part of the image. Only this part, the extent, is up-sampled and examined.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor
from sam2.utils.transforms import SAM2Transforms
from torch import Tensor

# Far more than rounding can lift a pixel above its neighbours, far less than the distance between levels.
MARGIN = 1e-4
# Up to this height plus width, torch interpolates with another kernel, whose last bits differ; at the input's own size,
# it copies. The ends of rows are rounded in the same way only from whole vectors on.
_SMALL_PX, _VECTOR_PX = 128, 64

# Pixels of full-resolution logits in memory at once. On a CPU, a few megabytes stay in the cache; on a GPU, larger
# chunks keep it busy. At least one mask is held, however large the image.
_CHUNK_PX = {"cpu": 4 << 20, "other": 64 << 20}


def make_predictor(model: SAM2Base) -> SAM2ImagePredictor:
    """An image predictor for a model of any image size, returning logits at the decoder's resolution.

    sam2 hard-codes the sizes of its feature maps for 1024 pixels; here they follow from the image size.
    """
    with warnings.catch_warnings():
        # sam2 scripts its transforms, which torch has deprecated; users can't do anything about the warning.
        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        predictor = SAM2ImagePredictor(model)
        predictor._transforms = LowResolutionTransforms(model.image_size, predictor.mask_threshold)
    fit_feature_sizes(predictor)
    return predictor


def fit_feature_sizes(predictor: SAM2ImagePredictor) -> None:
    """Set the predictor's feature map sizes from the model's image size (strides 4, 8 and 16)."""
    size = predictor.model.image_size
    predictor._bb_feat_sizes = [(size // stride, size // stride) for stride in (4, 8, 16)]


class LowResolutionTransforms(SAM2Transforms):  # type: ignore[misc]
    """sam2's transforms, whose ``postprocess_masks`` keeps the decoder's resolution.

    Attributes:
        prepared: float32 (3, size, size), taken for the next image in place of its pixels.
    """

    prepared: Tensor | None = None

    def __call__(self, image: Any) -> Tensor:  # noqa: ANN401 - whatever sam2 takes
        """The image as the network takes it: float32 (3, size, size)."""
        return self.prepare(image) if self.prepared is None else self.prepared

    def prepare(self, image: Any) -> Tensor:  # noqa: ANN401 - whatever sam2 takes
        """Scale an image, whatever ``prepared`` is: for any thread."""
        made: Tensor = super().__call__(image)
        return made

    def postprocess_masks(self, masks: Tensor, orig_hw: tuple[int, int]) -> Tensor:  # noqa: ARG002 - sam2's signature
        """The decoder's logits in float32, neither up-sampled nor, unlike sam2's ``low_res_masks``, clamped."""
        return masks.float()

    def upsample(self, logits: Tensor, size: "Extent | tuple[int, int]") -> Tensor:
        """sam2's own up-sampling: (n, h, w) logits to (n, H, W) float32, or to an extent's box of it."""
        return interpolate(logits, size if isinstance(size, Extent) else Extent.whole(size))


@dataclass(frozen=True, slots=True)
class Extent:
    """The part of a frame that contains everything above a level.

    Attributes:
        size_hw: height and width of the frame in pixels.
        box_xyxy: the part, right and bottom edge exclusive; at least one pixel.
        drawn_hw: rows and columns to interpolate, from the frame's top left corner, to get the part.
    """

    size_hw: tuple[int, int]
    box_xyxy: tuple[int, int, int, int]
    drawn_hw: tuple[int, int]

    @classmethod
    def whole(cls, size_hw: tuple[int, int]) -> Self:
        """The whole frame."""
        height, width = size_hw
        return cls(size_hw, (0, 0, width, height), size_hw)

    @classmethod
    def above(cls, logits: Tensor, level: float, size_hw: tuple[int, int]) -> Self:
        """The part in which any of the logits (n, h, w) can exceed a level once interpolated to ``size_hw``.

        It is the whole frame if the frame is so small that torch rounds parts of it differently.
        """
        # Negated so that NaN counts as above.
        inside = ~(logits <= level - MARGIN * (1.0 + abs(level))).all(0)
        height, width = inside.shape
        if sum(size_hw) <= _SMALL_PX:
            return cls.whole(size_hw)
        y0, y1 = _pixels(inside.any(1), size_hw[0])
        x0, x1 = _pixels(inside.any(0), size_hw[1])
        columns = _columns(x1, width, size_hw[1])
        rows = y1 + 1 if y1 == height and y1 < size_hw[0] else y1
        drawn_hw = (rows, columns) if rows + columns > _SMALL_PX else size_hw
        return cls(size_hw, (x0, y0, x1, y1), drawn_hw)


def interpolate(logits: Tensor, extent: Extent) -> Tensor:
    """sam2's up-sampling of an extent: (n, h, w) to float32 (n, height, width) of the extent's box.

    Bit for bit what ``F.interpolate`` of the whole frame gives there.
    """
    # One image with n channels: interpolation works plane by plane, and this layout takes the plain path.
    if extent.drawn_hw == extent.size_hw:
        drawn = F.interpolate(logits[None], extent.size_hw, mode="bilinear", align_corners=False)[0]
    else:
        # torch's step is in float32, the inverse of a scale or the quotient of two sizes. These are the same number:
        # quotients of integers below 2**24 lie too far from where float32 rounds for float64's error to matter.
        scales = [size_px / side for size_px, side in zip(extent.size_hw, logits.shape[-2:], strict=True)]
        drawn = torch.ops.aten.upsample_bilinear2d(logits[None], extent.drawn_hw, False, *scales)[0]
    x0, y0, x1, y1 = extent.box_xyxy
    return drawn[:, y0:y1, x0:x1]


def chunk_px(device: torch.device) -> int:
    """Pixels of full-resolution logits to hold at once on a device."""
    return _CHUNK_PX["cpu" if device.type == "cpu" else "other"]


def masks_at_once(chunk_px: int, size_hw: tuple[int, int]) -> int:
    """How many masks to bring to image size at once; at least one."""
    return max(1, chunk_px // (size_hw[0] * size_hw[1]))


def _pixels(inside: Tensor, size_px: int) -> tuple[int, int]:
    """First and last + 1 pixel that the true rows (or columns) of logits can reach; one pixel if none is true."""
    reached = inside.nonzero()[:, 0]
    if len(reached) == 0:
        return 0, 1
    scale = size_px / len(inside)
    first = math.floor((int(reached[0]) - 0.5) * scale - 0.5) - 1
    last = math.ceil((int(reached[-1]) + 1.5) * scale - 0.5) + 1
    return min(max(first, 0), size_px - 1), min(max(last + 1, 1), size_px)


def _columns(needed: int, width: int, size_px: int) -> int:
    columns = min(size_px, -(-needed // _VECTOR_PX) * _VECTOR_PX)
    return min(size_px, columns + _VECTOR_PX) if columns == width else columns
