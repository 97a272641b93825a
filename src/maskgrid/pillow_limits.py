"""Pillow's process-wide switches, held where reading needs them, for exactly as long as it reads."""

import ctypes
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import PIL._imaging
import PIL.Image
from PIL import ImageFile


class _Readers:
    """The readers at work now: the first one in sets the switches, the last one out restores them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.restore = ExitStack()


_readers = _Readers()


@contextmanager
def pillow_limits(max_pixels: int) -> Iterator[None]:
    """Hold Pillow's switches as reading needs them; any number of threads may be inside.

    Pillow's bomb limit is raised to ``max_pixels`` if that is the larger (not lowered and not lifted: other
    code of the process may rely on it). Its warnings about odd files are silenced, and so are the lines that libtiff
    writes to the error stream, since the verdict on a file is pixels or an exception. Truncated files are refused
    even where another library has asked Pillow to let them pass.
    """
    with _readers.lock:
        if _readers.count == 0:
            _readers.restore = _set_switches()
        _readers.count += 1
        PIL.Image.MAX_IMAGE_PIXELS = max(PIL.Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    try:
        yield
    finally:
        with _readers.lock:
            _readers.count -= 1
            if _readers.count == 0:
                _readers.restore.close()


def _set_switches() -> ExitStack:
    restore = ExitStack()
    # One catch_warnings for all readers, because it swaps a list of the whole process and does not nest over
    # threads.
    restore.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", module=r"PIL\.")
    restore.callback(setattr, PIL.Image, "MAX_IMAGE_PIXELS", PIL.Image.MAX_IMAGE_PIXELS)
    restore.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    _silence_libtiff(restore)
    return restore


def _silence_libtiff(restore: ExitStack) -> None:
    """Take away libtiff's handlers of errors and warnings, which print; what Pillow raises for them stays."""
    library = ctypes.CDLL(PIL._imaging.__file__)  # finds the functions of the libraries that it is linked with, too
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        set_handler = getattr(library, name, None)
        if set_handler is None:  # built without libtiff, or with its names hidden
            continue
        set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        restore.callback(set_handler, set_handler(None))
