"""Handle a device that runs out of memory or fails: go on with smaller batches, or end with a message."""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn, TypeVar

import torch

from maskgrid.io.errors import ImageTooLargeError, MachineError

log = logging.getLogger(__name__)

Result = TypeVar("Result")

# Messages of CUDA, of its libraries when they start, of MPS, and of the CPU.
_OUT_OF_MEMORY = (
    *("out of memory", "can't allocate memory", "Invalid buffer size"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUBLAS_STATUS_NOT_INITIALIZED", "CUDNN_STATUS_ALLOC_FAILED"),
    "unable to find an engine to execute",  # from cuDNN, which needs memory for its workspace
)
_LOST = (
    *("CUDA error", "CUDA driver error", "CUDA unknown error", "HIP error"),
    *("CUDNN_STATUS", "CUBLAS_STATUS", "No CUDA GPUs", "NVML"),
)


def with_less(work: Callable[[int], Result], size: int) -> Result:
    """Call ``work(size)``; if memory runs out, retry with half the size, down to 1.

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
                    f"the device's memory is too small for even one prompt ({_first_line(error)}). Close other "
                    "programs on it, or choose another device, and run again: finished files stay"
                ) from None
        # After the except clause, whose traceback keeps the failed work's tensors alive.
        size = (size + 1) // 2
        release_memory(f"{size} prompts at once")


def with_smaller_chunks(work: Callable[[int], Result], chunk_px: int, size_hw: tuple[int, int]) -> tuple[Result, int]:
    """Call ``work(chunk_px)``; if memory runs out, retry with half of it, down to one mask.

    Args:
        work: up-samples masks, this many pixels at once.
        chunk_px: pixels at once for the first try, over all masks.
        size_hw: height and width of one mask.

    Returns:
        The result of ``work``, and the ``chunk_px`` that worked, to start the next image with.

    Raises:
        ImageTooLargeError: the device's memory is too small for one mask.
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
    """Turn device failures in the block into a ``MachineError``. For work that cannot be done in smaller batches.

    Raises:
        MachineError: the device failed, or its memory ran out; then the message contains ``advice``.
    """
    try:
        yield
    except ImageTooLargeError as error:
        raise MachineError(f"{error}. {advice}, and run again: finished files stay") from None
    except RuntimeError as error:
        if is_out_of_memory(error):
            problem = f"the device's memory is too small ({_first_line(error)})"
            raise MachineError(f"{problem}. {advice}, and run again: finished files stay") from None
        raise_failure(error)


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether torch ran out of memory, on any device."""
    return isinstance(error, torch.OutOfMemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def is_of_device(error: RuntimeError) -> bool:
    """Return whether the device or its memory failed, as opposed to a bug."""
    return is_out_of_memory(error) or _is_loss(error)


def raise_failure(error: RuntimeError) -> NoReturn:
    """Raise a ``MachineError`` if the device failed; re-raise any other error unchanged."""
    if not _is_loss(error):
        raise error
    raise MachineError(
        f"the device has failed ({_first_line(error)}). Run again, on another device or machine if this one does not "
        "recover: finished files stay"
    ) from error


def release_memory(now: str) -> None:
    """Return cached device memory, and log how the work goes on."""
    log.warning("the device's memory ran out; going on with %s", now)
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if torch.backends.mps.is_available():
        torch.mps.empty_cache()


def _is_loss(error: RuntimeError) -> bool:
    return any(words in str(error) for words in _LOST)


def _first_line(error: RuntimeError) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
