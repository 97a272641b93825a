"""Draws masks from image tokens in one CUDA kernel, in place of a dozen of torch's.

Up-scaling and the product with the hypernetworks look at one image token at a time: 256 channels in, 16 pixels of each
mask out. The kernel reads the tokens once, writes the logits once and keeps everything between in registers. torch's
way writes and reads some 4 GB for 64 prompts. Nothing here waits for the device, so a CUDA graph can capture it.
"""

import logging
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import Self

import torch
from torch import Tensor, nn

log = logging.getLogger(__name__)

# Channels of image tokens: tensor cores want at least 16 in each product, shared memory holds no more.
CHANNELS = (64, 128, 256)
_MOST_MASKS = 4
# TF32 keeps as many bits of a number as float16, at twice the bytes and half the speed. What the kernel multiplies is
# normalized or of a few units, so float16's range suffices.
OPERANDS = {torch.float32: torch.float16, torch.float16: torch.float16, torch.bfloat16: torch.bfloat16}


@dataclass(frozen=True, slots=True)
class Launch:
    """How a kernel is split among the processors; it changes speed, not results.

    Attributes:
        block: image tokens a program.
        warps: of 32 threads a program.
        stages: loads of weights in flight, plus one.
    """

    block: int = 64
    warps: int = 4
    stages: int = 1

    @classmethod
    def of(cls, major: int) -> Self:
        """For a compute capability: data-centre GPUs of 9.x and 10.x have shared memory for blocks of 64."""
        return cls() if major in (9, 10) else cls(block=32)


class FusedDrawing:
    """Draws masks of the prompts of one image."""

    def __init__(
        self,
        upscaling: nn.Sequential,
        weights: tuple[Tensor, Tensor],
        added: tuple[Tensor, Tensor],
        size_hw: tuple[int, int],
        operand: torch.dtype | None = None,
    ) -> None:
        """Prepare for an image; see :func:`can_fuse` for what is supported.

        Args:
            upscaling: sam2's ``output_upscaling``.
            weights: (c, 4 * c / 4) and (c / 4, 4 * c / 8), of its transposed convolutions.
            added: (h * w, 4 * c / 4) and (4 * h * w, 4 * c / 8), the image's finer features with the biases.
            size_hw: height and width of the image in tokens.
            operand: dtype of what is multiplied: that of the weights or, for float32, float16. float32 means TF32.
        """
        operand = operand or OPERANDS[weights[0].dtype]
        self.norm, self.size_hw = upscaling[1], size_hw
        self.weights = [weight.to(operand).contiguous() for weight in weights]
        self.added = [each.contiguous() for each in added]
        device = weights[0].device
        self.launch = Launch.of(torch.cuda.get_device_capability(device)[0]) if device.type == "cuda" else Launch()

    def draw(self, keys: Tensor, hyper: Tensor, launch: Launch | None = None) -> Tensor:
        """Draw masks.

        Args:
            keys: (n, h * w, c), each prompt's image tokens.
            hyper: (n, masks, c / 8), the hypernetworks' outputs for up to four masks.
            launch: how to run; None for what suits the device.

        Returns:
            Logits float32 (n, masks, 4 h, 4 w).
        """
        from maskgrid.network import fused_kernels

        launch = launch or self.launch
        (height, width), (n, masks, c8), channels = self.size_hw, hyper.shape, keys.shape[2]
        keys = keys if keys.stride()[1:] == (channels, 1) else keys.contiguous()
        hyper = hyper if hyper.stride(2) == 1 else hyper.contiguous()
        logits = torch.empty(n, masks, 4 * height, 4 * width, dtype=torch.float32, device=keys.device)
        blocks = -(-height * width // launch.block)
        with torch.cuda.device(keys.device) if keys.device.type == "cuda" else nullcontext():
            fused_kernels.draw[blocks, n](
                keys,
                *self.weights,
                *self.added,
                self.norm.weight,
                self.norm.bias,
                hyper,
                logits,
                height * width,
                width,
                keys.stride(0),
                hyper.stride(0),
                hyper.stride(1),
                self.norm.eps,
                C=channels,
                C4=channels // 4,
                C8=c8,
                MASKS=masks,
                BLOCK=launch.block,
                STAGES=launch.stages,
                num_warps=launch.warps,
                num_stages=launch.stages,
            )
        return logits


# Kernels that failed, such as in their compilation; torch's way is taken from then on.
_failed: set[str] = set()


def run_or_none(name: str, kernel: Callable[[], Tensor]) -> Tensor | None:
    """Run a kernel; None if it fails, which is logged once and makes it None from then on."""
    if name in _failed:
        return None
    try:
        return kernel()
    except torch.cuda.OutOfMemoryError:
        raise
    except Exception as error:  # the compiler's own, ptxas's and the driver's have no common class
        _failed.add(name)
        reason = (str(error).splitlines() or [""])[0]
        log.warning("torch computes what the fused kernel %s failed to: %s: %s", name, type(error).__name__, reason)
        return None


def fused_drawing(
    upscaling: nn.Sequential, weights: tuple[Tensor, Tensor], added: tuple[Tensor, Tensor], size_hw: tuple[int, int]
) -> FusedDrawing | None:
    """The kernel for an image, or None if this device or these sizes rule it out."""
    if not is_available(weights[0].device) or not can_fuse(upscaling):
        return None
    return FusedDrawing(upscaling, weights, added, size_hw)


def draw_or_none(drawing: FusedDrawing | None, keys: Tensor, hyper: Tensor) -> Tensor | None:
    """As :meth:`FusedDrawing.draw`; None if there is no kernel, or if it fails."""
    if drawing is None or hyper.shape[1] > _MOST_MASKS:
        return None
    return run_or_none("draw", lambda: drawing.draw(keys, hyper))


@cache
def is_available(device: torch.device) -> bool:
    """Whether kernels can be compiled for a device: CUDA with tensor cores for bfloat16, and triton is installed."""
    if device.type != "cuda" or not torch.cuda.is_available() or find_spec("triton") is None:
        return False
    return torch.version.hip is None and torch.cuda.get_device_capability(device) >= (8, 0)


def can_fuse(upscaling: nn.Sequential) -> bool:
    """Whether the kernel computes these modules: channels that fit, halved twice over, and GELU with erf."""
    first, _, act1, second, act2 = upscaling
    exact = all(isinstance(act, nn.GELU) and act.approximate == "none" for act in (act1, act2))
    c, c4, c8 = first.in_channels, first.out_channels, second.out_channels
    return exact and c in CHANNELS and (c4, c8) == (c // 4, c // 8) and first.weight.dtype in OPERANDS
