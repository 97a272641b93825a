"""Examine an image that is too large to be read whole: read it to its end, strip by strip."""

from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from maskgrid.dataset.pixels.decoding import Wish
from maskgrid.dataset.pixels.images import wrong_as_bad_image
from maskgrid.dataset.pixels.look import Look, Raster, is_measured
from maskgrid.dataset.pixels.other_formats import is_tiff
from maskgrid.dataset.pixels.strip_look import look_of_strips
from maskgrid.dataset.pixels.tiff_values import damage_as_errors
from maskgrid.dataset.pixels.tiff_windows import Box
from maskgrid.dataset.pixels.unpacking import unpack
from maskgrid.dataset.pixels.windows import MOST_PIXELS, TURNS, open_reader, orientation_of, shrink_of
from maskgrid.dataset.sources.spans import Span, open_span

# Decoded values in memory at once.
_STRIP_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class Measured:
    """What the index says of a picture that is read in windows; the fields of ``pixels.decoding.Image``."""

    size_hw: tuple[int, int]
    exif_orientation: int
    mode: str
    format: str
    look: Look
    is_measured: bool


def measure_windows(path: Path, wish: Wish, span: Span | None = None) -> Measured | None:
    """Read an image beyond ``max_pixels`` to its end, strip by strip, and measure what the config asks for.

    Returns:
        What was found; None for a file of a format of which no windows are read.

    Raises:
        BadImageError: anything is wrong with it.
    """
    with ExitStack() as opened, wrong_as_bad_image(), damage_as_errors():
        stream = opened.enter_context(open_span(path, span))
        unpacked = None
        if not is_tiff(stream):
            unpacked = unpack(opened, stream, MOST_PIXELS) if wish.page is None else None
            if unpacked is None:
                return None
        bands_wanted = wish.pixels.bands is not None
        tiff = stream if unpacked is None else unpacked.stream
        reader = open_reader(opened, tiff, wish.page, bands_wanted, MOST_PIXELS)
        height, width = reader.picture.size_hw
        n_rows = reader.rows_at_once(_STRIP_BYTES)

        def strips() -> Iterator[Raster]:
            for top in range(0, height, n_rows):
                values = reader.values(Box(0, top, width, min(top + n_rows, height)))
                yield reader.picture.raster(values)

        look = look_of_strips(strips, wish.pixels, wish.page, shrink_of((height, width)))
        orientation = orientation_of(reader) if unpacked is None else unpacked.exif_orientation
        size_hw = (width, height) if TURNS[orientation][0] else (height, width)
        mode, file_format = f"{reader.picture.n_bands} x {reader.dtype}", "TIFF"
        if unpacked is not None:
            mode, file_format = unpacked.mode, unpacked.format
        measured = is_measured(next(iter(strips())), wish.pixels)
        return Measured(size_hw, orientation, mode, file_format, look, measured)
