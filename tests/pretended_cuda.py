"""A pretended CUDA device: tensors that report ``cuda:0``, keep their data on the CPU, and refuse what CUDA refuses.

Test machines have no GPU. Most bugs that only a GPU shows are of two kinds: a CPU tensor meets one on the device, or a
device tensor is passed to NumPy. Both raise here as they would there. The rounding of kernels, streams and memory stay
untested.
"""

from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map

CUDA = torch.device("cuda", 0)
_aten = torch.ops.aten
# Operations whose indices may be on the CPU.
_INDEXING = (_aten.index.Tensor, _aten.index_put_.default, _aten.index_put.default, _aten._index_put_impl_.default)
_MOVING = ("aten::to.", "aten::_to_copy")


class CudaTensor(torch.Tensor):
    """A tensor on the pretended device; ``inner`` holds the data."""

    @staticmethod
    def __new__(cls, inner: torch.Tensor) -> "CudaTensor":
        return torch.Tensor._make_wrapper_subclass(
            cls,
            inner.size(),
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=CUDA,
        )

    def __init__(self, inner: torch.Tensor) -> None:
        self.inner = inner

    def __repr__(self) -> str:
        return f"CudaTensor({tuple(self.shape)}, {self.dtype})"

    __torch_function__ = torch._C._disabled_torch_function_impl

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        return _run(func, args, kwargs or {})

    # Modules need these to replace their parameters.
    def __tensor_flatten__(self):
        return ["inner"], None

    @staticmethod
    def __tensor_unflatten__(tensors, *_):
        return CudaTensor(tensors["inner"])

    # torch's C++ code for these would need a real device.
    def __getitem__(self, key):
        return CudaTensor(self.inner[_index(key)])

    def __setitem__(self, key, value):
        if isinstance(value, torch.Tensor) and not isinstance(value, CudaTensor) and value.dim():
            raise RuntimeError("a tensor of the CPU is put into one of the device")
        self.inner[_index(key)] = _inner(value)

    def contiguous(self, **options):
        return CudaTensor(self.inner.contiguous(**options))

    def nonzero(self):
        return CudaTensor(self.inner.nonzero())

    def __invert__(self):
        return torch.bitwise_not(self)

    def item(self):
        return self.inner.item()

    def __bool__(self):
        return bool(self.item())

    def __int__(self):
        return int(self.item())

    def __float__(self):
        return float(self.item())

    def __index__(self):
        return int(self.item())

    def tolist(self):
        return self.inner.tolist()

    def numpy(self, *_, **__):
        raise TypeError("can't convert cuda:0 device type tensor to numpy")

    __array__ = numpy


class PretendedCuda(TorchDispatchMode):
    """While active, tensors created on a CUDA device are pretended to be there; affects only this thread."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        flat, _ = tree_flatten((args, kwargs))
        there = any(isinstance(each, CudaTensor) for each in flat) or _is_cuda(kwargs.get("device"))
        return _run(func, args, kwargs) if there else func(*args, **kwargs)


@contextmanager
def pretended_cuda(monkeypatch):
    """Give the device to this thread, and to worker threads that use the caller's stream."""
    monkeypatch.setattr(torch.cuda, "_lazy_init", lambda: None)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device=None: "stream")
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: PretendedCuda())
    monkeypatch.setattr(torch.jit, "script", lambda module, *_, **__: module)  # sam2's transforms
    # sam2's methods are wrapped in inference_mode since their import, but these tensors cannot be inference tensors.
    monkeypatch.setattr(torch.inference_mode, "__enter__", lambda self: torch.set_grad_enabled(False))
    monkeypatch.setattr(torch.inference_mode, "__exit__", lambda self, *_: None)
    for name in ("tensor", "as_tensor"):
        monkeypatch.setattr(torch, name, _making(getattr(torch, name)))
    with torch.no_grad(), PretendedCuda():
        yield


def moved(model: torch.nn.Module) -> torch.nn.Module:
    """Move a model's parameters and buffers to the pretended device."""
    for part in model.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = torch.nn.Parameter(CudaTensor(parameter.detach()), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = CudaTensor(buffer.detach())
        if hasattr(part, "freqs_cis"):  # not a buffer; sam2 creates it on a CUDA device if there is one
            part.freqs_cis = CudaTensor(part.freqs_cis)
    return model


def _run(func, args, kwargs) -> Any:
    flat, _ = tree_flatten((args, kwargs))
    on_cuda = any(isinstance(each, CudaTensor) for each in flat)
    if func.name().startswith(_MOVING):
        return _move(func, args, kwargs)
    if func is _aten.copy_.default:
        func(_inner(args[0]), _inner(args[1]))
        return args[0]
    device = kwargs.get("device")
    to_cuda = on_cuda if device is None else _is_cuda(device)
    if device is not None:
        kwargs = {**kwargs, "device": torch.device("cpu"), "pin_memory": False}
    elif on_cuda:
        _require_one_device(func, args, flat)
    result = func(*tree_map(_inner, args), **tree_map(_inner, kwargs))
    written = [
        argument
        for argument, declared in zip(args, func._schema.arguments, strict=False)
        if declared.alias_info is not None and declared.alias_info.is_write
    ]
    if written and isinstance(result, torch.Tensor):
        return written[0]
    return (
        tree_map(lambda each: CudaTensor(each) if isinstance(each, torch.Tensor) else each, result)
        if to_cuda
        else result
    )


def _require_one_device(func, args, flat) -> None:
    if func in _INDEXING:
        if not isinstance(args[0], CudaTensor):
            raise RuntimeError(f"{func}: a tensor of the CPU is indexed by one of the device")
        flat = tree_flatten(args[2:])[0]
    strangers = [each for each in flat if isinstance(each, torch.Tensor) and not isinstance(each, CudaTensor)]
    if shapes := [tuple(each.shape) for each in strangers if each.dim()]:
        raise RuntimeError(f"{func}: expected all tensors to be on the same device, but {shapes} are on the CPU")


def _move(func, args, kwargs) -> torch.Tensor:
    flat, _ = tree_flatten((args[1:], kwargs))
    devices = [each for each in flat if isinstance(each, torch.device)]
    dtypes = [each for each in flat if isinstance(each, torch.dtype)]
    formats = [each for each in flat if isinstance(each, torch.memory_format)]
    tensor, was_cuda = _inner(args[0]), isinstance(args[0], CudaTensor)
    to_cuda = _is_cuda(devices[0]) if devices else was_cuda
    result = tensor.to(
        dtypes[0] if dtypes else tensor.dtype, memory_format=formats[0] if formats else torch.preserve_format
    )
    if was_cuda != to_cuda and result is tensor:
        result = tensor.clone()
    if result is tensor and func.name().startswith("aten::to."):
        return args[0]
    return CudaTensor(result) if to_cuda else result


def _making(make):
    def made(data, *arguments, device=None, **options):
        if isinstance(data, CudaTensor):
            result = make(data.inner, *arguments, **options)
            return data if result is data.inner else CudaTensor(result)
        if _is_cuda(device):
            return CudaTensor(make(data, *arguments, **options))
        return make(data, *arguments, device=device, **options)

    return made


def _is_cuda(device) -> bool:
    return device is not None and torch.device(device).type == "cuda"


def _inner(value):
    return value.inner if isinstance(value, CudaTensor) else value


def _index(key):
    return tuple(map(_inner, key)) if isinstance(key, tuple) else _inner(key)
