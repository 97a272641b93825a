"""Triton kernels for :mod:`maskgrid.network.fused`. Importing this module needs triton; nothing else imports it.

All products accumulate in float32. Their operands have the dtype of the weights that are passed: float16 and bfloat16,
or float32, of which tensor cores use the 11 leading bits of the mantissa (TF32).
"""

import triton
import triton.language as tl


@triton.jit
def gelu(x: tl.tensor) -> tl.tensor:
    """GELU with the normal distribution, not its tanh approximation; within 1e-6 of it.

    It is max(x, 0) - |x| * q(|x|), where q is the distribution's upper tail. The polynomial is log2 of q, fitted on
    [0, 6] for the smallest error of the product; beyond 6 it decreases faster than any float32 shows.
    """
    size = tl.abs(x)
    log2 = -0.0004881021741311997 * size + 0.0071987188421189785
    log2 = log2 * size - 0.052146632224321365
    log2 = log2 * size - 0.45959582924842834
    log2 = log2 * size - 1.1510004997253418
    return tl.maximum(x, 0.0) - size * tl.exp2(log2 * size - 1.0)


@triton.jit
def layer_norm(x: tl.tensor, weight: tl.tensor, bias: tl.tensor, eps: float) -> tl.tensor:
    """LayerNorm of the rows of x (rows, channels), float32; weight and bias are (channels,)."""
    x -= tl.sum(x, 1)[:, None] / x.shape[1]
    scale = tl.rsqrt(tl.sum(x * x, 1) / x.shape[1] + eps)
    return x * scale[:, None] * weight[None, :] + bias[None, :]


@triton.jit
def product(a: tl.tensor, b: tl.tensor, acc: tl.tensor, dtype: tl.constexpr, split: tl.constexpr) -> tl.tensor:
    """``acc`` plus the product of a and b on tensor cores, whose operands have a dtype of 16 bits.

    With ``split``, the rest that rounding leaves of each operand counts too, for float32's precision but for a few of
    its last bits.
    """
    high_a, high_b = a.to(dtype), b.to(dtype)
    acc = tl.dot(high_a, high_b, acc=acc, input_precision="tf32")
    if split:
        acc = tl.dot((a - high_a.to(tl.float32)).to(dtype), high_b, acc=acc, input_precision="tf32")
        if b.dtype == tl.float32:  # there is a rest
            acc = tl.dot(high_a, (b - high_b.to(tl.float32)).to(dtype), acc=acc, input_precision="tf32")
    return acc


