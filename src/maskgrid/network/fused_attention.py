"""Attention between a prompt's tokens and its image tokens in one CUDA kernel each way.

A prompt has few tokens. With projections of the image side applied to the prompt side, as in
:mod:`maskgrid.network.fast_decoder`, each image token meets some 64 rows, so the time goes into reading and writing
image tokens: 268 MB for 64 prompts in float32. Each way passes over them once; torch's ways do three and five times.

In float32, what an image token becomes is precise, since all masks of a prompt are drawn from it. What a prompt gathers
has the precision of TF32.
"""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from maskgrid.network.fused import CHANNELS, OPERANDS, Launch, is_available, run_or_none

# Rows that a program holds: heads times tokens of a prompt, filled up to a power of two.
_ROWS = 64
_READ = Launch(block=32)
# By bytes of a number. More than one stage means that all of a token's channels are loaded before the first product; in
# float32, this needs more registers than there are.
_WRITE = {4: Launch(block=64, warps=8), 2: Launch(block=64, stages=2)}
# Programs that share a prompt's image tokens, so that few prompts keep all processors busy.
_SHARES = 4


def read_or_none(keys: Tensor, position: Tensor, reach: Tensor, n_heads: int) -> Tensor | None:
    """As :func:`read`; None if the kernel does not support this, or fails."""
    if not _fits(keys, reach, n_heads):
        return None
    return run_or_none("read", lambda: read(keys, position, reach))


def write_or_none(
    keys: Tensor, position: Tensor, reach: Tensor, bias: Tensor, reached: Tensor, norm: nn.LayerNorm
) -> Tensor | None:
    """As :func:`write`; None if the kernel does not support this, or fails."""
    if not _fits(keys, reach, bias.shape[1]):
        return None
    return run_or_none("write", lambda: write(keys, position, reach, bias, reached, norm))


def read(keys: Tensor, position: Tensor, reach: Tensor, launch: Launch = _READ, shares: int = _SHARES) -> Tensor:
    """The mean of image tokens, weighted by the softmax over them of ``reach`` times tokens plus positions.

    Args:
        keys: (n, h * w, c), each prompt's image tokens.
        position: (1, h * w, c).
        reach: (n, rows, c), all heads, scaled.
        launch: how to run.
        shares: programs that share a prompt's image tokens.

    Returns:
        (n, rows, c), in the dtype of ``reach``.
    """
    from maskgrid.network import fused_kernels

    (n, n_rows, channels), n_tokens = reach.shape, keys.shape[1]
    gathered = torch.empty(n, shares, n_rows, channels, dtype=torch.float32, device=keys.device)
    peak, total = gathered.new_empty(2, n, shares, n_rows, 1).unbind()
    with _on(keys.device):
        fused_kernels.read[shares, n](
            keys,
            position.contiguous(),
            reach.to(OPERANDS[keys.dtype]).contiguous(),
            gathered,
            peak,
            total,
            n_tokens,
            n_rows,
            keys.stride(0),
            C=channels,
            ROWS=_ROWS,
            BLOCK=launch.block,
            BLOCKS=-(-n_tokens // (launch.block * shares)),
            STAGES=launch.stages,
            num_warps=launch.warps,
            num_stages=launch.stages,
        )
    part = torch.exp2(peak - peak.amax(1, keepdim=True))
    part = part / (part * total).sum(1, keepdim=True)
    return (gathered * part).sum(1).to(reach.dtype)


def write(
    keys: Tensor,
    position: Tensor,
    reach: Tensor,
    bias: Tensor,
    reached: Tensor,
    norm: nn.LayerNorm,
    launch: Launch | None = None,
) -> Tensor:
    """Image tokens after attending to the prompt's tokens, adding the residual and LayerNorm.

    Args:
        keys: (n or 1, h * w, c), the image tokens; 1 if all prompts share them.
        position: (1, h * w, c).
        reach: (n, heads * t, c), scaled: times tokens plus positions gives scores.
        bias: (n, heads, t, 1), added to scores before the softmax over t.
        reached: (n, heads * t, c), what a token gets from each row.
        norm: over channels.
        launch: how to run; None for what suits the dtype.

    Returns:
        (n, h * w, c), in the dtype of the tokens.
    """
    from maskgrid.network import fused_kernels

    (n, heads, n_rows, _), (_, n_tokens, channels) = bias.shape, keys.shape
    is_split, launch = keys.dtype == torch.float32, launch or _WRITE[keys.element_size()]
    operand = keys.dtype if is_split else OPERANDS[keys.dtype]
    renewed = torch.empty(n, n_tokens, channels, dtype=keys.dtype, device=keys.device)
    with _on(keys.device):
        fused_kernels.write[-(-n_tokens // launch.block), n](
            keys,
            position.contiguous(),
            reach.to(operand).contiguous(),
            bias.contiguous(),
            reached.to(operand).contiguous(),
            norm.weight,
            norm.bias,
            renewed,
            n_tokens,
            n_rows,
            keys.stride(0) if len(keys) > 1 else 0,
            norm.eps,
            C=channels,
            HEADS=heads,
            ROWS=_ROWS // heads,
            PART=min(channels, 64),
            BLOCK=launch.block,
            EARLY=launch.stages > 1,
            SPLIT=is_split,
            num_warps=launch.warps,
            num_stages=1,
        )
    return renewed


def _fits(keys: Tensor, reach: Tensor, n_heads: int) -> bool:
    channels = keys.shape[2]
    sizes_fit = channels in CHANNELS and reach.shape[1] <= _ROWS and _ROWS % n_heads == 0 and keys.dtype in OPERANDS
    return sizes_fit and keys.stride()[1:] == (channels, 1) and is_available(keys.device)


def _on(device: torch.device) -> torch.cuda.device | nullcontext[None]:
    return torch.cuda.device(device) if device.type == "cuda" else nullcontext()
