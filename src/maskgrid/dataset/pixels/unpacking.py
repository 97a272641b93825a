"""Decode a JPEG or PNG that is larger than memory, strip by strip, into a temporary TIFF of which windows are read.

libvips decodes them, with the pixels that Pillow decodes. What needs the whole picture in memory is refused.
"""

import logging
import os
import shutil
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from typing import IO, Any

import PIL.Image
from PIL.JpegImagePlugin import JpegImageFile

from maskgrid.dataset.pixels.decoding import stated_orientation
from maskgrid.dataset.pixels.other_formats import INSTALL
from maskgrid.dataset.pixels.pillow import TooManyPixelsError, pillow_limits
from maskgrid.io.temporary import temporary_folder

log = logging.getLogger(__name__)

_FORMATS = ("JPEG", "PNG")  # MPO, a JPEG with a second image, is among the first
_JPEG_MODES = ("L", "RGB")


@dataclass(frozen=True, slots=True)
class Unpacked:
    """A decoded picture.

    Attributes:
        stream: an uncompressed TIFF with its values, not turned; the file has no name any more.
        exif_orientation: 1 to 8, of the original.
        mode: Pillow's mode of the original.
        format: Pillow's name of its format.
    """

    stream: IO[bytes]
    exif_orientation: int
    mode: str
    format: str


def unpack(opened: ExitStack, stream: IO[bytes], max_pixels: int) -> Unpacked | None:
    """Decode a JPEG or PNG to its end.

    Args:
        opened: closes the decoded picture, which then takes no space any more.
        stream: the file.
        max_pixels: a larger width x height is refused.

    Returns:
        The picture; None for another format, or without pyvips, which the log says.

    Raises:
        TooManyPixelsError: it is too large, is stored so that it must be decoded whole, or does not fit onto the disk.
        Exception: pyvips' or Pillow's, for damage; see :func:`maskgrid.dataset.pixels.tiff_values.damage_as_errors`.
    """
    stream.seek(0)
    with pillow_limits(max_pixels), ExitStack() as header:
        try:
            image = header.enter_context(PIL.Image.open(stream, formats=_FORMATS))
        except PIL.UnidentifiedImageError:
            return None
        vips = _vips(image)
        if vips is None:
            return None
        _require_strips(image, max_pixels)
        about = stated_orientation(image), image.mode, str(image.format)
    return Unpacked(opened.enter_context(_decoded(vips, stream, about[2])), *about)


def _vips(image: PIL.Image.Image) -> Any:  # noqa: ANN401
    try:
        import pyvips
    except (ImportError, OSError):  # the package, or the library that it loads
        width, height = image.size
        log.warning(
            "a %s of %d x %d pixels, larger than max_pixels, could be read in strips: %s[large]'",
            *(image.format, width, height, INSTALL),
        )
        return None
    logger = logging.getLogger("pyvips")  # it logs damage; callers get pixels or an exception
    logger.propagate = False
    if not logger.handlers:  # else Python would print warnings
        logger.addHandler(logging.NullHandler())
    pyvips.cache_set_max(0)
    return pyvips


def _require_strips(image: PIL.Image.Image, max_pixels: int) -> None:
    """Refuse a picture that strips cannot be read of, or that does not fit onto the disk."""
    width, height = image.size
    if width * height > max_pixels:
        raise TooManyPixelsError(f"{width} x {height} pixels, more than {max_pixels}")
    is_jpeg = isinstance(image, JpegImageFile)
    kind = (
        "a progressive JPEG" * bool(image.info.get("progressive"))
        or "an interlaced PNG" * bool(image.info.get("interlace"))
        or "an animated PNG" * (not is_jpeg and getattr(image, "is_animated", False))
        or f"a JPEG of {image.mode}" * (is_jpeg and image.mode not in _JPEG_MODES)
    )
    if kind:
        raise TooManyPixelsError(f"{width} x {height} pixels, and {kind}, not read in strips; convert it to TIFF")
    folder = tempfile.gettempdir()
    n_bytes = width * height * (3 if is_jpeg else 8)
    if n_bytes > shutil.disk_usage(folder).free:
        raise TooManyPixelsError(f"decoding it takes {n_bytes / 1e9:.1f} GB of disk, more than is free; set TMPDIR")


def _decoded(vips: Any, stream: IO[bytes], file_format: str) -> IO[bytes]:  # noqa: ANN401
    stream.seek(0)
    source = vips.SourceCustom()
    source.on_read(stream.read)
    source.on_seek(stream.seek)
    load = vips.Image.pngload_source if file_format == "PNG" else vips.Image.jpegload_source
    with temporary_folder() as folder:
        path = folder / "picture.tif"
        image = load(source, access="sequential", fail_on="error")
        image.tiffsave(os.fspath(path), bigtiff=True, compression="none", keep="none")
        return path.open("rb")
