"""Read one image, from a file or a notebook, as the pixels that a viewer shows, or say why that fails."""

import errno
import hashlib
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from io import BufferedReader
from pathlib import Path
from typing import IO, TypeVar

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import UnidentifiedImageError

from maskgrid.config.pixels import PLAIN, PixelsConfig
from maskgrid.dataset.georeference import Georeference, read_georeference
from maskgrid.dataset.pixels.decoding import Image, Wish, decode, picture_of
from maskgrid.dataset.pixels.look import Look
from maskgrid.dataset.pixels.other_formats import INSTALL, is_tiff, unread_kind
from maskgrid.dataset.pixels.pillow import (
    DECODE_ERRORS,
    PixelsUnsupportedError,
    TooManyPixelsError,
    pillow_limits,
    read_formats,
)
from maskgrid.dataset.sources.spans import Span, open_span, sha256_once
from maskgrid.io.errors import UserError

Read = TypeVar("Read")
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

    def __str__(self) -> str:
        """The message."""
        return self.message


# So begin Pillow's messages about whole files of a kind that it has no decoder for.
_UNREAD_KINDS = ("unknown raw mode", "conversion from", "Unsupported BMP", "Windows Media Photo")


def read_image(
    path: Path, max_pixels: int, sha256: str | None = None, span: Span | None = None, look: Look | None = None
) -> Image:
    """Read an image file as 8-bit RGB, as a viewer shows it.

    EXIF orientation is applied; one that stands in XMP alone is not, as in browsers and OpenCV. Only the first frame of
    an animation is read; 16 bits are scaled to 8; transparency is shown on white. Colour profiles are not applied, as
    in ``PIL.Image.convert`` and SAM 2's own examples (see :func:`maskgrid.dataset.pixels.pillow.to_rgb`).

    Args:
        path: the file.
        max_pixels: an image of larger width x height is rejected from its header, before decoding.
        sha256: the hash (hexadecimal) that the file's bytes must have; None for any.
        span: the part of the file that is the image; None for the whole file.
        look: the page, the bands and the stretch that were measured when it was indexed; None for none of these.

    Raises:
        BadImageError: anything is wrong with the file; no other exception is raised for it.
    """
    return _read(path, max_pixels, sha256, span, look)


def measure_image(path: Path, max_pixels: int, wish: Wish, span: Span | None = None) -> Image:
    """Read an image file as the config says, and measure what that takes: ``Image.look``.

    Args:
        path: the file.
        max_pixels: an image of larger width x height is rejected from its header, before decoding.
        wish: what the config says, and the page.
        span: the part of the file that is the image; None for the whole file.

    Raises:
        BadImageError: anything is wrong with the file; no other exception is raised for it.
    """
    return _read(path, max_pixels, None, span, wish)


def read_image_georeference(path: Path, sha256: str | None, span: Span | None = None) -> Georeference | None:
    """Where on a map an image file lies; None if it does not say.

    Args:
        path: the file.
        sha256: the hash (hexadecimal) that the file's bytes must have; None for any.
        span: the part of the file that is the image; None for the whole file.

    Raises:
        BadImageError: it is gone, or has changed.
        MissingMapsError: its reference system needs a further package.
    """
    return _opened(path, 1, sha256, span, None, lambda stream: read_georeference(stream) if is_tiff(stream) else None)


def _read(path: Path, max_pixels: int, sha256: str | None, span: Span | None, wanted: Look | Wish | None) -> Image:
    return _opened(path, max_pixels, sha256, span, wanted, lambda stream: _decode(stream, max_pixels, wanted))


def _opened(
    path: Path,
    max_pixels: int,
    sha256: str | None,
    span: Span | None,
    wanted: Look | Wish | None,
    read: Callable[[BufferedReader], Read],
) -> Read:
    """What ``read`` finds in a file with this hash; whatever is wrong is raised as ``BadImageError``."""
    with wrong_as_bad_image(), _checked(path, sha256, span, wanted) as stream, pillow_limits(max_pixels):
        return read(stream)


