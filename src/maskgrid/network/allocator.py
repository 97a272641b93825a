"""The C library's memory allocator, told not to give large blocks back to the system after every use."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt's parameters, from glibc's malloc.h, and the largest block that its defaults ever keep.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_DEFAULT_LARGEST = 32 << 20


def keep_freed_memory() -> bool:
    """Let this process keep the memory that it frees, for its next allocations.

    The network's steps each take and free hundreds of megabytes. glibc maps blocks of that size afresh every time, and
    the system clears every page of them: a third to a half of the time of the mask decoder on a CPU. It is a setting of
    the whole process, whose size afterwards stays at what it needed at its largest; so commands that run a network
    set it, and a program that uses the library decides for itself.

    Returns:
        Whether it was set; False where the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    largest = 2**31 - 1
    # One arena: those of further threads hold no block above 64 MB.
    settings = {_ARENA_MAX: 1, _MMAP_THRESHOLD: largest, _TRIM_THRESHOLD: largest, _TOP_PAD: 64 << 20}
    _kept.is_on = all(_mallopt(name, value) for name, value in settings.items())
    return _kept.is_on


@contextmanager
def freed_memory_given_back() -> Iterator[None]:
    """Within the block, let memory go back to the system as it is freed, also where it is kept otherwise.

    For work that is done once and takes far more memory than what follows: among blocks of other sizes, what it frees
    is not found again, and would be kept for nothing.
    """
    if not _kept.is_on:
        yield
        return
    ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))
    _mallopt(_MMAP_THRESHOLD, _DEFAULT_LARGEST)
    try:
        yield
    finally:
        _mallopt(_MMAP_THRESHOLD, 2**31 - 1)


class _Kept:
    """Whether this process keeps what it frees."""

    is_on = False


_kept = _Kept()


def _mallopt(name: int, value: int) -> bool:
    return bool(ctypes.CDLL(None).mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1)
