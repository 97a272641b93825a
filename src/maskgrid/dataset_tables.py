"""The columns of the tables in the folder ``dataset``."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.spans import Span
from maskgrid.tables import column

IMAGES_SCHEMA = pa.schema(
    [
        column("image_key", pa.string(), "path relative to the dataset's root, POSIX style; the primary key"),
        column("image_id", pa.int64(), "as in COCO files: dense from 1 over good images, by image_key", nullable=True),
        column("status", pa.string(), "ok, or in one word why there are no masks"),
        column("message", pa.string(), "the reason for a person; null where status is ok", nullable=True),
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

# What depends on where the files lie is kept out of images.parquet, whose bytes depend on the images alone.
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


def place_of(row: Mapping[str, Any]) -> tuple[Path, Span | None]:
    """Where an image of ``files.parquet`` lies: its file, and for a member of an archive the part of it."""
    offset = row["member_offset"]
    return Path(os.fsdecode(row["path"])), None if offset is None else Span(offset, row["size_bytes"])
