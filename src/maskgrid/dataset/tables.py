"""The tables in the folder ``dataset``, and columns shared by the tables of all jobs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.dataset.pixels.look import Look
from maskgrid.dataset.sources.spans import Span
from maskgrid.io.errors import UserError
from maskgrid.io.tables import Condition, column, read_table, status_columns, with_fields_after
from maskgrid.plan.layout import Layout

IMAGE_KEY = column("image_key", pa.string(), "the image's path relative to the dataset's root")
BBOX = column("bbox_xywh", pa.list_(pa.int32(), 4), "the mask's true extent", nullable=True)
COUNTS = column("counts", pa.binary(), "COCO's compressed run-length code")

IMAGES_SCHEMA = pa.schema(
    [
        column("image_key", pa.string(), "path relative to the dataset's root, POSIX style; the primary key"),
        column("image_id", pa.int64(), "as in COCO files: dense from 1 over good images, by image_key", nullable=True),
        *status_columns(
            "ok, or in one word why there are no masks", "the reason for a person; null where status is ok"
        ),
        column("width", pa.int32(), "pixels, as displayed (EXIF orientation applied)", nullable=True),
        column("height", pa.int32(), "pixels, as displayed (EXIF orientation applied)", nullable=True),
        column("exif_orientation", pa.int8(), "1 to 8, as the file says; 1 where it is silent", nullable=True),
        column("mode", pa.string(), "Pillow's mode of the file: RGB, L, I;16, …", nullable=True),
        column("format", pa.string(), "Pillow's name of the file's format: JPEG, PNG, …", nullable=True),
        column("size_bytes", pa.int64(), "size of the file", nullable=True),
        column("sha256", pa.string(), "hash of the file's bytes, hexadecimal", nullable=True),
        column("shard", pa.string(), "the shard that makes the masks; null for bad images", nullable=True),
    ]
)

SHARDS_SCHEMA = pa.schema(
    [
        column("shard", pa.string(), "leaf of the trie over sha256(image_key); the primary key"),
        column("n_images", pa.int64(), "members"),
        column("digest", pa.string(), "sha256 over the members' keys and contents, hexadecimal"),
        column("first_key", pa.string(), "the first member's image_key"),
    ]
)

# How an image is shown, in an index with an image that is not shown as its file says: a page, bands, a stretch.
_SHOWN = [
    column("page", pa.int32(), "the page of the file, from 1; null for its first", nullable=True),
    column("bands", pa.list_(pa.int32()), "the bands shown, from 1; null for the file's own colours", nullable=True),
    column("stretch_low", pa.list_(pa.float64()), "the value of each band that is black; null for none", nullable=True),
    column("stretch_high", pa.list_(pa.float64()), "the value of each band that is white", nullable=True),
    column("nodata", pa.float64(), "the value that means no data, shown as black; null for none", nullable=True),
]
_MEASURED = [
    column("own_low", pa.list_(pa.float64()), "stretch_low by this image alone, if all share a stretch", nullable=True),
    column("own_high", pa.list_(pa.float64()), "stretch_high by this image alone", nullable=True),
]
# In an index with an image that is larger than max_pixels.
_IN_WINDOWS = [
    column(
        "shrink",
        pa.int32(),
        "larger than max_pixels, and read in windows; side in pixels of the blocks in which it is seen as a whole",
        nullable=True,
    )
]
# In an index with dataset.georeference, at the end.
ON_MAP = [
    column("crs", pa.string(), "the map's reference system: an EPSG code or WKT; null for no GeoTIFF", nullable=True),
    column(
        "transform",
        pa.list_(pa.float64()),
        "a, b, c, d, e, f: x = a column + b row + c and y = d column + e row + f on the map",
        nullable=True,
    ),
]
_SHOWN_AFTER = "format"
SHOWN_NAMES = tuple(field.name for field in (*_SHOWN, *_IN_WINDOWS))

# Where the files are does not belong in images.parquet, whose bytes depend only on the images.
FILES_SCHEMA = pa.schema(
    [
        *IMAGES_SCHEMA,
        column("path", pa.binary(), "absolute path, in the file system's bytes, which need not be UTF-8"),
        column("mtime_ns", pa.int64(), "time of the last modification, ns since 1970", nullable=True),
        column("archive", pa.string(), "image key of the tar archive that holds the image", nullable=True),
        column("member_offset", pa.int64(), "where in that archive the image's bytes begin", nullable=True),
    ]
)

# The same with how images are shown; what an index works with, whatever it writes.
ROWS_SCHEMA = with_fields_after(FILES_SCHEMA, _SHOWN_AFTER, [*_SHOWN, *_MEASURED, *_IN_WINDOWS])

ARCHIVES_SCHEMA = pa.schema(
    [
        column("archive", pa.string(), "path relative to the dataset's root, POSIX style; the primary key"),
        column("path", pa.binary(), "absolute path, in the file system's bytes"),
        column("size_bytes", pa.int64(), "size of the archive", nullable=True),
        column("mtime_ns", pa.int64(), "time of its last modification, ns since 1970", nullable=True),
        column("n_members", pa.int64(), "members of any kind, up to where it could be read"),
        column("n_images", pa.int64(), "members that count as inputs"),
        column("sha256", pa.string(), "hash of the archive's bytes, hexadecimal; null where unreadable", nullable=True),
    ]
)

IMAGES_FILE = "images.parquet"
SHARDS_FILE = "shards.parquet"
FILES_FILE = "files.parquet"
ARCHIVES_FILE = "archives.parquet"

_SHOWN_LISTS = ("bands", "stretch_low", "stretch_high")
_IMAGE_COLUMNS = ["image_key", "status", "width", "height", "exif_orientation", "sha256", "shard"]


def place_of(row: Mapping[str, Any]) -> tuple[Path, Span | None]:
    """The location of an image of ``files.parquet``: its file, and the span if it is a member of an archive."""
    offset = row["member_offset"]
    return Path(os.fsdecode(row["path"])), None if offset is None else Span(offset, row["size_bytes"])


def look_of_row(row: Mapping[str, Any]) -> Look | None:
    """How an image of an index is shown; None: as its file says."""
    bands, low, high = (None if row.get(name) is None else tuple(row[name]) for name in _SHOWN_LISTS)
    if row.get("page") is None and bands is None:
        return None
    return Look(row.get("page"), bands, low, high, row.get("nodata"), row.get("shrink"))


def without_empty(table: pa.Table) -> pa.Table:
    """A table of ``ROWS_SCHEMA`` without the columns of how images are shown, if none has any of them."""
    for fields in (_MEASURED, _SHOWN, _IN_WINDOWS):
        names = [field.name for field in fields]
        if all(table[name].null_count == len(table) for name in names):
            table = table.drop_columns(names)
    return table


def of_images(table: pa.Table) -> pa.Table:
    """The columns of ``images.parquet`` among those of :func:`without_empty`."""
    left_out = {*FILES_SCHEMA.names} - {*IMAGES_SCHEMA.names} | {field.name for field in _MEASURED}
    return table.select([name for name in table.schema.names if name not in left_out])


def contents(table: pa.Table) -> list[str | None]:
    """What each picture of an index depends on (``IndexedImage.content``); null for files that cannot be read."""
    hashes: list[str | None] = table["sha256"].to_pylist()
    shown = pc.or_(pc.is_valid(table["page"]), pc.is_valid(table["bands"])).to_numpy(zero_copy_only=False)
    for number in np.flatnonzero(shown).tolist():
        (row,) = table.slice(number, 1).to_pylist()
        look = look_of_row(row)
        if look is not None and row["sha256"] is not None:
            hashes[number] = look.digest(row["sha256"])
    return hashes


def _read(path: Path, schema: pa.Schema, filters: Sequence[Condition] | None = None) -> pa.Table:
    """Read a table of a schema, with or without the columns of how images are shown.

    Raises:
        UserError: the file is missing, truncated or damaged, or has other columns.
    """
    table = read_table(path, filters=filters)
    shown = [[], _SHOWN, [*_SHOWN, *_MEASURED]]
    forms = [
        with_fields_after(schema, _SHOWN_AFTER, [*fields, *more]) for more in ([], _IN_WINDOWS) for fields in shown
    ]
    forms += [pa.schema([*form, *ON_MAP]) for form in forms]
    if not any(table.schema.equals(form) for form in forms):
        raise UserError(f"{path}: its columns are not those that this version writes; delete it and run again")
    return table


@dataclass(frozen=True, slots=True)
class IndexedImage:
    """A good image of the dataset.

    Attributes:
        image_key: path relative to the dataset's root.
        image_id: dense from 1 over the dataset's good images; may change when inputs are added, unlike the key.
        path: the file's absolute path.
        sha256: hash of the file's bytes when it was indexed, hexadecimal.
        width: pixels, as displayed.
        height: pixels, as displayed.
        span: the part of the file that is the image; None for the whole file.
        look: how it is shown; None: as its file says.
    """

    image_key: str
    image_id: int
    path: Path
    sha256: str
    width: int
    height: int
    span: Span | None = None
    look: Look | None = None

    @property
    def content(self) -> str:
        """What the picture depends on: the file's hash, or that together with how it is shown."""
        return self.sha256 if self.look is None else self.look.digest(self.sha256)


