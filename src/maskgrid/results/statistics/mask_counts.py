"""The table of mask counts: one row per setting and image."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from maskgrid.automatic.tables import mask_counts_schema
from maskgrid.config.settings import Setting, any_filters, swept_parameters
from maskgrid.io.tables import open_table, read_origin, read_table, write_batches
from maskgrid.results.statistics.tables import (
    FILTER_COLUMNS,
    PARAMETER_COLUMNS,
    SETTINGS,
    image_counts_schema,
    with_filter_columns,
)

# Rows sorted in memory at once; and minimum rows of a row group of the final file.
_ROWS_AT_ONCE = 1_000_000
_ROWS_IN_GROUP = 1 << 16


def settings_table(settings: Sequence[Setting]) -> pa.Table:
    """One row per setting, with a column for each parameter (``statistics.tables.SETTINGS``)."""
    schema = with_filter_columns(SETTINGS, any_filters(settings))
    return pa.Table.from_pylist([_setting_row(setting) for setting in settings], schema=schema)


def _setting_row(setting: Setting) -> dict[str, Any]:
    values = setting.parameters()
    grids = values["point_grids"]
    values["point_grids"] = None if grids is None else orjson.dumps(grids).decode()
    for field in (*PARAMETER_COLUMNS, *FILTER_COLUMNS):
        if pa.types.is_floating(field.type) and values[field.name] is not None:
            values[field.name] = float(values[field.name])
    return {
        "setting_id": setting.id,
        "setting": setting.label,
        "names": list(setting.names),
        "in_grid": setting.in_grid,
        **values,
    }


def write_mask_counts(
    path: Path, settings: Sequence[Setting], shard_counts: Sequence[Path], origin: Mapping[str, Any]
) -> None:
    """Join the shards' counts and the parameters into one table (``statistics.tables.image_counts_schema``).

    Rows are sorted by setting, in the order of ``settings``, and image key. The file depends only on the rows, not on
    how images are split into shards. Memory use is limited.

    Args:
        path: the output file.
        settings: the settings whose rows are wanted.
        shard_counts: tables of ``automatic.tables.mask_counts_schema``, in any order.
        origin: what the table is made from, for its metadata.

    Raises:
        maskgrid.io.errors.UserError: a shard's table is missing or truncated.
    """
    schema = image_counts_schema(swept_parameters(settings), any_filters(settings))
    tables = in_groups(_setting_tables(settings, shard_counts, schema))
    write_batches(path, schema, tables, origin)


def image_keys(mask_counts: Path) -> pa.Array:
    """All image keys of a table of counts, sorted.

    Raises:
        maskgrid.io.errors.UserError: the table is missing, truncated or damaged.
    """
    _, batches = open_table(mask_counts, ["image_key"], _ROWS_IN_GROUP)
    found: pa.Array = pa.array([], pa.string())
    for batch in batches:
        found = pc.unique(pa.concat_arrays([found, batch["image_key"]]))
    return found.take(pc.array_sort_indices(found))


def _setting_tables(settings: Sequence[Setting], shard_counts: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    """Yield the rows of each setting, sorted by image; each read covers as many settings as memory allows."""
    n_rows = sum(_n_rows(path) for path in shard_counts)
    at_once = max(1, _ROWS_AT_ONCE * len(settings) // max(n_rows, 1))
    with_filters = any_filters(settings)
    for start in range(0, len(settings), at_once):
        group = settings[start : start + at_once]
        wanted = [("setting_id", "in", [setting.id for setting in group])]
        parts = [_plain(read_table(path, filters=wanted), with_filters) for path in shard_counts]
        none = mask_counts_schema(with_filters).empty_table()
        rows = pa.concat_tables(parts) if parts else _plain(none, with_filters)
        for setting in group:
            yield with_parameters(setting, rows.filter(pc.equal(rows["setting_id"], setting.id)), schema)


def _n_rows(path: Path) -> int:
    read_origin(path)  # raises a readable error if the file is broken
    n_rows: int = pq.read_metadata(path).num_rows
    return n_rows


def _plain(table: pa.Table, with_filters: bool) -> pa.Table:
    """The table without dictionary encoding, which differs between shards."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field
        for field in mask_counts_schema(with_filters)
    ]
    return table.cast(pa.schema(fields))


def with_parameters(setting: Setting, rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Sort a setting's rows by image key and add its parameters; ``schema`` is that of the result."""
    rows = rows.sort_by("image_key")
    values = _setting_row(setting)
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.array([values[field.name]] * len(rows), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)


def in_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Join tables until they are large enough for a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= _ROWS_IN_GROUP:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
