"""Keep the C library's allocator from returning large blocks to the system after every use."""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# mallopt's parameters from glibc's malloc.h, and the largest block that its defaults ever keep.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_DEFAULT_LARGEST = 32 << 20


def keep_freed_memory() -> bool:
    """Let this process keep freed memory for its next allocations.

    Each step of the network allocates and frees hundreds of megabytes. glibc maps blocks of that size anew every time,
    and the system clears all their pages: a third to a half of the mask decoder's time on a CPU. The setting affects
    the whole process, which then stays as large as it ever was; so commands that run a network set it, and programs
    that use the library decide for themselves.

    Returns:
        Whether it was set; False if the C library is not glibc.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    largest = 2**31 - 1
    # One arena: those of other threads cannot hold blocks above 64 MB.
    settings = {_ARENA_MAX: 1, _MMAP_THRESHOLD: largest, _TRIM_THRESHOLD: largest, _TOP_PAD: 64 << 20}
    _kept.is_on = all(_mallopt(name, value) for name, value in settings.items())
    return _kept.is_on


@contextmanager
def freed_memory_given_back() -> Iterator[None]:
    """Within the block, return freed memory to the system even if :func:`keep_freed_memory` is on.

    For one-off work that takes far more memory than what follows: its blocks are of other sizes, would not be reused,
    and would be kept for nothing.
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
    """Whether this process keeps freed memory."""

    is_on = False


_kept = _Kept()


def _mallopt(name: int, value: int) -> bool:
    return bool(ctypes.CDLL(None).mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1)
