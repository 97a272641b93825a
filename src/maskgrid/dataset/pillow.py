"""Pillow's process-wide switches, held where reading needs them, for exactly as long as it reads."""

import ctypes
import threading
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

_MAX_16_BIT = 65535
_WHITE_IS_ZERO = 0


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


class PixelsUnsupportedError(ValueError):
    """Pixel values for which there is no agreed way to show them."""


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a loaded image of any of Pillow's modes to ``RGB``, the way viewers show it.

    - Transparency (alpha, a transparent palette entry or colour) is laid on white, as image viewers do.
    - 16-bit grey is scaled by 255 / 65535 and rounded (12-bit by 255 / 4095), where ``Image.convert`` would
      clip it. 16-bit colour reaches us as the high bytes, because Pillow decodes it so.
    - Floating point is shown only where it lies in 0 to 1, with 1 as white.
    - CMYK, YCbCr and LAB are converted by Pillow. Embedded colour profiles are not applied.

    Raises:
        PixelsUnsupportedError: for floats outside 0 to 1 and integers outside 16 bits.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return PIL.Image.fromarray(_grey_8_bit(image)).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, "white")
        return PIL.Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def _grey_8_bit(image: PIL.Image.Image) -> npt.NDArray[np.uint8]:
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):  # written so that NaN is refused too
            raise PixelsUnsupportedError(
                f"floating point from {low:g} to {high:g}; only values in 0 to 1 have an agreed look"
            )
        return np.rint(values * np.float32(255)).astype(np.uint8)
    white = _white_level(image)
    if low < 0 or high > white:
        raise PixelsUnsupportedError(f"integers from {low} to {high}; only up to 16 bits have an agreed look")
    grey = np.rint(values * np.float32(255 / white)).astype(np.uint8)
    return ~grey if _white_is_zero(image) else grey


def _white_level(image: PIL.Image.Image) -> int:
    # A 12-bit TIFF has the mode of a 16-bit one, and only the tag tells them apart.
    bits = image.tag_v2.get(BITSPERSAMPLE, (16,))[0] if isinstance(image, TiffImageFile) else 16
    return int(min(2**bits - 1, _MAX_16_BIT))


def _white_is_zero(image: PIL.Image.Image) -> bool:
    # Pillow inverts such TIFF files by itself up to 8 bits, and not above.
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
