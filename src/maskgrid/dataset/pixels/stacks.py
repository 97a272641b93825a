"""Files with several pages or frames as several images: ``dataset.pixels.pages: all``."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import PIL.Image

from maskgrid.config.pixels import PixelsConfig
from maskgrid.dataset.pixels.other_formats import is_tiff
from maskgrid.dataset.pixels.pillow import DECODE_ERRORS, PixelsUnsupportedError, pillow_limits
from maskgrid.dataset.sources.listing import SourceItem, file_state
from maskgrid.dataset.sources.spans import Span, open_span

_ANIMATIONS = ("GIF", "PNG", "WEBP", "AVIF")
_SUFFIXES = frozenset({".tif", ".tiff", ".gif", ".png", ".apng", ".webp", ".avif"})
_MARK = "#page="
_ANY_SIZE = 1 << 40  # only headers are read here


def expand_pages(items: Sequence[SourceItem], pixels: PixelsConfig) -> list[SourceItem]:
    """Replace files with several pages by their pages, with keys such as ``stack.tif#page=3``.

    Thumbnails and masks among a TIFF's pages do not count. With ``bands``, channels that lie in pages of their own are
    bands of one image, whose number is that of its first page. A file that cannot be read stays one input.

    Args:
        items: the inputs, sorted by key.
        pixels: how images are shown.

    Returns:
        The inputs, sorted by key.
    """
    if pixels.pages == "first":
        return list(items)
    found = [page for item in items for page in _expanded(item, pixels.bands is not None)]
    return sorted(found, key=lambda item: item.key)


def file_key(key: str) -> str:
    """The key of the file that an image is a page of; the key itself if it is none."""
    return key.rpartition(_MARK)[0] if _MARK in key else key


def _expanded(item: SourceItem, bands_wanted: bool) -> Iterator[SourceItem]:
    if item.problem is not None or Path(item.key).suffix.lower() not in _SUFFIXES:
        yield item
        return
    pages = _pages(item.path, item.span, bands_wanted, *file_state(item))
    if len(pages) < 2:
        yield item
    for page in pages if len(pages) > 1 else ():
        yield replace(item, key=f"{item.key}{_MARK}{page}", page=page)


@lru_cache(maxsize=4096)
def _pages(
    path: Path,
    span: Span | None,
    bands_wanted: bool,
    size: int | None,  # noqa: ARG001 - with the time, tells whether the file is the same
    mtime_ns: int | None,  # noqa: ARG001
) -> list[int]:
    """The pages of a file, from 1; none if it cannot be read."""
    try:
        if not path.is_file():
            return []
        with open_span(path, span) as stream, pillow_limits(_ANY_SIZE):
            if is_tiff(stream):
                from maskgrid.dataset.pixels.tiff_values import pages_of  # here, since most images need no tifffile

                return pages_of(stream, bands_wanted)
            stream.seek(0)
            with PIL.Image.open(stream, formats=_ANIMATIONS) as image:
                return list(range(1, getattr(image, "n_frames", 1) + 1))
    except (*DECODE_ERRORS, PixelsUnsupportedError):
        return []
