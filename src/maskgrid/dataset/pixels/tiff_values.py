"""The values of a TIFF file at their full depth, by tifffile: OME, ImageJ, BigTIFF, planes, pages, many bands."""

import logging
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Any, Self

import numpy as np
import tifffile

from maskgrid.dataset.pixels.look import Raster, Values
from maskgrid.dataset.pixels.pillow import MissingCodecError, PixelsUnsupportedError, TooManyPixelsError

_GDAL_METADATA, _GDAL_NODATA = 42112, 42113
_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB, _YCBCR = 0, 1, 2, 6
_JPEG = 7
_ASSOCIATED_ALPHA, _ANY_ALPHA = 1, (1, 2)
_REDUCED, _MASK = 1, 4  # bits of NewSubfileType
_COLOURS = ("red", "green", "blue")
# Files whose metadata say what their pages mean; the pages of others are counted as they come.
_WITH_AXES = ("ome", "imagej", "lsm")
# Decoded bytes per pixel that an image may have: a header may claim thousands of bands.
_MOST_BYTES_PER_PIXEL = 1024


@dataclass(frozen=True, slots=True)
class _Stack:
    """The pages of a file in order; channels of one picture are ``stride`` pages apart, if there are several."""

    pages: Any
    n_pages: int
    n_channels: int = 1
    stride: int = 1

    def channel(self, page: int) -> int:
        return page // self.stride % self.n_channels

    def channels(self, page: int) -> list[int]:
        """A page and the later channels of its picture."""
        return [page + step * self.stride for step in range(self.n_channels - self.channel(page))]


