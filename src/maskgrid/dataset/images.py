"""Read one image, from a file or a notebook, as the pixels that a viewer shows, or say why that fails."""

import errno
import hashlib
import os
import stat
import struct
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags, UnidentifiedImageError
from PIL.Image import Transpose
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from maskgrid.dataset.other_formats import unread_kind
from maskgrid.dataset.pillow import PixelsUnsupportedError, pillow_limits, scale_transparent_colour, to_rgb
from maskgrid.dataset.spans import Span, open_span
from maskgrid.dataset.tiff import correct_decoding, optional_compression, require_unsigned
from maskgrid.io.errors import UserError

ImageLike = npt.NDArray[np.uint8] | PIL.Image.Image | str | os.PathLike[str]


class ImageStatus(StrEnum):
    """The outcome for an input; the values of the column ``status``."""

    OK = "ok"
    MISSING = "missing"  # named in a list, but not there
    UNREADABLE = "unreadable"  # permissions, or the disk or network failed
    EMPTY = "empty"  # no bytes
    NOT_AN_IMAGE = "not_an_image"  # a folder, a web page, …
    UNSUPPORTED = "unsupported"  # an image whose format is not read, or whose values have no agreed look
    TRUNCATED = "truncated"  # starts like an image, but is truncated or damaged
    TOO_LARGE = "too_large"  # more pixels than the limit, or than fit into memory
    OUTSIDE_ROOT = "outside_root"  # a list entry that leads out of the dataset's folder by ``..``
    OWN_OUTPUT = "own_output"  # a list entry in a folder of maskgrid's results
    CHANGED = "changed"  # the content has changed since it was indexed


