"""Examine one input of the dataset: read its bytes, or reuse an earlier run's row if the file is unchanged."""

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.config.pixels import PLAIN, PixelsConfig
from maskgrid.dataset.extras import has_come
from maskgrid.dataset.pixels.decoding import Image, Wish
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, measure_image
from maskgrid.dataset.pixels.look import Look
from maskgrid.dataset.pixels.measured_windows import Measured, measure_windows
from maskgrid.dataset.sources.listing import SourceItem, file_state
from maskgrid.dataset.sources.spans import open_span, sha256_once
from maskgrid.io.listings import is_outside_root

# These depend only on the file's bytes. Others may change although the file does not: permissions, the pixel limit.
_LASTING = frozenset(
    {
        ImageStatus.OK,
        ImageStatus.EMPTY,
        ImageStatus.NOT_AN_IMAGE,
        ImageStatus.UNSUPPORTED,
        ImageStatus.TRUNCATED,
    }
)
# Columns that the file's bytes and the config's section ``pixels`` decide, for such a status.
_OF_LOOK = ("page", "bands", "stretch_low", "stretch_high", "nodata", "own_low", "own_high", "shrink")
_OF_CONTENT = ("status", "message", "width", "height", "exif_orientation", "mode", "format", *_OF_LOOK)
# Formats of no more than 8 bits, which every version has read alike.
_SHALLOW = ("JPEG", "MPO", "WEBP", "AVIF", "BMP", "GIF")


@dataclass(frozen=True, slots=True)
class InputRow:
    """The facts about one input: columns of ``maskgrid.dataset.tables.ROWS_SCHEMA``."""

    image_key: str
    path: bytes
    status: str
    message: str | None = None
    width: int | None = None
    height: int | None = None
    exif_orientation: int | None = None
    mode: str | None = None
    format: str | None = None
    size_bytes: int | None = None
    mtime_ns: int | None = None
    sha256: str | None = None
    archive: str | None = None
    member_offset: int | None = None
    page: int | None = None
    bands: tuple[int, ...] | None = None
    stretch_low: tuple[float, ...] | None = None
    stretch_high: tuple[float, ...] | None = None
    nodata: float | None = None
    own_low: tuple[float, ...] | None = None
    own_high: tuple[float, ...] | None = None
    shrink: int | None = None


@dataclass(frozen=True, slots=True)
class EarlierRows:
    """An earlier run's table of ``maskgrid.dataset.tables.ROWS_SCHEMA``, and its row numbers by image key."""

    table: pa.Table
    places: dict[str, int]

    @classmethod
    def of(cls, table: pa.Table) -> "EarlierRows":
        """Index the rows of a table; the last row wins if a key is there twice."""
        return cls(table, {key: number for number, key in enumerate(table["image_key"].to_pylist())})

    def same(
        self, item: SourceItem, size_bytes: int | None, mtime_ns: int | None, offset: int | None
    ) -> dict[str, Any] | None:
        """The row of an input, if its file's size and time and its place in its archive are the same."""
        row = self.row(item.key)
        if row is None:
            return None
        is_same = (size_bytes, mtime_ns, offset) == (row["size_bytes"], row["mtime_ns"], row["member_offset"])
        return row if is_same else None

    def row(self, key: str) -> dict[str, Any] | None:
        """The row of an input; None if it has none."""
        if key not in self.places:
            return None
        row: dict[str, Any] = self.table.slice(self.places[key], 1).to_pylist()[0]
        return row


def shown_alike(previous: pa.Table | None, shown: Mapping[str, Any] | None, pixels: PixelsConfig) -> pa.Table | None:
    """The rows of an earlier run whose images would be shown the same now.

    Args:
        previous: the earlier rows.
        shown: its section ``pixels``; None for that of a version that had none.
        pixels: the section of now.
    """
    if previous is None or shown == pixels.model_dump(mode="json"):
        return previous
    if shown is None and pixels == PLAIN:
        return previous.filter(pc.is_in(previous["format"], pa.array(_SHALLOW)))
    return None