def read_images(folder: Path) -> pa.Table:
    """Read ``images.parquet`` of the folder ``dataset``: every input, sorted by image key.

    Raises:
        UserError: there is no index, or another version wrote it.
    """
    return _read(folder / IMAGES_FILE, IMAGES_SCHEMA)


def read_shard(folder: Path, shard: str) -> list[IndexedImage]:
    """Read the images of one shard, sorted by key, without reading the rest of the index.

    Raises:
        UserError: as :func:`read_images`, or the index has no such shard.
    """
    table = _read(folder / FILES_FILE, FILES_SCHEMA, [("shard", "=", shard)])
    if not len(table):
        raise UserError(f"{folder / FILES_FILE} has no shard '{shard}'. Run 'maskgrid index' again.")
    return [_indexed(row) for row in table.to_pylist()]


def files_by_key(path: Path, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read the rows of ``files.parquet`` for some image keys, by key; unknown keys are left out.

    Raises:
        UserError: as :func:`read_images`.
    """
    table = _read(path, FILES_SCHEMA, [("image_key", "in", list(keys))])
    return {row["image_key"]: row for row in table.to_pylist()}


def read_previous(folder: Path) -> pa.Table | None:
    """Read the files' table of an earlier run, as ``ROWS_SCHEMA``; None if there is none or it is unusable."""
    try:
        table = _read(folder / FILES_FILE, FILES_SCHEMA)
    except UserError:
        return None
    for field in ROWS_SCHEMA:
        if field.name not in table.schema.names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table.select(ROWS_SCHEMA.names)


def _indexed(row: dict[str, Any]) -> IndexedImage:
    path, span = place_of(row)
    fields = {name: row[name] for name in ("image_key", "image_id", "sha256", "width", "height")}
    return IndexedImage(**fields, path=path, span=span, look=look_of_row(row))


def good_images(layout: Layout) -> pa.Table:
    """Read the index rows of the usable images, sorted by key."""
    images = read_table(layout.images, _IMAGE_COLUMNS)
    return images.filter(pc.equal(images["status"], "ok")).sort_by("image_key")


def image_ids(images: pa.Table) -> dict[str, tuple[int, tuple[int, int]]]:
    """The COCO image id, and height and width, of each image from :func:`good_images`, by key."""
    columns = (images[name].to_pylist() for name in ("image_key", "height", "width"))
    return {
        key: (image_id, (height, width)) for image_id, (key, height, width) in enumerate(zip(*columns, strict=True), 1)
    }
