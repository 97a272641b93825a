"""Set Pillow's process-wide switches while images are read, and convert images to RGB."""

import ctypes
import logging
import struct
import threading
import traceback
import warnings
import zlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from importlib import import_module

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ImageFile, features
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import BITSPERSAMPLE, PHOTOMETRIC_INTERPRETATION, TiffImageFile

# Pillow knows some forty formats, many of them written for one program long ago. Datasets use these, and decoders that
# never run cannot be attacked. (JPEG includes MPO: a camera's JPEG with a second image after the first.)
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")
# What the package pillow-heif adds to Pillow.
HEIF = "HEIF"

# Exceptions of Pillow's decoders for hostile input: the list from its own fuzz tests (Tests/oss-fuzz/test_fuzzers.py),
# and three more that occur in practice. Anything else is a bug and must surface.
DECODE_ERRORS = (
    OSError,  # with UnidentifiedImageError
    SyntaxError,
    MemoryError,
    ValueError,
    NotImplementedError,
    OverflowError,
    PIL.Image.DecompressionBombError,
    EOFError,
    struct.error,
    zlib.error,
)

_MAX_16_BIT = 65535
_WHITE_IS_ZERO = 0


def read_formats() -> tuple[str, ...]:
    """The formats that Pillow is to read, with HEIC if the package pillow-heif is installed."""
    _add_avif()
    return (*FORMATS, HEIF) if has_heif() else FORMATS


@cache
def _add_avif() -> None:
    if not features.check("avif"):
        with suppress(ImportError):
            import_module("pillow_avif")  # adds itself to Pillow


@cache
def has_heif() -> bool:
    """Return whether Pillow reads HEIC: whether pillow-heif is installed."""
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        return False
    register_heif_opener(thumbnails=False)
    return True


class _Readers:
    """The current readers: the first one in sets the switches, the last one out restores them."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.count = 0
        self.restore = ExitStack()


_readers = _Readers()


@contextmanager
def pillow_limits(max_pixels: int) -> Iterator[None]:
    """Set Pillow's switches for reading images; several threads may be inside at once.

    - Pillow's bomb limit rises to ``max_pixels`` if that is larger. It is never lowered or lifted, because other code
      in the process may rely on it.
    - Pillow's warnings about odd files, and libtiff's messages on stderr, are silenced: callers get pixels or an
      exception.
    - Truncated files are rejected, even if another library told Pillow to accept them.
    - What Pillow's plugins raise for damaged headers besides ``DECODE_ERRORS`` (``RuntimeError``: AVIF and HEIC;
      ``IndexError``: GIF; ``TypeError``: TIFF) is raised as ``ValueError``.
    """
    with _readers.lock:
        if _readers.count == 0:
            _readers.restore = _set_switches()
        _readers.count += 1
        PIL.Image.MAX_IMAGE_PIXELS = max(PIL.Image.MAX_IMAGE_PIXELS or 0, max_pixels)
    try:
        yield
    except (IndexError, RuntimeError, TypeError) as error:
        if isinstance(error, NotImplementedError) or not _is_pillows(error):
            raise
        raise ValueError(str(error)) from error
    finally:
        with _readers.lock:
            _readers.count -= 1
            if _readers.count == 0:
                _readers.restore.close()


def _is_pillows(error: BaseException) -> bool:
    """Whether code of Pillow or pillow-heif has raised an error, and not ours."""
    module = ""
    for frame, _ in traceback.walk_tb(error.__traceback__):
        module = frame.f_globals.get("__name__", "")
    return module.partition(".")[0] in ("PIL", "pillow_heif")


def _set_switches() -> ExitStack:
    restore = ExitStack()
    # One for all readers, because catch_warnings swaps a process-wide list and does not nest across threads.
    restore.enter_context(warnings.catch_warnings())
    warnings.filterwarnings("ignore", module=r"PIL\.")
    restore.callback(setattr, PIL.Image, "MAX_IMAGE_PIXELS", PIL.Image.MAX_IMAGE_PIXELS)
    restore.callback(setattr, ImageFile, "LOAD_TRUNCATED_IMAGES", ImageFile.LOAD_TRUNCATED_IMAGES)
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    _silence_libtiff(restore)
    _silence(logging.getLogger("PIL"), restore)
    return restore


def _silence(logger: logging.Logger, restore: ExitStack) -> None:
    """Keep a library's remarks on damaged files out of the log; without a handler, Python would print them."""
    nothing = logging.NullHandler()
    logger.addHandler(nothing)
    restore.callback(logger.removeHandler, nothing)
    restore.callback(setattr, logger, "propagate", logger.propagate)
    logger.propagate = False


