"""Read and write Parquet: explicit schema, compressed, atomic, with the table's origin in the file."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write

_KEY = b"maskgrid"
# Raise it when a table's meaning changes, so that tables of other versions are rebuilt.
SCHEMA_VERSION = 1
_ROWS_AT_ONCE, _BUFFER_BYTES = 8192, 1 << 18

# A column, an operator (=, != or in), and a value, or for ``in`` a list of values.
Condition = tuple[str, str, Any]


def column(name: str, kind: pa.DataType, description: str, nullable: bool = False) -> pa.Field:
    """A column of a schema with its description."""
    return pa.field(name, kind, nullable=nullable, metadata={"description": description})


def status_columns(words: str, reason: str = "the reason in words") -> list[pa.Field]:
    """The columns ``status`` and ``message``: what became of a row's subject, in one word and in a sentence."""
    return [column("status", pa.string(), words), column("message", pa.string(), reason, nullable=True)]


def with_fields_after(schema: pa.Schema, name: str, fields: Sequence[pa.Field]) -> pa.Schema:
    """The schema with more columns after one of its own."""
    at = schema.get_field_index(name) + 1
    return pa.schema([*list(schema)[:at], *fields, *list(schema)[at:]])


def write_table(path: Path, table: pa.Table, origin: Mapping[str, Any], rows_in_group: int | None = None) -> None:
    """Write a table atomically.

    Args:
        path: the output file.
        table: the file's bytes depend only on its rows, not on its chunks.
        origin: what it was made from, as plain values, including a ``fingerprint``.
        rows_in_group: rows per row group, the smallest unit that a reader reads; None for one group.

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
    """Write tables of one schema to one file atomically, one row group per table, with one table in memory."""
    note = orjson.dumps({"schema_version": SCHEMA_VERSION, **origin}, option=orjson.OPT_SORT_KEYS)
    schema = schema.with_metadata({**(schema.metadata or {}), _KEY: note})
    with (
        atomic_write(path) as stream,
        pq.ParquetWriter(stream, schema, compression="zstd", write_page_index=True, write_page_checksum=True) as writer,
    ):
        for table in tables:
            writer.write_table(table.cast(schema), row_group_size=rows_in_group)


@contextmanager
def own_tables(path: Path, key: str) -> Iterator[None]:
    """Read a user's Parquet file in the block; ``key`` is the config key that names it.

    Raises:
        UserError: it is damaged, or holds what cannot be read here.
        OSError: the operating system cannot read it.
    """
    try:
        yield
    except (pa.ArrowException, UnicodeDecodeError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{key}: {path} is not a valid Parquet file: {' '.join(str(error).split())}") from None


def read_table(
    path: Path,
    columns: list[str] | None = None,
    filters: Sequence[Condition] | None = None,
    schema: pa.Schema | None = None,
) -> pa.Table:
    """Read a table written by :func:`write_table`.

    Args:
        path: the file.
        columns: names of the columns to read; all by default.
        filters: conditions on the rows; row groups that cannot meet them are not read.
        schema: the columns that the table must have.

    Raises:
        UserError: the file is missing, truncated or damaged, or has other columns than ``schema``.
    """
    with open_file(path) as file:
        wanted = file.schema_arrow.names if columns is None else columns
        needed = _columns(file, [*wanted, *(name for name, _, _ in filters or ())])
        if filters:
            parts = [_matching(_group(file, number, needed), filters) for number in _groups(file, filters)]
            table = pa.concat_tables([file.schema_arrow.empty_table().select(needed), *parts])
        else:
            table = file.read(needed, use_threads=file.metadata.num_rows > _ROWS_AT_ONCE)
            _require_rows(file.metadata.num_rows - len(table))
        table = table.select(wanted)
    if schema is not None and not table.schema.equals(schema):
        raise UserError(f"{path}: its columns are not those that this version writes; delete it and run again")
    return table


def open_table(
    path: Path, columns: list[str] | None, n_rows: int = _ROWS_AT_ONCE, filters: Sequence[Condition] = ()
) -> tuple[dict[str, Any], Iterator[pa.RecordBatch]]:
    """Return a table's origin and an iterator over its rows, in order, with one batch in memory.

    Args:
        path: the file.
        columns: names of the columns to read; None for all.
        n_rows: maximum rows per batch.
        filters: skip row groups that cannot meet these conditions; all rows of the other groups are returned.

    Raises:
        UserError: the file is missing, truncated or damaged; the iterator raises it too.
    """
    with _told(path):
        # With a small buffer: the default fetches all of each column at the first row.
        file = pq.ParquetFile(path, pre_buffer=False, buffer_size=_BUFFER_BYTES, page_checksum_verification=True)
        needed = None if columns is None else _columns(file, columns)
        groups = _groups(file, filters)
        origin = _origin(file.metadata.metadata)
    return origin, _batches(path, file, needed, n_rows, groups)


def _batches(
    path: Path, file: pq.ParquetFile, columns: list[str] | None, n_rows: int, groups: list[int]
) -> Iterator[pa.RecordBatch]:
    with _told(path), file:
        missing = sum(file.metadata.row_group(number).num_rows for number in groups)
        for batch in file.iter_batches(n_rows, groups, columns, use_threads=False):
            missing -= len(batch)
            yield batch
        _require_rows(missing)


@contextmanager
def open_file(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a table's file for the block; damage is raised as ``UserError``."""
    with _told(path), pq.ParquetFile(path, page_checksum_verification=True) as file:
        yield file


