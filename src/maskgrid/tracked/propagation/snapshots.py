"""Snapshots of tracking: files that hold the bytes of what they save, and no others."""

from collections.abc import Mapping
from typing import IO, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_iter, tree_map_only

_View = tuple[int, int, tuple[int, ...], tuple[int, ...], torch.dtype]


def write_snapshot(content: Mapping[str, Any], stream: IO[bytes]) -> None:
    """Save plain values and tensors.

    torch saves a slice with all of the tensor that it is a slice of. The objects of a batch are slices of one tensor,
    so once some of them are gone, the rest would carry their bytes along. Where what is saved does not cover a tensor,
    its slices are saved by themselves; tensors that several objects share stay shared.
    """
    needed: dict[int, dict[_View, int]] = {}
    tensors = [one for one in tree_iter(dict(content)) if isinstance(one, Tensor)]
    for tensor in tensors:
        needed.setdefault(_storage(tensor), {})[_view(tensor)] = tensor.numel() * tensor.element_size()
    partial = {
        _storage(tensor)
        for tensor in tensors
        if sum(needed[_storage(tensor)].values()) < tensor.untyped_storage().nbytes()
    }
    copies: dict[_View, Tensor] = {}

    def apart(tensor: Tensor) -> Tensor:
        if _storage(tensor) not in partial:
            return tensor
        if (view := _view(tensor)) not in copies:
            copies[view] = tensor.clone()
        return copies[view]

    torch.save(tree_map_only(Tensor, apart, dict(content)), stream)


def with_own_storage(tensor: Tensor) -> Tensor:
    """A tensor that keeps nothing else in memory: a copy if it is a slice of a larger one."""
    is_slice = tensor.numel() * tensor.element_size() < tensor.untyped_storage().nbytes()
    return tensor.clone() if is_slice else tensor


def _storage(tensor: Tensor) -> int:
    return tensor.untyped_storage().data_ptr()


def _view(tensor: Tensor) -> _View:
    return _storage(tensor), int(tensor.storage_offset()), tuple(tensor.shape), tensor.stride(), tensor.dtype
