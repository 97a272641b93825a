"""Decode an opened file: as a viewer shows it, or its values at their full depth, drawn as the config says."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL import ExifTags
from PIL.Image import Transpose
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from maskgrid.config.pixels import PLAIN, PixelsConfig
from maskgrid.dataset.pixels.look import Look, Raster, is_measured, look_of, picture
from maskgrid.dataset.pixels.pillow import (
    DECODE_ERRORS,
    MissingCodecError,
    PillowOnlyError,
    PixelsUnsupportedError,
    scale_transparent_colour,
    to_rgb,
)
from maskgrid.dataset.pixels.rasters import deep_raster, is_deep, pillow_raster
from maskgrid.dataset.pixels.tiff import correct_decoding, optional_compression, refuse_thumbnail, require_unsigned

# Where Pillow keeps XMP, from which it would take an orientation where EXIF has none; browsers and OpenCV do not.
_XMP = ("xmp", "XML:com.adobe.xmp")
_SUBFILE_TYPE, _HELPERS = 254, 5  # TIFF's tag, and its bits for thumbnails and masks

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


@dataclass(frozen=True, slots=True)
class Image:
    """A decoded image.

    Attributes:
        pixels: ``uint8 (H, W, 3)``, RGB, C-contiguous, as displayed (EXIF orientation applied).
        exif_orientation: 1 to 8, from the file; 1 if it has none.
        mode: Pillow's mode of the file: ``RGB``, ``L``, ``I;16``, …; ``5 x uint16`` for one that Pillow cannot open.
        format: Pillow's name of the file's format: ``JPEG``, ``PNG``, …
        look: how its values became the pixels; None: as a viewer shows them.
        is_measured: whether the look's stretch was measured now, in this image.
    """

    pixels: npt.NDArray[np.uint8]
    exif_orientation: int
    mode: str
    format: str
    look: Look | None = None
    is_measured: bool = False

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]


@dataclass(frozen=True, slots=True)
class Wish:
    """How a file is to be shown: what the config says, and the page (from 1; None: the first)."""

    pixels: PixelsConfig = PLAIN
    page: int | None = None


def decode(image: PIL.Image.Image | None, stream: IO[bytes], max_pixels: int, wanted: Look | Wish | None) -> Image:
    """Decode an opened file.

    Args:
        image: the file as Pillow opened it; None for a TIFF that it cannot open.
        stream: the file.
        max_pixels: a larger width x height is refused.
        wanted: a look measured before, or a wish to measure one; None: as a viewer shows the file.

    Raises:
        PixelsUnsupportedError: it cannot be shown so.
        OSError, ValueError, ...: one of ``maskgrid.dataset.pixels.pillow.DECODE_ERRORS``.
    """
    page = None if wanted is None else wanted.page
    if image is not None and page is not None and not _go_to(image, page):
        if not isinstance(image, TiffImageFile):
            raise ValueError(f"there is no page {page}")
        image = None
    if image is not None and _is_plain(image, wanted):
        try:
            return _plain(image, wanted)
        except PillowOnlyError as refused:
            return _by_tifffile(image, stream, max_pixels, wanted, refused)
    return _drawn(image, wanted, lambda: _raster(image, stream, max_pixels, wanted))


def _by_tifffile(
    image: PIL.Image.Image, stream: IO[bytes], max_pixels: int, wanted: Look | Wish | None, refused: PillowOnlyError
) -> Image:
    """Decode a TIFF of 8 bits that Pillow refuses: by tifffile, which knows more compressions, and signed numbers."""
    from maskgrid.dataset.pixels.tiff_values import read_tiff  # here, since most images need no tifffile

    page = None if wanted is None else wanted.page
    try:
        return _drawn(image, wanted, lambda: read_tiff(stream, page, False, max_pixels))
    except MissingCodecError:
        raise
    except PixelsUnsupportedError:
        raise refused from None


def _drawn(image: PIL.Image.Image | None, wanted: Look | Wish | None, read: Callable[[], Raster]) -> Image:
    """Read a file's values, and draw them."""
    page = None if wanted is None else wanted.page
    mode = image.mode if image is not None else ""
    # Pillow drops a TIFF's tag while loading it, and must load a PNG to find its own.
    stated = stated_orientation(image) if isinstance(image, TiffImageFile) else 1
    raster = read()
    if image is not None and not isinstance(image, TiffImageFile):
        stated = stated_orientation(image)
    look = wanted if isinstance(wanted, Look) else look_of(raster, _pixels(wanted), page)
    is_upright = isinstance(image, TiffImageFile)  # its values say so themselves
    orientation = raster.orientation if is_upright or image is None else stated
    drawn = PIL.Image.fromarray(picture(raster, look))
    mode = mode or f"{raster.values.shape[2]} x {raster.values.dtype}"
    file_format = "TIFF" if image is None else str(image.format)
    measured = isinstance(wanted, Wish) and is_measured(raster, wanted.pixels)
    return Image(_turned(drawn, orientation), max(stated, orientation), mode, file_format, look, measured)


