"""Mask counts: of an image at a setting, and of all images at all settings in one table."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from maskgrid.result_schemas import IMAGE_COUNTS, PARAMETER_COLUMNS, SETTINGS
from maskgrid.schemas import MASK_COUNTS
from maskgrid.settings import Setting
from maskgrid.tables import open_table, read_origin, read_table, write_batches

if TYPE_CHECKING:  # the replay brings torch, which tables need not wait for
    from maskgrid.replay import Selection

# COCO's limits between small, medium and large masks, in pixels.
_SMALL_PX, _MEDIUM_PX = 32**2, 96**2
# Rows that are sorted in memory at once; and rows of a group of the final file, at least.
_ROWS_AT_ONCE = 1_000_000
_ROWS_IN_GROUP = 1 << 16


def image_counts(
    setting: Setting, image_key: str, selection: "Selection", covered_px: int, overlapped_px: int
) -> dict[str, Any]:
    """One row of ``schemas.MASK_COUNTS``: what a setting makes of an image.

    Args:
        setting: the setting.
        image_key: the image.
        selection: the masks that the setting keeps of it.
        covered_px: pixels in at least one of the masks.
        overlapped_px: pixels in at least two.
    """
    height, width = selection.passes[0].size_hw
    n_pixels = height * width
    area = _areas(selection)
    drops = selection.drops
    quantiles = np.quantile(area / n_pixels, (0.1, 0.5, 0.9)).tolist() if len(area) else [None] * 3
    n_small, n_large = int((area < _SMALL_PX).sum()), int((area > _MEDIUM_PX).sum())
    offset = float(setting.generator.stability_score_offset)
    return {
        "setting_id": setting.id,
        "image_key": image_key,
        "n_masks": len(selection),
        "n_proposed": drops.n_proposed,
        "n_dropped_pred_iou": drops.n_dropped_pred_iou,
        "n_dropped_stability": drops.n_dropped_stability,
        "n_dropped_crop_edge": drops.n_dropped_crop_edge,
        "n_dropped_box_nms": drops.n_dropped_box_nms,
        "n_dropped_crop_nms": drops.n_dropped_crop_nms,
        "n_dropped_regions": drops.n_dropped_regions,
        "n_small": n_small,
        "n_medium": len(area) - n_small - n_large,
        "n_large": n_large,
        "coverage_frac": covered_px / n_pixels,
        "overlap_frac": overlapped_px / n_pixels,
        "area_frac_p10": quantiles[0],
        "area_frac_p50": quantiles[1],
        "area_frac_p90": quantiles[2],
        "predicted_iou_mean": _mean(_predicted_iou(selection)),
        "stability_score_mean": _mean(_stability_score(selection, offset)),
    }


def _areas(selection: "Selection") -> NDArray[np.float64]:
    return np.array(
        [
            selection.passes[layer].rows.area_px[row] if region is None else region.area_px
            for layer, row, region in zip(selection.layer, selection.row, selection.regions, strict=True)
        ],
        np.float64,
    )


def _predicted_iou(selection: "Selection") -> NDArray[np.float64]:
    return np.array(
        [
            selection.passes[layer].rows.predicted_iou[row]
            for layer, row in zip(selection.layer, selection.row, strict=True)
        ],
        np.float64,
    )


def _stability_score(selection: "Selection", offset: float) -> NDArray[np.float64]:
    columns = [part.recording.stability_score_offsets.index(offset) for part in selection.passes]
    return np.array(
        [
            selection.passes[layer].rows.stability_scores[row, columns[layer]]
            for layer, row in zip(selection.layer, selection.row, strict=True)
        ],
        np.float64,
    )


def _mean(scores: NDArray[np.float64]) -> float | None:
    return float(scores.mean()) if len(scores) else None


def settings_table(settings: Sequence[Setting]) -> pa.Table:
    """The settings, a row each, with a column for each parameter (``result_schemas.SETTINGS``)."""
    return pa.Table.from_pylist([_setting_row(setting) for setting in settings], schema=SETTINGS)


def _setting_row(setting: Setting) -> dict[str, Any]:
    values = setting.parameters()
    grids = values["point_grids"]
    values["point_grids"] = None if grids is None else orjson.dumps(grids).decode()
    for field in PARAMETER_COLUMNS:
        if pa.types.is_floating(field.type):
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
    """Join the shards' counts and the parameters into one table (``result_schemas.IMAGE_COUNTS``).

    Rows are sorted by setting, in the order given, and image key; the file depends on the rows alone and not
    on how images are spread over shards. A limited number of rows is in memory at once.

    Args:
        path: where to.
        settings: the settings whose rows are wanted.
        shard_counts: tables of ``schemas.MASK_COUNTS``, in any order.
        origin: what the table is made from, for its metadata.

    Raises:
        maskgrid.errors.UserError: a shard's table is missing or cut off.
    """
    tables = in_groups(_setting_tables(settings, shard_counts))
    write_batches(path, IMAGE_COUNTS, tables, origin)


def image_keys(mask_counts: Path) -> pa.Array:
    """All images of a table of counts, sorted.

    Raises:
        maskgrid.errors.UserError: the table is missing, cut off or damaged.
    """
    _, batches = open_table(mask_counts, ["image_key"], _ROWS_IN_GROUP)
    found: pa.Array = pa.array([], pa.string())
    for batch in batches:
        found = pc.unique(pa.concat_arrays([found, batch["image_key"]]))
    return found.take(pc.array_sort_indices(found))


def _setting_tables(settings: Sequence[Setting], shard_counts: Sequence[Path]) -> Iterator[pa.Table]:
    """The rows of each setting in turn, sorted by image; as many settings a reading as memory allows."""
    n_rows = sum(_n_rows(path) for path in shard_counts)
    at_once = max(1, _ROWS_AT_ONCE * len(settings) // max(n_rows, 1))
    for start in range(0, len(settings), at_once):
        group = settings[start : start + at_once]
        wanted = [("setting_id", "in", [setting.id for setting in group])]
        parts = [_plain(read_table(path, filters=wanted)) for path in shard_counts]
        rows = pa.concat_tables(parts) if parts else _plain(MASK_COUNTS.empty_table())
        for setting in group:
            yield _with_parameters(setting, rows.filter(pc.equal(rows["setting_id"], setting.id)))


def _n_rows(path: Path) -> int:
    read_origin(path)  # says in a person's words what is wrong with the file
    n_rows: int = pq.read_metadata(path).num_rows
    return n_rows


def _plain(table: pa.Table) -> pa.Table:
    """The table without dictionaries, which differ from shard to shard."""
    fields = [
        field.with_type(field.type.value_type) if pa.types.is_dictionary(field.type) else field for field in MASK_COUNTS
    ]
    return table.cast(pa.schema(fields))


def _with_parameters(setting: Setting, rows: pa.Table) -> pa.Table:
    rows = rows.sort_by("image_key")
    values = _setting_row(setting)
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.array([values[field.name]] * len(rows), field.type)
        for field in IMAGE_COUNTS
    ]
    return pa.table(columns, schema=IMAGE_COUNTS)


def in_groups(tables: Iterator[pa.Table]) -> Iterator[pa.Table]:
    """Tables put together until they are worth a row group."""
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(map(len, waiting)) >= _ROWS_IN_GROUP:
            yield pa.concat_tables(waiting).combine_chunks()
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()