@dataclass(frozen=True, slots=True)
class TiffPicture:
    """One picture of an opened file.

    Attributes:
        parts: its pages: one with all bands, or one for each.
        key: the page that says what form they have.
        names: the bands' names; empty if they have none.
    """

    parts: list[Any]
    key: tifffile.TiffPage
    names: list[str]

    @classmethod
    def of(cls, file: tifffile.TiffFile, page: int | None, bands_wanted: bool, max_pixels: int) -> Self:
        """Find the picture of a page; arguments and errors as for :func:`read_tiff`."""
        number = (page or 1) - 1
        stack = _stack(file) if number or bands_wanted else _Stack(file.pages, 1)
        if number >= stack.n_pages:
            raise ValueError(f"there is no page {page}")
        key = stack.pages[number].keyframe
        _require_pixels((key.imagelength, key.imagewidth), max_pixels)
        _require_readable(key)
        places = stack.channels(number) if bands_wanted and key.samplesperpixel == 1 else [number]
        names = _names(file, key, stack.n_channels)[stack.channel(number) :]
        return cls([stack.pages[place] for place in places], key, names)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels, as in the file."""
        return self.key.imagelength, self.key.imagewidth

    @property
    def n_bands(self) -> int:
        """Bands, with transparency."""
        return self.key.samplesperpixel * len(self.parts)

    def raster(self, values: Values) -> Raster:
        """What the values (h, w, n) of the picture, or of a window of it, mean."""
        return _raster(values, self.key, self.names, is_split=len(self.parts) > 1)


def read_tiff(stream: IO[bytes], page: int | None, bands_wanted: bool, max_pixels: int) -> Raster:
    """Read the values of one page.

    Args:
        stream: the file.
        page: from 1; None for the first.
        bands_wanted: whether later channels of the same picture, which lie in pages of their own, count as its bands.
        max_pixels: a larger width x height is refused.

    Raises:
        MissingCodecError: it is compressed in a way that needs the package imagecodecs.
        PixelsUnsupportedError: it is of another kind that is not read.
        TooManyPixelsError: it is larger than ``max_pixels``.
        ValueError: it is cut short or damaged, or has no such page.
    """
    with opened(stream) as file:
        picture = TiffPicture.of(file, page, bands_wanted, max_pixels)
        parts = [_values(file, part, picture.key) for part in picture.parts]
        return picture.raster(parts[0] if len(parts) == 1 else np.concatenate(parts, axis=2))


def pages_of(stream: IO[bytes], bands_wanted: bool) -> list[int]:
    """The numbers, from 1, of the pages that are pictures of their own: no thumbnails, no masks, of channels the first.

    Args:
        stream: the file.
        bands_wanted: as for :func:`read_tiff`.

    Raises:
        ValueError: the file is cut short or damaged.
    """
    with opened(stream) as file:
        stack = _stack(file)
        return [number + 1 for number in range(stack.n_pages) if not (bands_wanted and stack.channel(number))]


@contextmanager
def opened(stream: IO[bytes]) -> Iterator[tifffile.TiffFile]:
    """Open a TIFF for the block; whatever tifffile raises for damage is raised as ``ValueError``."""
    with damage_as_errors(), open_tiff(stream) as file:
        yield file


def open_tiff(stream: IO[bytes]) -> tifffile.TiffFile:
    """Open a TIFF, within :func:`damage_as_errors`."""
    stream.seek(0)
    # tifffile logs what it finds odd; callers get values or an exception.
    logger = logging.getLogger("tifffile")
    logger.propagate = False
    if not logger.handlers:  # else Python would print warnings
        logger.addHandler(logging.NullHandler())
    # Other files that an OME-TIFF names are not read: each file is an input of its own.
    return tifffile.TiffFile(stream, _multifile=False)


@contextmanager
def damage_as_errors() -> Iterator[None]:
    """Raise whatever tifffile raises for damage as ``ValueError``, and a missing codec as ``MissingCodecError``."""
    try:
        yield
    except (PixelsUnsupportedError, TooManyPixelsError, MemoryError):
        raise
    except OSError as error:
        if error.errno is not None:
            raise
        raise ValueError(str(error)) from error
    except Exception as error:  # damaged files make tifffile raise errors of any kind
        if "requires the 'imagecodecs' package" in str(error):
            name = str(error).partition(":")[0].lstrip("<").replace("COMPRESSION.", "")
            raise MissingCodecError(
                f"{name} in TIFF, which needs a further package: pip install 'maskgrid[tiff]'"
            ) from None
        raise ValueError(f"{type(error).__name__}: {error}") from error


def _stack(file: tifffile.TiffFile) -> _Stack:
    series = file.series[0]
    key = series.keyframe
    if series.kind in _WITH_AXES:
        n_inner = len(key.axes)
        axes, shape = series.axes[:-n_inner], series.shape[: len(series.axes) - n_inner]
        if series.axes[-n_inner:] == key.axes:
            at = axes.find("C")
            n_pages = math.prod(shape)
            if at < 0:
                return _Stack(series.pages, n_pages)
            return _Stack(series.pages, n_pages, shape[at], math.prod(shape[at + 1 :]))
    pages = [page for page in (file.pages[n] for n in range(len(file.pages))) if not _is_helper(page)]
    return _Stack(pages, len(pages))


def _is_helper(page: Any) -> bool:  # noqa: ANN401
    tags = getattr(page, "tags", None)
    kind = tags.valueof(254, 0) if tags is not None else int(page.keyframe.subfiletype)
    return bool(int(kind) & (_REDUCED | _MASK))


def _require_pixels(size_hw: tuple[int, int], max_pixels: int) -> None:
    """Refuse an image without pixels by ``ValueError``, and one with too many by ``TooManyPixelsError``."""
    height, width = size_hw
    if height * width == 0:
        raise ValueError("no pixels")
    if height * width > max_pixels:
        raise TooManyPixelsError(f"{width} x {height} pixels, more than max_pixels allows ({max_pixels})")


def _require_readable(page: tifffile.TiffPage) -> None:
    if page.imagedepth > 1:
        raise PixelsUnsupportedError("several depths in one page, which is not read here")
    photometric, is_jpeg = int(page.photometric), int(page.compression) == _JPEG
    if photometric not in (_WHITE_IS_ZERO, _BLACK_IS_ZERO, _RGB) and not (photometric == _YCBCR and is_jpeg):
        raise PixelsUnsupportedError(f"a kind of TIFF that is not read here (photometric {photometric})")
    if page.dtype is None or page.dtype.kind not in "uifb":
        raise PixelsUnsupportedError(f"{page.bitspersample}-bit values of a type that is not read here")
    if page.samplesperpixel * page.dtype.itemsize > _MOST_BYTES_PER_PIXEL:
        raise TooManyPixelsError(f"{page.samplesperpixel} bands, more than fit into memory")


def require_whole(page: Any, n_bytes: int) -> None:  # noqa: ANN401
    """Refuse a page whose data do not lie in its file of so many bytes, by ``ValueError``."""
    ends = (offset + length for offset, length in zip(page.dataoffsets, page.databytecounts, strict=False))
    if max(ends, default=0) > n_bytes:
        raise ValueError("some of its strips or tiles lie behind its end")


def _values(file: tifffile.TiffFile, page: Any, key: tifffile.TiffPage) -> Values:  # noqa: ANN401
    """The values of a page: (H, W, n), in the machine's byte order."""
    require_whole(page, file.filehandle.size)
    values: Values = page.asarray(maxworkers=1)
    if key.axes == "SYX":
        values = np.moveaxis(values, 0, -1)
    elif values.ndim == 2:
        values = values[..., None]
    if values.shape != (key.imagelength, key.imagewidth, key.samplesperpixel):
        raise PixelsUnsupportedError(f"values of an unexpected form: {key.axes} {values.shape}")
    return values.astype(values.dtype.newbyteorder("="), copy=False)