@contextmanager
def wrong_as_bad_image() -> Iterator[None]:
    """Raise whatever is wrong with a file as ``BadImageError``."""
    try:
        yield
    except TooManyPixelsError as error:
        raise BadImageError(ImageStatus.TOO_LARGE, str(error)) from None
    except PixelsUnsupportedError as error:
        raise BadImageError(ImageStatus.UNSUPPORTED, str(error)) from None
    except DECODE_ERRORS as error:
        raise _bad_image(error) from error


def read_content(path: Path, sha256: str | None, span: Span | None = None) -> bytes:
    """The bytes of an image file as they are, not decoded; arguments and errors as for :func:`read_image`."""
    try:
        with _checked(path, sha256, span, None) as stream:
            return stream.read()
    except OSError as error:
        raise _bad_image(error) from error


@contextmanager
def _checked(path: Path, sha256: str | None, span: Span | None, wanted: Look | Wish | None) -> Iterator[BufferedReader]:
    """Open an image file that has bytes, and those of the hash."""
    _require_regular_file(path)
    with open_span(path, span) as stream:
        if span is not None and span.length == 0:
            raise BadImageError(ImageStatus.EMPTY, "the file has no bytes")
        require_sha256(path, sha256, span, stream, wanted)
        stream.seek(0)
        yield stream


def require_sha256(
    path: Path, sha256: str | None, span: Span | None, stream: BufferedReader, wanted: Look | Wish | None
) -> None:
    """Refuse an opened file whose bytes do not have a hash, as ``BadImageError``."""
    if sha256 is not None and _sha256(path, span, stream, wanted) != sha256:
        raise BadImageError(ImageStatus.CHANGED, "the content has changed since the dataset was indexed")


def _sha256(path: Path, span: Span | None, stream: BufferedReader, wanted: Look | Wish | None) -> str:
    if wanted is None or wanted.page is None:
        stream.seek(0)
        return hashlib.file_digest(stream, "sha256").hexdigest()
    state = path.stat()
    return sha256_once(path, span, state.st_size, state.st_mtime_ns)


def rgb_pixels(image: ImageLike, max_pixels: int = 100_000_000, pixels: PixelsConfig = PLAIN) -> npt.NDArray[np.uint8]:
    """Convert an image that a user passes to uint8 (H, W, 3), RGB.

    Args:
        image: such an array, a PIL image of any mode, or a file's path (see :func:`read_image`).
        max_pixels: reject a file with a larger width x height.
        pixels: how files and PIL images are shown; by default, more than 8 bits are stretched by percentiles.

    Raises:
        UserError: another array or type, or the file cannot be read.
    """
    if isinstance(image, str | os.PathLike):
        try:
            return measure_image(Path(image).expanduser(), max_pixels, Wish(pixels)).pixels
        except BadImageError as error:
            raise UserError(f"{os.fspath(image)}: {error.message}") from None
    if isinstance(image, PIL.Image.Image):
        try:
            return picture_of(image, pixels)
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


def _decode(stream: IO[bytes], max_pixels: int, wanted: Look | Wish | None) -> Image:
    try:
        image = PIL.Image.open(stream, formats=read_formats())
    except UnidentifiedImageError:
        bad = _unidentified(stream)
        if bad.status is not ImageStatus.UNSUPPORTED or not is_tiff(stream):
            raise bad from None
        return decode(None, stream, max_pixels, wanted)
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixelsError(f"{width} x {height} pixels, more than max_pixels allows ({max_pixels})")
    return decode(image, stream, max_pixels, wanted)


def _unidentified(stream: IO[bytes]) -> BadImageError:
    kind = unread_kind(stream)
    if kind is None:
        return BadImageError(ImageStatus.NOT_AN_IMAGE, "the content is no image that is known here")
    if not kind:
        return BadImageError(ImageStatus.TRUNCATED, "begins as an image, but its header is cut short or damaged")
    others = "" if INSTALL in kind else f"; these are read: {', '.join(read_formats())}"
    return BadImageError(ImageStatus.UNSUPPORTED, f"{kind}{others}")


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