@triton.jit
def draw(
    keys: tl.tensor,
    weight_1: tl.tensor,
    weight_2: tl.tensor,
    fine: tl.tensor,
    finer: tl.tensor,
    norm_weight: tl.tensor,
    norm_bias: tl.tensor,
    hyper: tl.tensor,
    logits: tl.tensor,
    n_tokens: int,
    width: int,
    prompt_stride: int,
    hyper_prompt_stride: int,
    hyper_mask_stride: int,
    eps: float,
    C: tl.constexpr,
    C4: tl.constexpr,
    C8: tl.constexpr,
    MASKS: tl.constexpr,
    BLOCK: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """Draw the masks of one prompt at ``BLOCK`` image tokens; see :func:`maskgrid.network.fused.draw`.

    A token becomes 2 x 2 fine tokens (``part``), each of these 2 x 2 pixels (``pixel``). The grid is (blocks of tokens,
    prompts).
    """
    prompt = tl.program_id(1).to(tl.int64)
    token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    is_token = token < n_tokens
    # Columns of a part's last product: 4 masks, of which MASKS are stored, by 4 pixels.
    column = tl.arange(0, 16)
    mask, pixel = column // 4, column % 4
    # Parts beside each other are stored together, in whole rows: 4 masks by 2 rows of pixels, tokens by 4 pixels.
    line, stored = tl.arange(0, 8), tl.program_id(0) * BLOCK + tl.arange(0, 4 * BLOCK) // 4
    row_px = 4 * width
    first = (stored // width).to(tl.int64) * (4 * row_px) + 4 * (stored % width) + tl.arange(0, 4 * BLOCK) % 4
    plane = (prompt * MASKS + line // 2) * (16 * n_tokens) + line % 2 * row_px
    place = logits + plane[:, None] + first[None, :]
    is_stored = (line // 2 < MASKS)[:, None] & (stored < n_tokens)[None, :]

    dtype: tl.constexpr = weight_1.dtype.element_ty
    channel, channel_4, channel_8 = tl.arange(0, C), tl.arange(0, C4), tl.arange(0, 4 * C8)
    norm_w = tl.load(norm_weight + channel_4).to(tl.float32)
    norm_b = tl.load(norm_bias + channel_4).to(tl.float32)
    second = tl.load(weight_2 + channel_4[:, None] * (4 * C8) + channel_8[None, :])
    # The product with the hypernetworks as one of matrices: each pixel's channels meet its own four columns.
    met = (channel_8 // C8)[:, None] == pixel[None, :]
    which = (channel_8 % C8)[:, None] + mask[None, :] * hyper_mask_stride
    third = tl.load(hyper + prompt * hyper_prompt_stride + which, mask=met & (mask < MASKS)[None, :], other=0.0)
    at = keys + prompt * prompt_stride + token[:, None] * C + channel[None, :]
    x = tl.load(at, mask=is_token[:, None], other=0.0).to(dtype)
    left = tl.zeros((BLOCK, 16), tl.float32)
    for part in tl.range(4, num_stages=STAGES):
        own = part * C4 + channel_4
        first_weight = tl.load(weight_1 + channel[:, None] * (4 * C4) + own[None, :])
        added = tl.load(fine + token[:, None] * (4 * C4) + own[None, :], mask=is_token[:, None], other=0.0)
        y = tl.dot(x, first_weight, input_precision="tf32") + added
        row = token * 4 + part
        added = tl.load(finer + row[:, None] * (4 * C8) + channel_8[None, :], mask=is_token[:, None], other=0.0)
        y = gelu(layer_norm(y, norm_w, norm_b, eps)).to(dtype)
        y = gelu(tl.dot(y, second, input_precision="tf32") + added)
        # Every mask hangs on this product; on what the first two round away, hardly any.
        y = product(y, third, tl.zeros((BLOCK, 16), tl.float32), dtype, True)
        if part % 2 == 1:
            both = tl.reshape(tl.join(left, y), (BLOCK, 4, 2, 2, 2))  # token, mask, row, column, part
            both = tl.reshape(tl.permute(both, (1, 2, 0, 4, 3)), (8, 4 * BLOCK))
            tl.store(place + (part // 2) * 2 * row_px, both, mask=is_stored)
        left = y


@triton.jit
def write(
    keys: tl.tensor,
    position: tl.tensor,
    reach: tl.tensor,
    bias: tl.tensor,
    reached: tl.tensor,
    norm_weight: tl.tensor,
    norm_bias: tl.tensor,
    renewed: tl.tensor,
    n_tokens: int,
    n_rows: int,
    prompt_stride: int,
    eps: float,
    C: tl.constexpr,
    HEADS: tl.constexpr,
    ROWS: tl.constexpr,
    PART: tl.constexpr,
    BLOCK: tl.constexpr,
    EARLY: tl.constexpr,
    SPLIT: tl.constexpr,
) -> None:
    """Let ``BLOCK`` image tokens attend to a prompt's tokens; see :func:`maskgrid.network.fused_attention.write`.

    Each head has ``n_rows`` of the prompt's tokens, filled up to ``ROWS`` here. Channels go ``PART`` at a time;
    with ``EARLY``, all are loaded first; with ``SPLIT``, products of float32 are precise. The grid is (blocks of
    tokens, prompts).
    """
    prompt = tl.program_id(1).to(tl.int64)
    token = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    channel = tl.arange(0, PART)
    column = tl.arange(0, HEADS * ROWS)
    is_token, is_row = (token < n_tokens)[:, None], column % ROWS < n_rows
    row = prompt * (HEADS * n_rows) + column // ROWS * n_rows + column % ROWS
    dtype: tl.constexpr = tl.float16 if SPLIT else reach.dtype.element_ty
    at = token[:, None] * C + channel[None, :]
    mine = keys + prompt * prompt_stride + at
    towards = reach + row[None, :] * C + channel[:, None]
    values = reached + row[:, None] * C + channel[None, :]

    score = tl.load(bias + row, mask=is_row, other=float("-inf")).to(tl.float32)[None, :]
    score = tl.broadcast_to(score, (BLOCK, HEADS * ROWS))
    # Without EARLY, triton still keeps what is loaded here for the sum below, but waits for each part.
    loaded = ()
    for part in tl.static_range(0, C if EARLY else 0, PART):
        x = tl.load(mine + part, mask=is_token, other=0.0)
        loaded = loaded + (x,)  # type: ignore[assignment] # noqa: RUF005 - triton unpacks no tuples
    for part in tl.static_range(0, C, PART):
        x = loaded[part // PART] if EARLY else tl.load(mine + part, mask=is_token, other=0.0)
        x = x.to(tl.float32) + tl.load(position + at + part, mask=is_token, other=0.0)
        met = tl.load(towards + part, mask=is_row[None, :], other=0.0)
        score = product(x, met, score, dtype, SPLIT)
    score = tl.reshape(score, (BLOCK, HEADS, ROWS))
    weight = tl.exp2((score - tl.max(score, 2)[:, :, None]) * 1.4426950408889634)
    weight = weight / tl.sum(weight, 2)[:, :, None]
    weight = tl.reshape(weight, (BLOCK, HEADS * ROWS))

    parts = ()
    total = tl.zeros((BLOCK,), tl.float32)
    for part in tl.static_range(0, C, PART):
        value = tl.load(values + part, mask=is_row[:, None], other=0.0)
        x = product(weight, value, tl.zeros((BLOCK, PART), tl.float32), dtype, SPLIT)
        x += loaded[part // PART] if EARLY else tl.load(mine + part, mask=is_token, other=0.0)
        total += tl.sum(x, 1)
        parts = parts + (x,)  # type: ignore[assignment] # noqa: RUF005 - triton unpacks no tuples
    mean = (total / C)[:, None]
    total = tl.zeros((BLOCK,), tl.float32)
    for i in tl.static_range(C // PART):
        total += tl.sum((parts[i] - mean) * (parts[i] - mean), 1)
    scale = tl.rsqrt(total / C + eps)[:, None]
    for i in tl.static_range(C // PART):
        norm_w = tl.load(norm_weight + i * PART + channel).to(tl.float32)[None, :]
        norm_b = tl.load(norm_bias + i * PART + channel).to(tl.float32)[None, :]
        x = (parts[i] - mean) * scale * norm_w + norm_b
        tl.store(renewed + prompt * (n_tokens * C) + at + i * PART, x.to(renewed.dtype.element_ty), mask=is_token)


@triton.jit
def read(
    keys: tl.tensor,
    position: tl.tensor,
    reach: tl.tensor,
    gathered: tl.tensor,
    peak: tl.tensor,
    total: tl.tensor,
    n_tokens: int,
    n_rows: int,
    prompt_stride: int,
    C: tl.constexpr,
    ROWS: tl.constexpr,
    BLOCK: tl.constexpr,
    BLOCKS: tl.constexpr,
    STAGES: tl.constexpr,
) -> None:
    """Let one prompt's ``n_rows`` rows (all heads) attend to a share of the image tokens: ``BLOCKS`` of ``BLOCK``.

    Writes unnormalized sums of tokens and, to combine the shares, each row's highest score (times log2 e) and its sum
    of weights; see :func:`maskgrid.network.fused_attention.read`. The grid is (shares, prompts).
    """
    share, prompt = tl.program_id(0), tl.program_id(1).to(tl.int64)
    row, channel = tl.arange(0, ROWS), tl.arange(0, C)
    is_row = row < n_rows
    dtype: tl.constexpr = reach.dtype.element_ty
    q = tl.load(reach + (prompt * n_rows + row)[:, None] * C + channel[None, :], mask=is_row[:, None], other=0.0)
    # Below any score, but finite: a share may begin or end beyond the last token.
    high = tl.full((ROWS,), -1.0e30, tl.float32)
    weights = tl.zeros((ROWS,), tl.float32)
    sums = tl.zeros((ROWS, C), tl.float32)
    for block in tl.range(0, BLOCKS, num_stages=STAGES):
        token = (share * BLOCKS + block) * BLOCK + tl.arange(0, BLOCK)
        is_token = token < n_tokens
        at = token[:, None] * C + channel[None, :]
        x = tl.load(keys + prompt * prompt_stride + at, mask=is_token[:, None], other=0.0)
        placed = x.to(tl.float32) + tl.load(position + at, mask=is_token[:, None], other=0.0)
        score = tl.dot(q, tl.trans(placed.to(dtype)), input_precision="tf32") * 1.4426950408889634
        score = tl.where(is_token[None, :], score, float("-inf"))
        higher = tl.maximum(high, tl.max(score, 1))
        weight = tl.exp2(score - higher[:, None])
        fade = tl.exp2(high - higher)
        weights = weights * fade + tl.sum(weight, 1)
        sums = tl.dot(weight.to(dtype), x.to(dtype), acc=sums * fade[:, None], input_precision="tf32")
        high = higher
    place = (prompt * tl.num_programs(0) + share) * n_rows + row
    tl.store(peak + place, high, mask=is_row)
    tl.store(total + place, weights, mask=is_row)
    tl.store(gathered + place[:, None] * C + channel[None, :], sums, mask=is_row[:, None])