def picture_of(image: PIL.Image.Image, pixels: PixelsConfig = PLAIN) -> npt.NDArray[np.uint8]:
    """An image in memory as uint8 (H, W, 3), RGB.

    Raises:
        PixelsUnsupportedError: values without an agreed look.
    """
    if _is_plain(image, Wish(pixels)):
        return np.array(to_rgb(image))
    raster = pillow_raster(image)
    return picture(raster, look_of(raster, pixels))


def _pixels(wanted: Look | Wish | None) -> PixelsConfig:
    return wanted.pixels if isinstance(wanted, Wish) else PixelsConfig(stretch="none")


def _is_plain(image: PIL.Image.Image, wanted: Look | Wish | None) -> bool:
    """Whether the file is shown as viewers show it."""
    if not isinstance(wanted, Wish):
        return wanted is None or wanted.bands is None
    stretch = wanted.pixels.stretch
    is_unchanged = stretch == "none" or (stretch == "auto" and not is_deep(image))
    return wanted.pixels.bands is None and is_unchanged


def _plain(image: PIL.Image.Image, wanted: Look | Wish | None) -> Image:
    mode, file_format = image.mode, str(image.format)
    if isinstance(image, PngImageFile):
        scale_transparent_colour(image)
    # Pillow rotates a TIFF while loading it, and drops the tag; we rotate the rest.
    tiff_orientation = stated_orientation(image) if isinstance(image, TiffImageFile) else None
    load(image)
    orientation = stated_orientation(image)
    page = None if wanted is None else wanted.page
    look = None if page is None else Look(page)
    return Image(_turned(to_rgb(image), orientation), tiff_orientation or orientation, mode, file_format, look)


def _raster(image: PIL.Image.Image | None, stream: IO[bytes], max_pixels: int, wanted: Look | Wish | None) -> Raster:
    """The file's values, by tifffile if it is a TIFF that tifffile can decode."""
    if isinstance(image, TiffImageFile):
        refuse_thumbnail(image)
    if image is None or isinstance(image, TiffImageFile):
        # A look has bands in any case; only those that the page itself lacks lie in other pages.
        bands_wanted = _pixels(wanted).bands is not None
        page = None if wanted is None else wanted.page
        from maskgrid.dataset.pixels.tiff_values import read_tiff  # here, since most images need no tifffile

        try:
            raster = read_tiff(stream, page, bands_wanted, max_pixels)
            if isinstance(wanted, Look) and max(wanted.bands or (1,)) > raster.values.shape[2]:
                raster = read_tiff(stream, page, True, max_pixels)
            return raster
        except PixelsUnsupportedError as error:
            if image is None or (is_deep(image) and not isinstance(error, MissingCodecError)):
                raise
    if is_deep(image):
        return deep_raster(image, stream, load)
    load(image)
    return pillow_raster(image)


def _go_to(image: PIL.Image.Image, page: int) -> bool:
    """Go to a page of an opened file, thumbnails and masks not counted; False if Pillow finds no such page."""
    n_frames = getattr(image, "n_frames", 1)
    if not isinstance(image, TiffImageFile):
        if page <= n_frames:
            image.seek(page - 1)
        return page <= n_frames
    for frame in range(n_frames):
        image.seek(frame)
        page -= not image.tag_v2.get(_SUBFILE_TYPE, 0) & _HELPERS
        if not page:
            return True
    image.seek(0)
    return False


def _turned(image: PIL.Image.Image, orientation: int) -> npt.NDArray[np.uint8]:
    turn = _TURNS.get(orientation)
    return np.array(image if turn is None else image.transpose(turn), dtype=np.uint8, order="C")


def stated_orientation(image: PIL.Image.Image) -> int:
    """EXIF's orientation of an opened file, 1 to 8; 1 where it is silent."""
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
        OSError, ValueError, ...: one of ``maskgrid.dataset.pixels.pillow.DECODE_ERRORS``.
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
            raise PillowOnlyError(f"{compression} compression in TIFF, which this Pillow cannot decode") from None
        raise
    require_unsigned(image)
