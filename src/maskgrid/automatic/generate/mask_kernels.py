"""Triton kernels that measure masks from the decoder's logits, without ever writing them at the image's size.

Each program interpolates columns of one mask in registers, by the steps of torch's CUDA kernel for bilinear
up-sampling (UpSampleBilinear2d.cu, ``align_corners=False``), with its fused multiply-adds in its places, so that the
pixels are torch's bit for bit. The first kernel counts; once the counts say where each column's turns go, the second
one writes them as edges. Triton is needed at import: import this module only on a device that has it.
"""

import triton
import triton.language as tl

# Rows of a column that a program looks at together, columns that it goes through, and its warps (of 32 threads).
BLOCK, COLUMNS, WARPS = 128, 8, 1
# No pixel is in a row beyond this.
FAR = tl.constexpr(1 << 30)


@triton.jit
def _source(place, scale, n):
    """The first of the two logits that a pixel lies between, the step to the second, and the second's weight."""
    source = tl.fma(place.to(tl.float32) + 0.5, scale, -0.5)
    source = tl.where(source < 0.0, 0.0, source)
    first = source.to(tl.int32)
    return first, tl.where(first < n - 1, 1, 0), source - first.to(tl.float32)


@triton.jit
def _pixels(logits, rows, scale_y, low_h, low_w, x0, dx, wx, inside):
    """A column's pixels at these rows; the column lies between the logits' columns x0 and x0 + dx."""
    y0, dy, wy = _source(rows, scale_y, low_h)
    top, bottom = logits + y0 * low_w + x0, logits + (y0 + dy) * low_w + x0
    # Both sums are fused with their first product, the second product is rounded: as nvcc compiles torch's kernel.
    above = tl.fma(1.0 - wx, tl.load(top, inside, 0.0), wx * tl.load(top + dx, inside, 0.0))
    below = tl.fma(1.0 - wx, tl.load(bottom, inside, 0.0), wx * tl.load(bottom + dx, inside, 0.0))
    return tl.fma(1.0 - wy, above, wy * below)


@triton.jit
def _at_the_end_before(logits, column, cuts, height, rows, scale_y, scale_x, low_h, low_w):
    """Whether the pixel before this column in the run-length code, the last of the column before, is above."""
    x0, dx, wx = _source(column - 1, scale_x, low_w)
    # A row of background, if there is one, lies between the two.
    is_joined = (column > 0) & (rows == height)
    pixel = _pixels(logits, height - 1, scale_y, low_h, low_w, x0, dx, wx, is_joined)
    return (pixel > cuts) & is_joined


# Their values differ from image to image; kernels compiled for each kind of them would be no faster.
_SIZES = ["low_h", "low_w", "height", "width", "rows"]