def input_row(
    item: SourceItem,
    max_pixels: int,
    earlier: EarlierRows | None,
    pixels: PixelsConfig = PLAIN,
    in_windows: bool = False,
) -> InputRow:
    """Examine one input: hash it, and decode it to the end, since a header does not show that a file is truncated.

    Args:
        item: the input.
        max_pixels: a larger image gets the status ``too_large``.
        earlier: rows of an earlier run; a file with the same key, size and time is not read again.
        pixels: how images are shown.
        in_windows: whether a larger image is good too, if it can be read in windows.
    """
    offset = None if item.span is None else item.span.offset
    if item.problem is not None:
        return InputRow(item.key, os.fsencode(item.path), *item.problem, archive=item.archive)
    if is_outside_root(item.key):
        message = "the entry leads out of the dataset's root by '..'; give all entries as absolute paths"
        return InputRow(item.key, os.fsencode(item.path), ImageStatus.OUTSIDE_ROOT, message)
    # Before reading: if the file changes meanwhile, the next run sees another time and reads it again.
    size, mtime_ns = file_state(item)
    old = earlier.same(item, size, mtime_ns, offset) if earlier is not None else None
    if old is not None and _still_holds(old, max_pixels, in_windows):
        fields = {name: old[name] for name in InputRow.__slots__}
        return InputRow(**{**fields, "path": os.fsencode(item.path)})
    try:
        return _examine(item, max_pixels, (size, mtime_ns), earlier, pixels, in_windows)
    except Exception as error:  # a bug, hard to find without the file's name
        error.add_note(f"while reading {item.path}")
        raise


def _still_holds(old: dict[str, Any], max_pixels: int, in_windows: bool) -> bool:
    if old["status"] == ImageStatus.OK:
        is_larger = old["width"] * old["height"] > max_pixels
        return is_larger == (old["shrink"] is not None) and (in_windows or not is_larger)
    return old["status"] in _LASTING and not has_come(old["message"])


def _examine(
    item: SourceItem,
    max_pixels: int,
    state: tuple[int | None, int | None],
    earlier: EarlierRows | None,
    pixels: PixelsConfig,
    in_windows: bool,
) -> InputRow:
    found = InputRow(
        image_key=item.key,
        path=os.fsencode(item.path),
        status=ImageStatus.OK,
        size_bytes=state[0],
        mtime_ns=state[1],
        sha256=content_sha256(item, state if item.page else None),
        archive=item.archive,
        member_offset=None if item.span is None else item.span.offset,
        page=item.page,
    )
    old = earlier.row(item.key) if earlier is not None and found.sha256 is not None else None
    if old is not None and old["sha256"] == found.sha256 and _still_holds(old, max_pixels, in_windows):
        of_content = {name: old[name] for name in _OF_CONTENT}
        return replace(found, **of_content)
    try:
        image = _measured(item, max_pixels, Wish(pixels, item.page), in_windows)
    except BadImageError as bad:
        return replace(found, status=bad.status, message=bad.message)
    look = image.look or Look()
    is_shared = image.is_measured and pixels.stretch_over == "dataset"
    return replace(
        found,
        bands=look.bands,
        stretch_low=look.low,
        stretch_high=look.high,
        nodata=look.nodata,
        own_low=look.low if is_shared else None,
        own_high=look.high if is_shared else None,
        shrink=look.shrink,
        width=image.size_hw[1],
        height=image.size_hw[0],
        exif_orientation=image.exif_orientation,
        mode=image.mode,
        format=image.format,
    )


def _measured(item: SourceItem, max_pixels: int, wish: Wish, in_windows: bool) -> Image | Measured:
    """Read an image to its end: whole, or in windows if it is too large for that."""
    try:
        return measure_image(item.path, max_pixels, wish, item.span)
    except BadImageError as bad:
        if bad.status != ImageStatus.TOO_LARGE or not in_windows:
            raise
        found = measure_windows(item.path, wish, item.span)
        if found is None:
            raise
        return found


def content_sha256(item: SourceItem, once: tuple[int | None, int | None] | None = None) -> str | None:
    """Hash an input's bytes: hexadecimal sha256; None if they cannot be read.

    Args:
        item: the input.
        once: for a file of many pages, its size and time: it is hashed once in this process.
    """
    try:
        if not item.path.is_file():  # opening a named pipe would block for ever
            return None
        if once is not None:
            return sha256_once(item.path, item.span, *once)
        with open_span(item.path, item.span) as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except (OSError, ValueError):
        return None
