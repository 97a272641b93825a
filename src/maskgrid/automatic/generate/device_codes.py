"""Write the run-length codes of masks on a CUDA device, from the pixels at which they begin and end."""

import importlib

import torch
from torch import Tensor

# Characters of a run for which there is room. Few runs need more than three.
CHARACTERS = 4


def codes_of_edges(edges: Tensor, starts: Tensor, stride: int) -> tuple[Tensor, Tensor]:
    """The codes of n masks, one after the other.

    Args:
        edges: int32 (room,). For each mask, the pixels at which it begins or ends, counted down the image's columns,
            and then the image's number of pixels.
        starts: int32 (n x stride + 1,); ``starts[i * stride]`` is the number of edges before mask i, without the
            numbers of pixels.
        stride: of ``starts``.

    Returns:
        Characters uint8 (room x CHARACTERS,), and the end of each code among them, int32 (n,). A mask without edges has
        no code. What does not fit is left out.
    """
    # Triton takes a second to import, and is not there on every machine.
    kernels = importlib.import_module("maskgrid.automatic.generate.code_kernels")
    room, n, device = len(edges), (len(starts) - 1) // stride, edges.device
    last = starts[stride::stride] + torch.arange(n, dtype=torch.int32, device=device)
    owners = torch.searchsorted(last, torch.arange(room, dtype=torch.int32, device=device), out_int32=True)
    lengths = torch.zeros(room, dtype=torch.int32, device=device)
    characters = torch.empty(room * CHARACTERS, dtype=torch.uint8, device=device)
    grid = (-(-room // kernels.BLOCK),)
    kernels.count_characters[grid](edges, owners, starts, lengths, stride, n, room, BLOCK=kernels.BLOCK)
    ends = lengths.cumsum(0, dtype=torch.int32)
    kernels.write_characters[grid](
        *(edges, owners, starts, ends, characters, stride, n, room, len(characters)), BLOCK=kernels.BLOCK
    )
    return characters, ends[last.clamp(max=room - 1)]
