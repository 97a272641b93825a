"""Parquet as this project writes it: an explicit schema, compressed, atomic, and saying what it was made from."""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from maskgrid.errors import UserError
from maskgrid.files import atomic_write

_KEY = b"maskgrid"
# Changes when a table's meaning changes, so that tables of other versions are made anew.
SCHEMA_VERSION = 1


def column(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    """A column of a schema with its description."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def write_table(path: Path, table: pa.Table, origin: Mapping[str, Any], rows_in_group: int | None = None) -> None:
    """Write a table atomically.

    Args:
        path: where to.
        table: its bytes in the file depend on its rows alone, not on how it was put together.
        origin: what it was made from, as plain values; among them a ``fingerprint``.
        rows_in_group: rows in a row group, the least that a reader reads; None for one group.

    Raises:
        UserError: the folder cannot be written.
    """
    write_batches(path, table.schema, [table.combine_chunks()], origin, rows_in_group)


def write_batches(
    path: Path,
    schema: pa.Schema,
    tables: Iterable[pa.Table],
    origin: Mapping[str, Any],
    rows_in_group: int | None = None,
) -> None:
    """Write tables of one schema to one file atomically, a row group each, holding one at a time."""
    note = orjson.dumps({"schema_version": SCHEMA_VERSION, **origin}, option=orjson.OPT_SORT_KEYS)
    schema = schema.with_metadata({**(schema.metadata or {}), _KEY: note})
    with (
        atomic_write(path) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", write_page_index=True) as writer,
    ):
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=rows_in_group)


def read_table(
    path: Path,
    columns: list[str] | None = None,
    filters: list[tuple[str, str, Any]] | None = None,
    schema: pa.Schema | None = None,
) -> pa.Table:
    """Read a table written by :func:`write_table`.

    Args:
        path: where from.
        columns: names of the columns to read; all by default.
        filters: conditions (column, operator, value) that the rows must meet.
        schema: the columns that the table must have.

    Raises:
        UserError: the file is missing or cut off, or has other columns than ``schema``.
    """
    try:
        table = pq.read_table(path, columns=columns, filters=filters, partitioning=None)
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the step that makes it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: is not a complete Parquet file ({error}); delete it and run again") from None
    if schema is not None and not table.schema.equals(schema):
        raise UserError(f"{path}: has other columns than this version of maskgrid writes; delete it and run again")
    return table


def iter_table(path: Path, columns: list[str], n_rows: int = 8192) -> Iterator[pa.Table]:
    """The rows of a table in their order, so many at a time; what is not given yet stays in the file.

    Raises:
        UserError: the file is missing or cut off.
    """
    try:
        # Read by a small buffer: by default the whole of each column is fetched at the first row.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=1 << 18) as file:
            for batch in file.iter_batches(n_rows, columns=columns, use_threads=False):
                yield pa.Table.from_batches([batch])
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the step that makes it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: is not a complete Parquet file ({error}); delete it and run again") from None


def read_origin(path: Path) -> dict[str, Any]:
    """What a table was made from, from the file's footer alone; empty for a foreign file.

    Raises:
        UserError: the file is missing or cut off.
    """
    try:
        metadata = pq.read_schema(path).metadata or {}
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the step that makes it") from None
    except (pa.ArrowInvalid, OSError) as error:
        raise UserError(f"{path}: is not a complete Parquet file ({error}); delete it and run again") from None
    origin: dict[str, Any] = orjson.loads(metadata[_KEY]) if _KEY in metadata else {}
    return origin
