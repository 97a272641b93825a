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
_ROWS_AT_ONCE, _BUFFER_BYTES = 8192, 1 << 18


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
        pq.ParquetWriter(stream, schema, compression="zstd", write_page_index=True, write_page_checksum=True) as writer,
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
        table = _read(path, columns, filters)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None
    if schema is not None and not table.schema.equals(schema):
        raise UserError(f"{path}: has other columns than this version of maskgrid writes; delete it and run again")
    return table


def _read(path: Path, columns: list[str] | None, filters: list[tuple[str, str, Any]] | None) -> pa.Table:
    if filters is not None:
        return pq.read_table(path, columns=columns, filters=filters, partitioning=None, page_checksum_verification=True)
    # A third of the time that read_table takes, which counts where there are thousands of small tables.
    with pq.ParquetFile(path, page_checksum_verification=True) as file:
        table = file.read(columns, use_threads=file.metadata.num_rows > _ROWS_AT_ONCE)
    if columns is None:
        return table
    if missing := [name for name in columns if name not in table.column_names]:
        raise pa.ArrowInvalid(f"there is no column {missing[0]}")
    return table.select(columns)


def open_table(
    path: Path, columns: list[str] | None, n_rows: int = _ROWS_AT_ONCE, where: tuple[str, str] | None = None
) -> tuple[dict[str, Any], Iterator[pa.RecordBatch]]:
    """What a table was made from, and its rows in their order, so many at a time; the rest stays in the file.

    Args:
        path: where from.
        columns: names of the columns to read; None for all.
        n_rows: rows of a batch, at most.
        where: a text column and a value: row groups that cannot have it are left out, other rows of theirs are not.

    Raises:
        UserError: the file is missing or cut off; also while the rows are taken.
    """
    try:
        # Read by a small buffer: by default the whole of each column is fetched at the first row.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None
    groups = [number for number in range(file.num_row_groups) if where is None or _may_hold(file, number, *where)]
    return _origin(file.metadata.metadata), _batches(path, file, columns, n_rows, groups)


def _may_hold(file: pq.ParquetFile, number: int, name: str, value: str) -> bool:
    statistics = file.metadata.row_group(number).column(file.schema_arrow.get_field_index(name)).statistics
    return statistics is None or not statistics.has_min_max or bool(statistics.min <= value <= statistics.max)


def _batches(
    path: Path, file: pq.ParquetFile, columns: list[str] | None, n_rows: int, groups: list[int]
) -> Iterator[pa.RecordBatch]:
    try:
        with file:
            missing = sum(file.metadata.row_group(number).num_rows for number in groups)
            for batch in file.iter_batches(n_rows, groups, columns, use_threads=False):
                missing -= len(batch)
                yield batch
        if missing:  # the reader believes a damaged page that says that it has none
            raise pa.ArrowInvalid(f"{missing} rows are missing")
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None


def read_origin(path: Path) -> dict[str, Any]:
    """What a table was made from, from the file's footer alone; empty for a foreign file.

    Raises:
        UserError: the file is missing or cut off.
    """
    try:
        metadata = pq.read_schema(path).metadata
    except (pa.ArrowInvalid, OSError) as error:
        raise _unreadable(path, error) from None
    return _origin(metadata)


def _origin(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    origin: dict[str, Any] = orjson.loads((metadata or {}).get(_KEY, b"{}"))
    return origin


def _unreadable(path: Path, error: Exception) -> UserError:
    if isinstance(error, FileNotFoundError):
        return UserError(f"{path}: there is no such file; run the step that makes it")
    return UserError(f"{path}: is not a complete Parquet file ({error}); delete it and run again")
