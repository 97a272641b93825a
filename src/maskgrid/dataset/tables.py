"""The tables in the folder ``dataset``, and columns shared by the tables of all jobs."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.dataset.spans import Span
from maskgrid.io.errors import UserError
from maskgrid.io.tables import column, read_table, status_columns
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

_IMAGE_COLUMNS = ["image_key", "status", "width", "height", "exif_orientation", "sha256", "shard"]


def place_of(row: Mapping[str, Any]) -> tuple[Path, Span | None]:
    """The location of an image of ``files.parquet``: its file, and the span if it is a member of an archive."""
    offset = row["member_offset"]
    return Path(os.fsdecode(row["path"])), None if offset is None else Span(offset, row["size_bytes"])


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
    """

    image_key: str
    image_id: int
    path: Path
    sha256: str
    width: int
    height: int
    span: Span | None = None


def read_images(folder: Path) -> pa.Table:
    """Read ``images.parquet`` of the folder ``dataset``: every input, sorted by image key.

    Raises:
        UserError: there is no index, or another version wrote it.
    """
    return read_table(folder / IMAGES_FILE, schema=IMAGES_SCHEMA)


def read_shard(folder: Path, shard: str) -> list[IndexedImage]:
    """Read the images of one shard, sorted by key, without reading the rest of the index.

    Raises:
        UserError: as :func:`read_images`, or the index has no such shard.
    """
    table = read_table(folder / FILES_FILE, filters=[("shard", "=", shard)], schema=FILES_SCHEMA)
    if not len(table):
        raise UserError(f"{folder / FILES_FILE} has no shard '{shard}'. Run 'maskgrid index' again.")
    return [_indexed(row) for row in table.to_pylist()]


def files_by_key(path: Path, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Read the rows of ``files.parquet`` for some image keys, by key; unknown keys are left out.

    Raises:
        UserError: as :func:`read_images`.
    """
    table = read_table(path, filters=[("image_key", "in", list(keys))], schema=FILES_SCHEMA)
    return {row["image_key"]: row for row in table.to_pylist()}


def read_previous(folder: Path) -> pa.Table | None:
    """Read the files' table of an earlier run; None if there is none or it is unusable."""
    try:
        return read_table(folder / FILES_FILE, schema=FILES_SCHEMA)
    except UserError:
        return None


def _indexed(row: dict[str, Any]) -> IndexedImage:
    path, span = place_of(row)
    fields = {name: row[name] for name in ("image_key", "image_id", "sha256", "width", "height")}
    return IndexedImage(**fields, path=path, span=span)


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