def _raster(values: Values, key: tifffile.TiffPage, names: Sequence[str], is_split: bool) -> Raster:
    photometric, extra = int(key.photometric), tuple(int(one) for one in key.extrasamples)
    alpha = None
    if extra and not is_split and extra[-1] in _ANY_ALPHA:
        values, alpha = _without_alpha(values, is_multiplied=extra[-1] == _ASSOCIATED_ALPHA)
    n_bands = values.shape[2]
    is_colour = photometric in (_RGB, _YCBCR) and not is_split
    shown = (1, 2, 3) if n_bands == 3 or (is_colour and n_bands > 3) else (1,) if n_bands == 1 else ()
    if is_split:
        shown = (1,)
    return Raster(
        values=values,
        names=tuple(names[:n_bands]) if len(names) >= n_bands else _COLOURS if is_colour and n_bands == 3 else (),
        shown=shown,
        is_colour=is_colour,
        alpha=alpha,
        white=_white(key),
        white_is_zero=photometric == _WHITE_IS_ZERO,
        nodata=_nodata(key),
        orientation=int(key.tags.valueof(274, 1)),
    )


def _without_alpha(values: Values, is_multiplied: bool) -> tuple[Values, Any]:
    whole = np.iinfo(values.dtype).max if values.dtype.kind in "iu" else 1
    alpha = (values[..., -1] / whole).astype(np.float32)
    colours = values[..., :-1]
    if is_multiplied:  # undone, so that the stretch measures the colours themselves
        with np.errstate(divide="ignore", invalid="ignore"):
            colours = np.where(alpha[..., None] > 0, np.minimum(colours / alpha[..., None], whole), 0)
        colours = (np.rint(colours) if values.dtype.kind in "iu" else colours).astype(values.dtype)
    return colours, np.clip(alpha, 0, 1)


def _white(key: tifffile.TiffPage) -> float:
    """The value that is white without a stretch: 1 for floats, at most that of 16 bits."""
    if key.dtype is None or key.dtype.kind == "f":
        return 1.0
    return 1.0 if key.dtype.kind == "b" else float(2 ** min(int(key.bitspersample), 16) - 1)


def _nodata(key: tifffile.TiffPage) -> float | None:
    text = key.tags.valueof(_GDAL_NODATA)
    try:
        value = float(str(text).strip("\0 "))
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def _names(file: tifffile.TiffFile, key: tifffile.TiffPage, n_channels: int) -> list[str]:
    """The bands' names, from OME's or GDAL's metadata; empty if they have none."""
    if file.is_ome and n_channels > 1:
        found = [
            element.get("Name") or str(element.get("ID"))
            for element in ElementTree.fromstring(file.ome_metadata or "<OME/>").iter()
            if element.tag.endswith("}Channel")
        ]
        return found[:n_channels]
    text = key.tags.valueof(_GDAL_METADATA)
    if not text:
        return []
    named = {
        int(item.get("sample", 0)): item.text or ""
        for item in ElementTree.fromstring(str(text).strip("\0")).iter("Item")
        if item.get("role") == "description"
    }
    return [named.get(band, f"band {band + 1}") for band in range(key.samplesperpixel)] if named else []