class BadImageError(Exception):
    """A file that cannot be read as an image.

    Attributes:
        status: the reason, in one word.
        message: the reason for people; one line without paths, so that tables do not depend on where files are.
    """

    def __init__(self, status: ImageStatus, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = " ".join(message.split())[:200]


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded image.

    Attributes:
        pixels: ``uint8 (H, W, 3)``, RGB, C-contiguous, as displayed (EXIF orientation applied).
        exif_orientation: 1 to 8, from the file; 1 if it has none.
        mode: Pillow's mode of the file: ``RGB``, ``L``, ``I;16``, …
        format: Pillow's name of the file's format: ``JPEG``, ``PNG``, …
    """

    pixels: npt.NDArray[np.uint8]
    exif_orientation: int
    mode: str
    format: str


# Pillow knows some forty formats, many of them written for one program long ago. Datasets use these, and decoders that
# never run cannot be attacked. (JPEG includes MPO: a camera's JPEG with a second image after the first.)
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF", "TIFF", "BMP", "GIF", "PPM")

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

# So begin Pillow's messages about whole files of a kind that it has no decoder for.
_UNREAD_KINDS = ("unknown raw mode", "conversion from", "Unsupported BMP", "Windows Media Photo")

# Where Pillow keeps XMP, from which it would take an orientation where EXIF has none; browsers and OpenCV do not.
_XMP = ("xmp", "XML:com.adobe.xmp")

# EXIF orientation (EXIF 2.32, tag 0x0112) to the operation that undoes it.
_TURNS = {
    2: Transpose.FLIP_LEFT_RIGHT,
    3: Transpose.ROTATE_180,
    4: Transpose.FLIP_TOP_BOTTOM,
    5: Transpose.TRANSPOSE,
    6: Transpose.ROTATE_270,
    7: Transpose.TRANSVERSE,
    8: Transpose.ROTATE_90,
}


def read_image(path: Path, max_pixels: int, sha256: str | None = None, span: Span | None = None) -> Image:
    """Read an image file as 8-bit RGB, as a viewer shows it.

    EXIF orientation is applied; one that stands in XMP alone is not, as in browsers and OpenCV. Only the first frame of
    an animation is read; 16 bits are scaled to 8; transparency is shown on white. Colour profiles are not applied, as
    in ``PIL.Image.convert`` and SAM 2's own examples (see :func:`maskgrid.dataset.pillow.to_rgb`).

    Args:
        path: the file.
        max_pixels: an image of larger width x height is rejected from its header, before decoding.
        sha256: the hash (hexadecimal) that the file's bytes must have; None for any.
        span: the part of the file that is the image; None for the whole file.

    Raises:
        BadImageError: anything is wrong with the file; no other exception is raised for it.
    """
    try:
        with _checked(path, sha256, span) as stream, pillow_limits(max_pixels):
            return _decode(stream, max_pixels)
    except PixelsUnsupportedError as error:
        raise BadImageError(ImageStatus.UNSUPPORTED, str(error)) from None
    except DECODE_ERRORS as error:
        raise _bad_image(error) from error


def read_content(path: Path, sha256: str | None, span: Span | None = None) -> bytes:
    """The bytes of an image file as they are, not decoded; arguments and errors as for :func:`read_image`."""
    try:
        with _checked(path, sha256, span) as stream:
            return stream.read()
    except OSError as error:
        raise _bad_image(error) from error


@contextmanager
def _checked(path: Path, sha256: str | None, span: Span | None) -> Iterator[IO[bytes]]:
    """Open an image file that has bytes, and those of the hash."""
    _require_regular_file(path)
    with open_span(path, span) as stream:
        if span is not None and span.length == 0:
            raise BadImageError(ImageStatus.EMPTY, "the file has no bytes")
        if sha256 is not None and hashlib.file_digest(stream, "sha256").hexdigest() != sha256:
            raise BadImageError(ImageStatus.CHANGED, "the content has changed since the dataset was indexed")
        stream.seek(0)
        yield stream


def rgb_pixels(image: ImageLike, max_pixels: int = 100_000_000) -> npt.NDArray[np.uint8]:
    """Convert an image that a user passes to uint8 (H, W, 3), RGB.

    Args:
        image: such an array, a PIL image of any mode, or a file's path (see :func:`read_image`).
        max_pixels: reject a file with a larger width x height.

    Raises:
        UserError: another array or type, or the file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        try:
            return read_image(Path(image).expanduser(), max_pixels).pixels
        except BadImageError as error:
            raise UserError(f"{os.fspath(image)}: {error.message}") from None
    if isinstance(image, PIL.Image.Image):
        try:
            return np.array(to_rgb(image))
        except PixelsUnsupportedError as error:
            raise UserError(f"the image has {error}") from None
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} of shape {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise UserError(f"an image must be a uint8 array of shape (H, W, 3) in RGB, a PIL image or a path, not {found}")
    return np.ascontiguousarray(image)


def _require_regular_file(path: Path) -> None:
    # Before opening: a named pipe would block for ever.
    try:
        status = path.stat()
    except ValueError as error:  # a NUL in the path, which no file system allows
        raise BadImageError(ImageStatus.MISSING, str(error)) from None
    if stat.S_ISDIR(status.st_mode) and not os.access(path, os.R_OK | os.X_OK):
        raise BadImageError(ImageStatus.UNREADABLE, "a folder that may not be listed")
    if not stat.S_ISREG(status.st_mode):
        kind = "a folder" if stat.S_ISDIR(status.st_mode) else "a device or pipe"
        raise BadImageError(ImageStatus.NOT_AN_IMAGE, f"{kind}, not a file")
    if status.st_size == 0:
        raise BadImageError(ImageStatus.EMPTY, "the file has no bytes")


def _decode(stream: IO[bytes], max_pixels: int) -> Image:
    try:
        image = PIL.Image.open(stream, formats=FORMATS)
    except UnidentifiedImageError:
        raise _unidentified(stream) from None
    if isinstance(image, PngImageFile):
        scale_transparent_colour(image)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImageError(
            ImageStatus.TOO_LARGE, f"{width} x {height} pixels, more than max_pixels allows ({max_pixels})"
        )
    mode, file_format = image.mode, str(image.format)
    # Pillow rotates a TIFF while loading it, and drops the tag; we rotate the rest.
    tiff_orientation = _orientation(image) if isinstance(image, TiffImageFile) else None
    load(image)
    orientation = _orientation(image)
    turn = _TURNS.get(orientation)
    rgb = to_rgb(image)
    if turn is not None:
        rgb = rgb.transpose(turn)
    return Image(np.array(rgb, dtype=np.uint8, order="C"), tiff_orientation or orientation, mode, file_format)


def _orientation(image: PIL.Image.Image) -> int:
    for name in _XMP:
        image.info.pop(name, None)
    try:
        value: Any = image.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODE_ERRORS:
        return 1  # viewers ignore EXIF data that they cannot read
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def load(image: PIL.Image.Image) -> None:
    """Decode an opened file, as its own format says where Pillow would not.

    Raises:
        PixelsUnsupportedError: Pillow cannot decode it, or would show something else.
        OSError, ValueError, ...: one of ``DECODE_ERRORS``.
    """
    if not isinstance(image, TiffImageFile):
        image.load()
        return
    correct_decoding(image)
    compression = optional_compression(image)
    try:
        image.load()
    except OSError as error:
        if compression is not None and error.errno is None:
            raise PixelsUnsupportedError(
                f"{compression} compression in TIFF, which this Pillow cannot decode"
            ) from None
        raise
    require_unsigned(image)


def _unidentified(stream: IO[bytes]) -> BadImageError:
    kind = unread_kind(stream)
    if kind is None:
        return BadImageError(ImageStatus.NOT_AN_IMAGE, "the content is no image that is known here")
    if not kind:
        return BadImageError(ImageStatus.TRUNCATED, "begins as an image, but its header is cut short or damaged")
    return BadImageError(ImageStatus.UNSUPPORTED, f"{kind}; these are read: {', '.join(FORMATS)}")


def _bad_image(error: BaseException) -> BadImageError:
    if isinstance(error, PIL.Image.DecompressionBombError):
        return BadImageError(ImageStatus.TOO_LARGE, "many times more pixels than max_pixels allows")
    if isinstance(error, MemoryError):
        return BadImageError(ImageStatus.TOO_LARGE, "decoding it needs more memory than there is")
    # Errors of the operating system have a number, Pillow's do not; EINVAL comes from seeking to an offset from a
    # damaged header.
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return BadImageError(ImageStatus.MISSING if missing else ImageStatus.UNREADABLE, os.strerror(error.errno))
    if str(error).startswith(_UNREAD_KINDS):
        return BadImageError(ImageStatus.UNSUPPORTED, f"a kind of image that is not read here: {error}")
    return BadImageError(ImageStatus.TRUNCATED, f"cut short or damaged: {error or type(error).__name__}")
