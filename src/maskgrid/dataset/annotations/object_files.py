"""Read tables of prompts row by row, checking only the columns."""

import codecs
import csv
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pyarrow.parquet as pq

from maskgrid.dataset.annotations.object_columns import BOX_CORNERS, OtherColumns
from maskgrid.io.errors import UserError
from maskgrid.io.tables import own_tables

_LONGEST_CELL = 2**31 - 1  # characters; the largest limit that csv accepts on every platform

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TableForm:
    """The columns of a table of prompts.

    Attributes:
        key: the config's key that names the file, for messages.
        required: columns that must exist.
        prompts: columns of which at least one must exist.
        optional: other known columns; may repeat ``prompts``.
    """

    key: str
    required: tuple[str, ...]
    prompts: tuple[str, ...]
    optional: tuple[str, ...]


def read_rows(path: Path, form: TableForm) -> Iterator[dict[str, Any]]:
    """Yield the rows of a ``.csv``, ``.parquet`` or ``.jsonl`` file: cells by column, or ``broken`` with the reason.

    Raises:
        UserError: the file as a whole cannot be read, or lacks required columns.
        OSError: the file cannot be opened.
    """
    return _READERS[path.suffix.lower()](path, form)


def _csv_rows(path: Path, form: TableForm) -> Iterator[dict[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream, _long_cells():
            reader = csv.DictReader(stream, strict=True)
            others = _require_columns(path, list(reader.fieldnames or []), form)
            for row in reader:
                yield others.row({name: value for name, value in row.items() if name and value not in (None, "")})
    except (csv.Error, UnicodeDecodeError) as error:
        raise UserError(f"{form.key}: {path} is not valid CSV: {error}") from None


@contextmanager
def _long_cells() -> Iterator[None]:
    """Allow CSV cells of any length within the block: a mask can be a long list of runs."""
    before = csv.field_size_limit(_LONGEST_CELL)
    try:
        yield
    finally:
        csv.field_size_limit(before)


def _parquet_rows(path: Path, form: TableForm) -> Iterator[dict[str, Any]]:
    with own_tables(path, form.key):
        names = pq.read_schema(path).names
        others = _require_columns(path, names, form)
        known = [name for name in names if name in {*_known(form), *others.names, *others.corners}]
        rows = pq.read_table(path, columns=known, partitioning=None).to_pylist()
    yield from map(others.row, rows)


def _jsonl_rows(path: Path, form: TableForm) -> Iterator[dict[str, Any]]:
    for line in path.read_bytes().removeprefix(codecs.BOM_UTF8).split(b"\n"):
        if not line.strip():
            continue
        try:
            row = orjson.loads(line)
        except orjson.JSONDecodeError as error:
            row = {"broken": f"the line is no valid JSON: {error}"}
        is_row = isinstance(row, dict)
        yield OtherColumns.of(list(row), _known(form)).row(row) if is_row else {"broken": "the line is no JSON object"}


def _require_columns(path: Path, columns: list[str], form: TableForm) -> OtherColumns:
    """Check a table's columns; return what they are called here."""
    others = OtherColumns.of(columns, _known(form))
    names = others.renamed(columns)
    if twice := [name for name in dict.fromkeys(names) if names.count(name) > 1 and name in _known(form)]:
        raise UserError(f"{form.key}: {path} has the column '{twice[0]}' twice; keep one")
    if not {*form.required} <= {*names} or not {*names} & {*form.prompts}:
        wanted = " and ".join(f"'{name}'" for name in form.required)
        hint = "; separate them by commas" if len(columns) == 1 and ";" in columns[0] else ""
        raise UserError(
            f"{form.key}: {path} needs a column {wanted} and one of {', '.join(form.prompts)}, or the four "
            f"{', '.join(BOX_CORNERS)}; its columns are {', '.join(columns) or 'none'}{hint}"
        )
    if ignored := [name for name in names if name not in _known(form)]:
        log.warning("%s: ignoring unknown columns: %s", path, ", ".join(ignored))
    return others


def _known(form: TableForm) -> frozenset[str]:
    return frozenset({*form.required, *form.prompts, *form.optional})


_READERS: Mapping[str, Callable[[Path, TableForm], Iterator[dict[str, Any]]]] = {
    ".csv": _csv_rows,
    ".parquet": _parquet_rows,
    ".jsonl": _jsonl_rows,
}
