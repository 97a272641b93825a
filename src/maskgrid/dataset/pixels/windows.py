"""Pictures whose parts are read one by one, so that an image need not fit into memory."""

import math
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

import numpy as np
import numpy.typing as npt
import PIL.Image
from PIL.TiffImagePlugin import (
    BITSPERSAMPLE,
    COMPRESSION,
    EXTRASAMPLES,
    PHOTOMETRIC_INTERPRETATION,
    SAMPLEFORMAT,
    SAMPLESPERPIXEL,
    TiffImageFile,
)

from maskgrid.dataset.pixels.images import read_image, require_sha256, wrong_as_bad_image
from maskgrid.dataset.pixels.look import Look, picture
from maskgrid.dataset.pixels.other_formats import INSTALL, is_tiff
from maskgrid.dataset.pixels.pillow import (
    DECODE_ERRORS,
    PixelsUnsupportedError,
    TooManyPixelsError,
    pillow_limits,
    to_rgb,
)
from maskgrid.dataset.pixels.tiff_values import TiffPicture, damage_as_errors, open_tiff
from maskgrid.dataset.pixels.tiff_windows import Box, TiffWindowReader
from maskgrid.dataset.pixels.unpacking import unpack
from maskgrid.dataset.sources.spans import Span, open_span

Pixels = npt.NDArray[np.uint8]
BoxXyxy = tuple[int, int, int, int]

# Run-length codes, and the tables' areas, are numbers of 32 bits, one of them with a sign.
MOST_PIXELS = 2**31 - 1
# Pixels of a part that is seen in blocks.
SEEN_PX = 1 << 24
# Pixels in memory while a part is read strip by strip.
_STRIP_PX = 1 << 24
_ORIENTATION, _WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _ALPHA = 274, 0, 1, 2, 2  # alpha that colours are not multiplied by
# Modes of 8 bits whose values Pillow shows as they are, by the number of bands in the file.
_PLAIN = {"L": 1, "LA": 2, "RGB": 3, "RGBA": 4}
# Compressions without loss, which every decoder decodes alike: none, LZW, deflate, PackBits, LZMA, Zstandard.
_LOSSLESS = (1, 5, 8, 32773, 32946, 34925, 50000)

# Whether rows of the file become columns, and whether its rows and columns count backwards, by EXIF orientation.
TURNS = {
    1: (False, False, False),
    2: (False, False, True),
    3: (False, True, True),
    4: (False, True, False),
    5: (True, False, False),
    6: (True, True, False),
    7: (True, True, True),
    8: (True, False, True),
}


class Picture(Protocol):
    """An upright RGB picture of which parts can be read.

    Attributes:
        size_hw: height and width in pixels.
        shrink: for an image beyond ``max_pixels``, the side of the blocks of pixels in which large parts of it are
            seen; 1 for others.
    """

    @property
    def size_hw(self) -> tuple[int, int]: ...  # noqa: D102 - above

    @property
    def shrink(self) -> int: ...  # noqa: D102

    def read(self, box_xyxy: BoxXyxy) -> Pixels:
        """A part, uint8 (h, w, 3); the box's right and bottom edge are exclusive.

        Raises:
            BadImageError: the file cannot be read any more.
        """
        ...

    def close(self) -> None:
        """Close the file."""
        ...


@dataclass(slots=True)
class WholePicture:
    """A picture in memory: uint8 (H, W, 3)."""

    pixels: Pixels
    shrink: int = 1

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.pixels.shape[0], self.pixels.shape[1]

    def read(self, box_xyxy: BoxXyxy) -> Pixels:
        """A view of a part."""
        x0, y0, x1, y1 = box_xyxy
        return self.pixels[y0:y1, x0:x1]

    def close(self) -> None:
        """Do nothing."""


