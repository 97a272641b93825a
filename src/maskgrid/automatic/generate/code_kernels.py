"""Triton kernels that write COCO's compressed run-length codes from the places at which masks begin and end.

The form is described at :func:`maskgrid.masks.rle.run_lengths`: each run, from the fourth on as the difference to the
run two before, in groups of five bits, the lowest first. Triton is needed at import, as for ``mask_kernels``.

Edges of all masks lie in one list, those of a mask together, and after them the image's number of pixels. So an edge's
run is its distance to the edge before.
"""

import triton
import triton.language as tl

# Edges that a program looks at.
BLOCK = 512


@triton.jit
def _value(edges, owners, starts, stride, place, n):
    """The number that the code has for the run before an edge, and whether the code has it."""
    is_edge = place < n
    owner = tl.load(owners + place, is_edge, 0)
    first = tl.load(starts + owner * stride, is_edge, 0) + owner
    last = tl.load(starts + (owner + 1) * stride, is_edge, 0) + owner
    index = place - first
    edge = tl.load(edges + place, is_edge, 0)
    before = tl.load(edges + place - 1, is_edge & (index > 0), 0)
    run = edge - before
    earlier = tl.load(edges + place - 2, is_edge & (index > 2), 0) - tl.load(
        edges + place - 3, is_edge & (index > 2), 0
    )
    # Masks without edges have no code. An empty run at the end, of background, is left out.
    return run - earlier, is_edge & (last > first) & ((place < last) | (run > 0))


@triton.jit(do_not_specialize=["stride", "n_owners", "room"])
def count_characters(edges, owners, starts, lengths, stride, n_owners, room, BLOCK: tl.constexpr):
    """Count the characters of each edge's run.

    Args:
        edges: int32 (room,).
        owners: int32 (room,), the number of each edge's mask.
        starts: int32 (n_owners x stride + 1,): the mask's first edge, less the masks before it, is at owner x stride.
        lengths: int32 (room,), zeros: characters of each run.
        stride: of ``starts``.
        n_owners: number of masks.
        room: edges that there is room for.
        BLOCK: edges to look at together.
    """
    n = tl.minimum(tl.load(starts + n_owners * stride) + n_owners, room)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if tl.program_id(0) * BLOCK < n:
        value, is_there = _value(edges, owners, starts, stride, place, n)
        size = tl.where(value < 0, -1 - value, value)
        # Five bits hold a number from -16 to 15, ten from -512 to 511, and so on.
        length = is_there.to(tl.int32)
        for bits in tl.static_range(4, 30, 5):
            length += (is_there & (size >= (1 << bits))).to(tl.int32)
        tl.store(lengths + place, length, place < n)


@triton.jit(do_not_specialize=["stride", "n_owners", "room", "characters_room"])
def write_characters(
    edges,
    owners,
    starts,
    ends,
    characters,
    stride,
    n_owners,
    room,
    characters_room,
    BLOCK: tl.constexpr,
):
    """Write the characters of each edge's run.

    Args:
        edges: as in :func:`count_characters`.
        owners: as there.
        starts: as there.
        ends: int32 (room,), the characters up to each run's last.
        characters: uint8 (characters_room,).
        stride: as there.
        n_owners: as there.
        room: as there.
        characters_room: characters that there is room for; what does not fit is left out.
        BLOCK: as there.
    """
    n = tl.minimum(tl.load(starts + n_owners * stride) + n_owners, room)
    place = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    if tl.program_id(0) * BLOCK < n:
        value, is_there = _value(edges, owners, starts, stride, place, n)
        end = tl.load(ends + place, is_there, 0)
        begin = tl.load(ends + place - 1, is_there & (place > 0), 0)
        for group in tl.static_range(7):
            to = begin + group
            bits = (value >> (5 * group)) & 31
            character = 48 + bits + tl.where(to + 1 < end, 32, 0)
            tl.store(characters + to, character.to(tl.uint8), is_there & (to < end) & (to < characters_room))