@triton.jit(do_not_specialize=_SIZES)
def count_columns(
    logits,
    peaks,
    wanted,
    cuts,
    found,
    low_h,
    low_w,
    height,
    width,
    rows,
    scale_y,
    scale_x,
    nothing_below,
    CUTS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Count, for each cut, the pixels above it in each column, its first and last row of them, and its turns.

    The grid is (masks, (width + 1) / COLUMNS): the column after the last has the turn with which a mask may end.

    Args:
        logits: float32 (n, low_h, low_w).
        peaks: float32 (n, low_w), the logits' largest value in each column.
        wanted: uint8 (n,); other masks are left out.
        cuts: float32 (CUTS,).
        found: int32 (4, n, CUTS, width + 1), zeros: pixels, turns, first row, last row.
        low_h: the logits' rows.
        low_w: the logits' columns.
        height: the crop's rows.
        width: the crop's columns.
        rows: a column's rows in the run-length code: the crop's, and one of background unless columns join.
        scale_y: float32 quotient of low_h and height.
        scale_x: float32 quotient of low_w and width.
        nothing_below: columns between logits below this have no pixel above any cut.
        CUTS: number of cuts, a power of two.
        COLUMNS: columns to go through.
        BLOCK: rows to look at together.
    """
    mask, first_column = tl.program_id(0).to(tl.int64), tl.program_id(1) * COLUMNS
    if tl.load(wanted + mask) != 0:
        peak = peaks + mask * low_w
        logits += mask * low_h * low_w
        cut = tl.load(cuts + tl.arange(0, CUTS))
        part = tl.num_programs(0).to(tl.int64) * CUTS * (width + 1)
        for offset in range(COLUMNS):
            column = first_column + offset
            x0, dx, wx = _source(tl.minimum(column, width - 1), scale_x, low_w)
            before, _, _ = _source(tl.minimum(tl.maximum(column - 1, 0), width - 1), scale_x, low_w)
            # Negated, so that NaN counts as above.
            here = ~((tl.load(peak + x0) < nothing_below) & (tl.load(peak + x0 + dx) < nothing_below))
            here = here | ~(tl.load(peak + before) < nothing_below)
            if here & (column <= width):
                joined = _at_the_end_before(logits, column, cut, height, rows, scale_y, scale_x, low_h, low_w)
                is_real = column < width
                n_above, n_turns = tl.zeros((CUTS,), tl.int32), tl.zeros((CUTS,), tl.int32)
                first, last = tl.full((CUTS,), FAR, tl.int32), tl.full((CUTS,), -1, tl.int32)
                for start in range(0, tl.where(is_real, rows, 1), BLOCK):
                    row = start + tl.arange(0, BLOCK)
                    inside = (row < height) & is_real
                    pixels = _pixels(logits, row, scale_y, low_h, low_w, x0, dx, wx, inside)
                    up = (row > 0) & (row <= height) & is_real
                    pixels_up = _pixels(logits, row - 1, scale_y, low_h, low_w, x0, dx, wx, up)
                    above = (pixels[:, None] > cut[None, :]) & inside[:, None]
                    above_up = (pixels_up[:, None] > cut[None, :]) & up[:, None]
                    above_up = tl.where(row[:, None] == 0, joined[None, :], above_up)
                    in_code = (row < tl.where(is_real, rows, 1))[:, None]
                    n_above += tl.sum(above.to(tl.int32), 0)
                    n_turns += tl.sum(((above != above_up) & in_code).to(tl.int32), 0)
                    first = tl.minimum(first, tl.min(tl.where(above, row[:, None], FAR), 0))
                    last = tl.maximum(last, tl.max(tl.where(above, row[:, None], -1), 0))
                place = found + (mask * CUTS + tl.arange(0, CUTS)) * (width + 1) + column
                tl.store(place, n_above)
                tl.store(place + part, n_turns)
                tl.store(place + 2 * part, first)
                tl.store(place + 3 * part, last)


@triton.jit(do_not_specialize=[*_SIZES, "room", "corner_y", "corner_x", "image_h", "image_w"])
def write_edges(
    logits,
    starts,
    cuts,
    edges,
    room,
    corner_y,
    corner_x,
    image_h,
    image_w,
    low_h,
    low_w,
    height,
    width,
    rows,
    scale_y,
    scale_x,
    LEVELS: tl.constexpr,
    COLUMNS: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Write the edges of masks: the pixels of the image, counted down its columns, at which they begin or end.

    A mask's edges lie together, and after them the image's number of pixels. The grid is that of
    :func:`count_columns`.

    Args:
        logits: as there.
        starts: int32 (n x LEVELS x (width + 1) + 1,): how many turns there are before a mask's level's column.
        cuts: float32, the levels first.
        edges: int32 (room,).
        room: edges that there is room for; what does not fit is left out.
        corner_y: the crop's first row in the image.
        corner_x: its first column.
        image_h: the image's rows.
        image_w: its columns.
        low_h: as there, like what follows.
        low_w: as there.
        height: as there.
        width: as there.
        rows: as there.
        scale_y: as there.
        scale_x: as there.
        LEVELS: number of levels.
        COLUMNS: columns to go through.
        BLOCK: rows to look at together.
    """
    mask, first_column = tl.program_id(0).to(tl.int64), tl.program_id(1) * COLUMNS
    end_column = tl.minimum(first_column + COLUMNS, width + 1)
    logits += mask * low_h * low_w
    for level in tl.static_range(LEVELS):
        owner = mask * LEVELS + level
        start = starts + owner * (width + 1)
        place = tl.load(start + first_column)
        if tl.load(start + end_column) > place:
            cut = tl.load(cuts + level)
            for offset in range(COLUMNS):
                column = tl.minimum(first_column + offset, width)
                # After the last column, there is nothing more to place.
                if tl.load(start + column + 1) > place:
                    is_real = column < width
                    x0, dx, wx = _source(tl.minimum(column, width - 1), scale_x, low_w)
                    joined = _at_the_end_before(logits, column, cut, height, rows, scale_y, scale_x, low_h, low_w)
                    first_edge = (corner_x + column) * image_h + corner_y
                    for begin in range(0, tl.where(is_real, rows, 1), BLOCK):
                        row = begin + tl.arange(0, BLOCK)
                        inside = (row < height) & is_real
                        above = (_pixels(logits, row, scale_y, low_h, low_w, x0, dx, wx, inside) > cut) & inside
                        up = (row > 0) & (row <= height) & is_real
                        above_up = (_pixels(logits, row - 1, scale_y, low_h, low_w, x0, dx, wx, up) > cut) & up
                        above_up = tl.where(row == 0, joined, above_up)
                        turned = ((above != above_up) & (row < tl.where(is_real, rows, 1))).to(tl.int32)
                        to = place + owner + tl.cumsum(turned, 0) - 1
                        tl.store(edges + to, first_edge + row, (turned != 0) & (to < room))
                        place += tl.sum(turned, 0)
        to_end = tl.load(start + width + 1) + owner
        tl.store(edges + to_end, image_h * image_w, (end_column == width + 1) & (to_end < room))
