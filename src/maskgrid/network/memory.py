"""When a device runs out of memory, or fails: go on with less, or end with a message."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import torch

from maskgrid.io.errors import ImageTooLargeError, MachineError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Of CUDA and its libraries when they start, of MPS, and of the CPU.
_OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "Invalid buffer size"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_ALLOC_FAILED"),
    "unable to find an engine to execute",  # cuDNN's, which needs memory to work in
)
_LOST = (
    *("CUDA error", "CUDA driver error", "CUDA unknown error", "HIP error"),
    *("CUDNN_STATUS", "CUBLAS_STATUS", "No CUDA GPUs", "NVML"),
)


def with_less(work: Callable[[int], Result], size: int) -> Result:
    """Call ``work(size)``; where memory runs out, again with half the size, down to 1.

    Raises:
        MachineError: the device has failed, or its memory is too small for size 1.
    """
    while True:
        try:
            return work(size)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise_failure(error)
            if size == 1:
                raise MachineError(
                    f"the device's memory does not hold the network's work on one prompt ({_first_line(error)}). End "
                    "other programs on it, or choose another device, and run again: what is finished stays"
                ) from None
        # Only after the except clause, which holds the failed work's tensors by its traceback.
        size = (size + 1) // 2
        release_memory(f"{size} prompts at once")


def with_smaller_chunks(work: Callable[[int], Result], chunk_px: int, size_hw: tuple[int, int]) -> tuple[Result, int]:
    """Call ``work(chunk_px)``; where memory runs out, again with half of it, down to one mask.

    Args:
        work: up-samples masks, so many pixels of them at once.
        chunk_px: pixels of all masks at once, to begin with.
        size_hw: height and width of one mask.

    Returns:
        What ``work`` returned, and the pixels with which it did: other images would meet the same limit.

    Raises:
        ImageTooLargeError: the device's memory does not hold one mask.
    """
    while True:
        try:
            return work(chunk_px), chunk_px
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if chunk_px // 2 < size_hw[0] * size_hw[1]:
                raise ImageTooLargeError("the device's memory does not hold a mask of this size") from None
        chunk_px //= 2
        release_memory(f"up-sampling {chunk_px >> 20} megapixels at once")


@contextmanager
def device_errors(advice: str) -> Iterator[None]:
    """Where memory runs out or the device fails in the block, say so to a person; nothing can be done with less.

    Raises:
        MachineError: with the advice, where it is the memory.
    """
    try:
        yield
    except ImageTooLargeError as error:
        raise MachineError(f"{error}. {advice}, and run again: what is finished stays") from None
    except RuntimeError as error:
        if is_out_of_memory(error):
            problem = f"the device's memory is too small ({_first_line(error)})"
            raise MachineError(f"{problem}. {advice}, and run again: what is finished stays") from None
        raise_failure(error)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Tell whether torch has run out of memory, on whatever device."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def is_of_device(error: RuntimeError) -> bool:
    """Tell whether it is the device or its memory that has failed, and no bug."""
    return is_out_of_memory(error) or _is_loss(error)


def raise_failure(error: RuntimeError) -> NoReturn:
    """Raise a failure of the device in words for a person; any other error as it is."""
    if not _is_loss(error):
        raise error
    raise MachineError(
        f"the device has failed ({_first_line(error)}). Run again, on another device or machine if this one does not "
        "come back: what is finished stays"
    ) from error


def release_memory(now: str) -> None:
    """Give back what torch keeps of a device's memory, and say how the work goes on."""
    log.warning("the device's memory ran out; going on with %s", now)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _is_loss(error: RuntimeError) -> bool:
    return any(words in str(error) for words in _LOST)


def _first_line(error: RuntimeError) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
