"""Copies to and from a device that do not make the caller's thread wait for the device's other work."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


def page_locked(tensor: Tensor) -> Tensor:
    """Copy a tensor of the CPU to page-locked memory, from which a CUDA device copies by itself; if there is one."""
    return tensor.pin_memory() if torch.cuda.is_available() else tensor


def to_device(tensor: Tensor, device: torch.device) -> Tensor:
    """Copy a tensor of the CPU to a device; a CUDA device copies from page-locked memory while the caller goes on."""
    if device.type != "cuda" or not torch.cuda.is_available():
        return tensor.to(device)
    return page_locked(tensor).to(device, non_blocking=True)


class Arrival:
    """Results that a CUDA device is still computing; another thread may wait for them and copy them."""

    def __init__(self, device: torch.device) -> None:
        """Mark everything that the current stream has been given so far."""
        self.device = device
        self.event: torch.cuda.Event | None = None
        if torch.cuda.is_available():
            self.event = torch.cuda.Event()  # type: ignore[no-untyped-call]
            self.event.record(torch.cuda.current_stream(device))

    def copy(self, tensor: Tensor) -> NDArray[np.int32]:
        """Wait for a result, and copy it, ahead of the work that the device was given since."""
        if self.event is None:
            return tensor.cpu().numpy()
        stream = _copying(self.device)
        with torch.cuda.stream(stream):
            stream.wait_event(self.event)
            there = torch.empty(tensor.shape, dtype=tensor.dtype, pin_memory=True)
            there.copy_(tensor, non_blocking=True)
            stream.synchronize()
        return there.numpy()


@cache
def _copying(device: torch.device) -> torch.cuda.Stream:
    """A stream for copies alone."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