def read_origin(path: Path) -> dict[str, Any]:
    """A table's origin, read from the file's footer; empty for a foreign file.

    Raises:
        UserError: the file is missing or truncated.
    """
    with _told(path):
        return _origin(pq.read_schema(path).metadata)


def _origin(metadata: Mapping[bytes, bytes] | None) -> dict[str, Any]:
    origin: dict[str, Any] = orjson.loads((metadata or {}).get(_KEY, b"{}"))
    return origin


@contextmanager
def _told(path: Path) -> Iterator[None]:
    """Turn errors about a table's content into a ``UserError``; other disk errors pass unchanged."""
    try:
        yield
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run the step that writes it") from None
    # Damage shows in many ways: in the footer's texts and numbers, and in the pages.
    except (pa.ArrowException, ValueError, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UserError(f"{path}: is not a complete Parquet file ({error}); delete it and run again") from None


def _columns(file: pq.ParquetFile, names: list[str]) -> list[str]:
    """Return the names without duplicates; raise if the file lacks one."""
    there = set(file.schema_arrow.names)
    if missing := [name for name in names if name not in there]:
        raise pa.ArrowInvalid(f"there is no column {missing[0]}")
    return list(dict.fromkeys(names))


def _group(file: pq.ParquetFile, number: int, columns: list[str]) -> pa.Table:
    table = file.read_row_group(number, columns, use_threads=False)
    _require_rows(file.metadata.row_group(number).num_rows - len(table))
    return table


def _require_rows(n_missing: int) -> None:
    """Raise if rows are missing: checksums do not cover page headers, so a damaged one can claim to have no rows."""
    if n_missing:
        raise pa.ArrowInvalid(f"{n_missing} rows are missing")


def _groups(file: pq.ParquetFile, filters: Sequence[Condition]) -> list[int]:
    """The row groups that may have rows that meet all conditions."""
    places = {file.schema.column(place).path: place for place in range(len(file.schema))} if filters else {}

    def may_hold(number: int) -> bool:
        group = file.metadata.row_group(number)
        return all(_may_meet(group.column(places[name]).statistics, *rest) for name, *rest in filters)

    return [number for number in range(file.num_row_groups) if may_hold(number)]


def _may_meet(statistics: pq.Statistics | None, operator: str, value: Any) -> bool:  # noqa: ANN401
    if operator == "!=" or statistics is None or not statistics.has_min_max:
        return True
    return any(statistics.min <= one <= statistics.max for one in ([value] if operator == "=" else value))


def _matching(table: pa.Table, filters: Sequence[Condition]) -> pa.Table:
    for name, operator, value in filters:
        column = table[name]
        if pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        if operator == "in":
            found = pc.is_in(column, value_set=pa.array(value, column.type))
        else:
            found = {"=": pc.equal, "!=": pc.not_equal}[operator](column, pa.scalar(value, column.type))
        table = table.filter(found)
    return table
