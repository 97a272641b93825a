"""The tables of the folder ``dataset``: their columns, and how they are written and read."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from maskgrid.files import atomic_write

# Conditions (column, operator, value) that all hold, as pyarrow.parquet.read_table takes them.
Filters = list[tuple[str, str, str]]


def _field(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


IMAGES_SCHEMA = pa.schema(
    [
        _field("image_key", pa.string(), "path relative to the dataset's root, POSIX style; the primary key"),
        _field("image_id", pa.int64(), "dense from 1, in the order of image_key"),
        _field("status", pa.string(), "ok, or in one word why there are no masks"),
        _field("message", pa.string(), "the reason for a person; null where status is ok", nullable=True),
        _field("width", pa.int32(), "pixels, as displayed (EXIF orientation applied)", nullable=True),
        _field("height", pa.int32(), "pixels, as displayed (EXIF orientation applied)", nullable=True),
        _field(
            "exif_orientation", pa.int8(), "1 to 8, as the file says; 1 where it is silent", nullable=True
        ),
        _field("mode", pa.string(), "Pillow's mode of the file: RGB, L, I;16, …", nullable=True),
        _field("format", pa.string(), "Pillow's name of the file's format: JPEG, PNG, …", nullable=True),
        _field("size_bytes", pa.int64(), "size of the file", nullable=True),
        _field("sha256", pa.string(), "hash of the file's bytes, hexadecimal", nullable=True),
        _field("shard", pa.string(), "the shard that makes the masks; null for bad images", nullable=True),
    ]
)

SHARDS_SCHEMA = pa.schema(
    [
        _field("shard", pa.string(), "leaf of the trie over sha256(image_key); the primary key"),
        _field("n_images", pa.int64(), "members"),
        _field("digest", pa.string(), "sha256 over the members' keys and contents, hexadecimal"),
        _field("first_key", pa.string(), "the first member's image_key"),
    ]
)

# What depends on where the files lie is kept out of images.parquet, whose bytes depend on the images alone.
FILES_SCHEMA = pa.schema(
    [
        *IMAGES_SCHEMA,
        _field("path", pa.binary(), "absolute path, in the file system's bytes, which need not be UTF-8"),
        _field("mtime_ns", pa.int64(), "time of the last modification, ns since 1970", nullable=True),
    ]
)

# Readers skip the groups whose statistics exclude what they look for, so a group is the least that one reads.
_ROWS_IN_GROUP = 8192


def write_table(table: pa.Table, path: Path) -> None:
    """Write a table atomically; equal tables give equal bytes, however they were put together.

    Raises:
        OSError: when the folder cannot be written.
    """
    with atomic_write(path) as stream:
        pq.write_table(
            table.combine_chunks(),
            stream,
            compression="zstd",
            write_page_index=True,
            row_group_size=_ROWS_IN_GROUP,
        )


def read_table(path: Path, schema: pa.Schema, filters: Filters | None = None) -> pa.Table:
    """Read a table that must have the columns of ``schema``.

    Raises:
        OSError: when the file cannot be read.
        pa.ArrowInvalid: when it is no Parquet file, or has other columns.
    """
    table = pq.read_table(path, filters=filters)
    if not table.schema.equals(schema):
        raise pa.ArrowInvalid(f"{path} has other columns than this version of maskgrid writes")
    return table