class TiffWindows:
    """A picture in a TIFF, read window by window."""

    def __init__(self, opened: ExitStack, reader: TiffWindowReader, look: Look | None, orientation: int) -> None:
        """Take over an opened file.

        Args:
            opened: closes the file.
            reader: reads its values.
            look: how they are drawn; without ``bands``, as Pillow shows values of 8 bits.
            orientation: EXIF's, 1 to 8.
        """
        self.opened, self.reader, self.look = opened, reader, look
        self.shrink = 1 if look is None or look.shrink is None else look.shrink
        self.orientation = orientation
        self.swaps, self.rows_back, self.columns_back = TURNS[orientation]
        height, width = reader.picture.size_hw
        self.size_hw = (width, height) if self.swaps else (height, width)

    def read(self, box_xyxy: BoxXyxy) -> Pixels:
        """A part, uint8 (h, w, 3), C-contiguous."""
        x0, y0, x1, y1 = box_xyxy
        if self.swaps:
            x0, y0, x1, y1 = y0, x0, y1, x1
        height, width = self.reader.picture.size_hw
        if self.rows_back:
            y0, y1 = height - y1, height - y0
        if self.columns_back:
            x0, x1 = width - x1, width - x0
        with wrong_as_bad_image(), damage_as_errors():
            drawn = self._drawn(Box(x0, y0, x1, y1))
        drawn = drawn[:: -1 if self.rows_back else 1, :: -1 if self.columns_back else 1]
        return np.ascontiguousarray(drawn.transpose(1, 0, 2) if self.swaps else drawn)

    def close(self) -> None:
        """Close the file."""
        self.opened.close()

    def _drawn(self, box: Box) -> Pixels:
        values = self.reader.values(box)
        if self.look is not None and self.look.bands is not None:
            return picture(self.reader.picture.raster(values), self.look)
        if int(self.reader.key.photometric) == _WHITE_IS_ZERO:
            values = ~values
        return np.asarray(to_rgb(PIL.Image.fromarray(values[..., 0] if values.shape[2] == 1 else values)))


def open_picture(
    path: Path,
    max_pixels: int,
    sha256: str | None = None,
    span: Span | None = None,
    look: Look | None = None,
    in_windows_from_px: int | None = None,
) -> Picture:
    """Open the picture of an image file: read whole, or window by window, with the same pixels.

    Args:
        path: the file.
        max_pixels: an image of larger width x height is not read whole.
        sha256: the hash (hexadecimal) that the file's bytes must have; None for any.
        span: the part of the file that is the image; None for the whole file.
        look: as measured when it was indexed.
        in_windows_from_px: from how many pixels on an image is read in windows if its format allows it; None: only one
            whose look says that it is beyond ``max_pixels``.

    Raises:
        BadImageError: anything is wrong with the file; no other exception is raised for it.
    """
    if look is not None and look.shrink is not None:
        with wrong_as_bad_image():
            return _in_windows(path, MOST_PIXELS, sha256, span, look)
    if in_windows_from_px is not None:
        with suppress(PixelsUnsupportedError, *DECODE_ERRORS):  # read whole, and then said as it always was
            windows = _in_windows(path, max_pixels, sha256, span, look)
            if math.prod(windows.size_hw) >= in_windows_from_px:
                return windows
            windows.close()
    return WholePicture(read_image(path, max_pixels, sha256, span, look).pixels)


def _in_windows(path: Path, max_pixels: int, sha256: str | None, span: Span | None, look: Look | None) -> TiffWindows:
    """Open a TIFF to read windows, or beyond ``max_pixels`` a JPEG or PNG.

    Raises:
        PixelsUnsupportedError: it is of another format, or windows of it might have other pixels than the whole.
        BadImageError, OSError, ValueError, ...: something is wrong with it.
    """
    bands = None if look is None else look.bands
    with ExitStack() as opened:
        stream = opened.enter_context(open_span(path, span))
        if not is_tiff(stream):
            if look is None or look.shrink is None:
                raise PixelsUnsupportedError("no TIFF")
            require_sha256(path, sha256, span, stream, look)
            return _unpacked(opened, stream, look)
        with damage_as_errors():
            if bands is None and (look is not None or not _is_plain(stream, max_pixels)):
                raise PixelsUnsupportedError("a kind of TIFF that Pillow alone reads")
            reader = open_reader(opened, stream, None if look is None else look.page, bands is not None, max_pixels)
            reader.values(Box(0, 0, 1, 1))  # fails where there is no codec
        require_sha256(path, sha256, span, stream, look)
        return TiffWindows(opened.pop_all(), reader, look, orientation_of(reader))


