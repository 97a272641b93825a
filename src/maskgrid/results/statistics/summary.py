"""The summary: one row per setting, over all images, with intervals and differences from the baseline."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.automatic.replay.drops import DROPS
from maskgrid.automatic.tables import MASK_COUNTS
from maskgrid.config.settings import Setting, any_filters
from maskgrid.io.tables import read_table
from maskgrid.results.statistics.bootstrap import mean_intervals
from maskgrid.results.statistics.mask_counts import image_keys, settings_table
from maskgrid.results.statistics.tables import share_dropped, summary_schema

# Rows (one per image and setting) in memory at once.
_ROWS_AT_ONCE = 1_000_000
_RESAMPLED = ("n_masks", "coverage_frac")
_DROPS = tuple(name for name in MASK_COUNTS.names if name.startswith("n_dropped_"))
_MEANS = ("overlap_frac", "n_small", "n_medium", "n_large")
_SCORES = ("predicted_iou_mean", "stability_score_mean")
_COLUMNS = ["setting_id", "image_key", *_RESAMPLED, "n_proposed", *_MEANS, *_SCORES]


def summary_table(settings: Sequence[Setting], mask_counts: Path, baseline: Setting) -> pa.Table:
    """Summarize the counts of images by setting (``statistics.tables.summary_schema``).

    Intervals are those of ``bootstrap``: images are resampled in the same way for all settings. Differences from the
    baseline are taken image by image, over the images for which both settings have results.

    Args:
        settings: the settings, in the order of the rows.
        mask_counts: the table from ``mask_counts.write_mask_counts``.
        baseline: the setting that differences are measured against, one of ``settings``.

    Raises:
        maskgrid.io.errors.UserError: the table is missing or truncated.
    """
    keys = image_keys(mask_counts)
    with_filters = any_filters(settings)
    dropped = (*_DROPS, *(DROPS.values() if with_filters else ()))
    base = _aligned(keys, _tables(mask_counts, [baseline], dropped)[0])
    at_once = max(1, _ROWS_AT_ONCE // max(len(keys), 1))
    rows: list[dict[str, Any]] = []
    for start in range(0, len(settings), at_once):
        rows += _group_rows(_tables(mask_counts, settings[start : start + at_once], dropped), keys, base)
    for setting, known, row in zip(settings, settings_table(settings).to_pylist(), rows, strict=True):
        row |= {**known, "is_baseline": setting.id == baseline.id}
    return pa.Table.from_pylist(rows, schema=summary_schema(with_filters))


def _tables(mask_counts: Path, settings: Sequence[Setting], dropped: Sequence[str]) -> list[pa.Table]:
    """One table of rows for each setting."""
    ids = [setting.id for setting in settings]
    rows = read_table(mask_counts, [*_COLUMNS, *dropped], [("setting_id", "in", ids)])
    return [rows.filter(pc.equal(rows["setting_id"], setting_id)) for setting_id in ids]


def _aligned(keys: pa.Array, rows: pa.Table) -> NDArray[np.float64]:
    """The columns to resample, by image: float64 (images, 2); NaN where the setting has no row for the image."""
    aligned = np.full((len(keys), len(_RESAMPLED)), np.nan)
    position = pc.index_in(rows["image_key"], value_set=keys).to_numpy()
    for column, name in enumerate(_RESAMPLED):
        aligned[position, column] = rows[name].to_numpy()
    return aligned


def _group_rows(tables: Sequence[pa.Table], keys: pa.Array, base: NDArray[np.float64]) -> list[dict[str, Any]]:
    """Summaries of a group of settings, whose images are resampled together."""
    rows = [_plain_statistics(table) for table in tables]
    values = np.stack([_aligned(keys, table) for table in tables], axis=1)
    difference = values - base[:, None, :]
    names = [*_RESAMPLED, *(f"{name}_diff" for name in _RESAMPLED)]
    both = np.concatenate([values, difference], axis=2)
    intervals = mean_intervals(both.reshape(len(keys), len(tables) * len(names)))
    for index, row in enumerate(rows):
        row["n_images_common"] = int((~np.isnan(difference[:, index, 0])).sum())
        for column, name in enumerate(names, start=index * len(names)):
            row[f"{name}_mean"], row[f"{name}_low"], row[f"{name}_high"] = intervals.cells(column)
    return rows


def _plain_statistics(rows: pa.Table) -> dict[str, Any]:
    """The statistics that need no resampling."""
    n_masks = rows["n_masks"].to_numpy().astype(np.int64)
    n_proposed, n_total = int(rows["n_proposed"].to_numpy().sum(dtype=np.int64)), int(n_masks.sum())
    quantiles = np.quantile(n_masks, (0.1, 0.5, 0.9)).tolist() if len(n_masks) else [None] * 3
    return {
        "n_images": len(n_masks),
        "n_masks_total": n_total,
        "n_masks_p10": quantiles[0],
        "n_masks_median": quantiles[1],
        "n_masks_p90": quantiles[2],
        **{f"{name}_mean": _ratio(_sum(rows, name), len(n_masks)) for name in _MEANS},
        **{name: _ratio(_sum_of_scores(rows, name, n_masks), n_total) for name in _SCORES},
        **{
            share_dropped(name): _ratio(_sum(rows, name), n_proposed)
            for name in rows.column_names
            if name.startswith("n_dropped_")
        },
        "kept_frac": _ratio(n_total, n_proposed),
    }


def _sum(rows: pa.Table, name: str) -> float:
    return float(rows[name].to_numpy().sum(dtype=np.float64))


def _sum_of_scores(rows: pa.Table, name: str, n_masks: NDArray[np.int64]) -> float:
    """The sum over masks, from the images' means; images without masks have no mean and add nothing."""
    means = rows[name].fill_null(0.0).to_numpy()
    return float((means * n_masks).sum())


def _ratio(numerator: float, denominator: int) -> float | None:
    return numerator / denominator if denominator else None