def _silence_libtiff(restore: ExitStack) -> None:
    """Remove libtiff's handlers, which print errors and warnings; Pillow still raises exceptions."""
    library = ctypes.CDLL(PIL._imaging.__file__)  # also finds functions of the libraries it is linked with
    for name in ("TIFFSetErrorHandler", "TIFFSetWarningHandler"):
        set_handler = getattr(library, name, None)
        if set_handler is None:  # built without libtiff, or with hidden symbols
            continue
        set_handler.restype, set_handler.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
        restore.callback(set_handler, set_handler(None))


class PixelsUnsupportedError(ValueError):
    """Pixel values without an agreed way to display them."""


class PillowOnlyError(PixelsUnsupportedError):
    """A TIFF that Pillow cannot decode, or would show wrongly, and tifffile may."""


class MissingCodecError(PixelsUnsupportedError):
    """A compression that needs a further package."""


class TooManyPixelsError(ValueError):
    """An image that is larger than ``max_pixels``, or would need too much memory."""


def to_rgb(image: PIL.Image.Image) -> PIL.Image.Image:
    """Convert a loaded image of any Pillow mode to ``RGB``, as viewers show it.

    - Transparency (alpha, a transparent palette entry or colour) is shown on white.
    - 16-bit grey is scaled by 255 / 65535 and rounded (12-bit by 255 / 4095); ``Image.convert`` would clip it. Pillow
      decodes only the high bytes of 16-bit colour.
    - Floating point must be in 0 to 1; 1 is white.
    - Pillow converts CMYK, YCbCr and LAB. Embedded colour profiles are not applied.

    Raises:
        PixelsUnsupportedError: floats outside 0 to 1, or integers outside 16 bits.
    """
    if image.mode.startswith("I") or image.mode == "F":
        return PIL.Image.fromarray(_grey_8_bit(image)).convert("RGB")
    if image.mode in ("La", "RGBa"):  # colours multiplied by alpha
        image = image.convert(image.mode.upper())
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = PIL.Image.new("RGBA", rgba.size, "white")
        return PIL.Image.alpha_composite(white, rgba).convert("RGB")
    return image.convert("RGB")


def scale_transparent_colour(image: PngImageFile) -> None:
    """Bring a PNG's transparent colour to the 8 bits of the pixels, before ``load``; Pillow keeps the file's bits.

    Of 16-bit colours Pillow decodes the high bytes, so colours with the same high bytes become transparent too.
    """
    colour = image.info.get("transparency")
    raw_mode = str(image.tile[0].args) if image.tile else ""
    if isinstance(colour, int) and raw_mode in ("L;2", "L;4"):
        image.info["transparency"] = colour * (85 if raw_mode == "L;2" else 17)
    elif isinstance(colour, tuple) and raw_mode == "RGB;16B":
        image.info["transparency"] = tuple(value >> 8 for value in colour)


def _grey_8_bit(image: PIL.Image.Image) -> npt.NDArray[np.uint8]:
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if image.mode == "F":
        if not (low >= 0 and high <= 1):  # written so that NaN fails too
            raise PixelsUnsupportedError(
                f"floating point from {low:g} to {high:g}; only values in 0 to 1 have an agreed look"
            )
        shown = 1 - values if white_is_zero(image) else values
        return np.rint(shown * np.float32(255)).astype(np.uint8)
    white = white_level(image)
    if low < 0 or high > white:
        raise PixelsUnsupportedError(f"integers from {low} to {high}; only up to 16 bits have an agreed look")
    grey = np.rint(values * np.float32(255 / white)).astype(np.uint8)
    transparent = image.info.get("transparency")
    if isinstance(transparent, int):
        grey[values == transparent] = 255
    return ~grey if white_is_zero(image) else grey


def white_level(image: PIL.Image.Image) -> int:
    """The whole number that is white in grey of more than 8 bits."""
    # A 12-bit TIFF has the same mode as a 16-bit one; only the tag differs.
    bits = image.tag_v2.get(BITSPERSAMPLE, (16,))[0] if isinstance(image, TiffImageFile) else 16
    return int(min(2**bits - 1, _MAX_16_BIT))


def white_is_zero(image: PIL.Image.Image) -> bool:
    """Return whether low values are bright, in a file of more than 8 bits."""
    # Pillow inverts such TIFF files itself, but only up to 8 bits.
    return isinstance(image, TiffImageFile) and image.tag_v2.get(PHOTOMETRIC_INTERPRETATION) == _WHITE_IS_ZERO