def _unpacked(opened: ExitStack, stream: IO[bytes], look: Look) -> TiffWindows:
    with damage_as_errors():
        unpacked = unpack(opened, stream, MOST_PIXELS)
        if unpacked is None:
            raise TooManyPixelsError(f"larger than max_pixels, and read in strips alone: {INSTALL}[large]'")
        reader = open_reader(opened, unpacked.stream, None, bands_wanted=True, max_pixels=MOST_PIXELS)
    return TiffWindows(opened.pop_all(), reader, look, unpacked.exif_orientation)


def open_reader(
    opened: ExitStack, stream: IO[bytes], page: int | None, bands_wanted: bool, max_pixels: int
) -> TiffWindowReader:
    """Read windows of a TIFF until ``opened`` closes; arguments and errors as for ``tiff_values.read_tiff``."""
    file = opened.enter_context(open_tiff(stream))
    return TiffWindowReader(file, TiffPicture.of(file, page, bands_wanted, max_pixels))


def orientation_of(reader: TiffWindowReader) -> int:
    """EXIF's orientation, 1 to 8."""
    stated = reader.key.tags.valueof(_ORIENTATION, 1)
    return stated if isinstance(stated, int) and stated in TURNS else 1


def _is_plain(stream: IO[bytes], max_pixels: int) -> bool:
    """Whether Pillow shows the values of a TIFF as they are, and every decoder decodes them alike."""
    stream.seek(0)
    with pillow_limits(max_pixels), PIL.Image.open(stream, formats=("TIFF",)) as image:
        if not isinstance(image, TiffImageFile):
            return False
        tags = image.tag_v2
        n_bands = _PLAIN.get(image.mode, 0)
        return (
            tuple(tags.get(BITSPERSAMPLE, (1,))) == (8,) * n_bands
            and tags.get(SAMPLESPERPIXEL, 1) == n_bands
            and tuple(tags.get(EXTRASAMPLES, ())) == ((_ALPHA,) if image.mode.endswith("A") else ())
            and tags.get(COMPRESSION, 1) in _LOSSLESS
            and set(tags.get(SAMPLEFORMAT, (1,))) == {1}
            and tags.get(PHOTOMETRIC_INTERPRETATION) in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB)
        )


def shrink_of(size_hw: tuple[int, int]) -> int:
    """The side of the smallest blocks of which a part of this size has no more than ``SEEN_PX``."""
    height, width = size_hw
    shrink = max(1, math.isqrt(height * width // SEEN_PX))
    while -(-height // shrink) * -(-width // shrink) > SEEN_PX:
        shrink += 1
    return shrink


def shrunk(picture: Picture, box_xyxy: BoxXyxy, shrink: int) -> Pixels:
    """A part of a picture, each block of pixels averaged; uint8 (ceil(h / shrink), ceil(w / shrink), 3)."""
    if shrink == 1:
        return picture.read(box_xyxy)
    x0, y0, x1, y1 = box_xyxy
    width = -(-(x1 - x0) // shrink)
    found = np.empty((-(-(y1 - y0) // shrink), width, 3), np.uint8)
    n_blocks = max(1, _STRIP_PX // ((x1 - x0) * shrink))
    for first in range(0, len(found), n_blocks):
        top = y0 + first * shrink
        strip = picture.read((x0, top, x1, min(top + n_blocks * shrink, y1)))
        found[first : first + n_blocks] = np.asarray(PIL.Image.fromarray(strip).reduce(shrink))
    return found
