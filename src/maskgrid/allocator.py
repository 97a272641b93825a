"""The C library's memory allocator, told not to give large blocks back to the system after every use."""

import ctypes
import platform

# mallopt's parameters, from glibc's malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD = -1, -2, -3


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
    mallopt = ctypes.CDLL(None).mallopt
    largest = 2**31 - 1
    settings = {_MMAP_THRESHOLD: largest, _TRIM_THRESHOLD: largest, _TOP_PAD: 64 << 20}
    return all(mallopt(ctypes.c_int(name), ctypes.c_int(value)) == 1 for name, value in settings.items())
