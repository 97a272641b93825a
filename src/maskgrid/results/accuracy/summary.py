"""Join the shards' accuracies into one table, and summarize them by setting over all images."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.config.settings import Setting, any_filters
from maskgrid.io.tables import read_table, write_batches
from maskgrid.results.accuracy.tables import ACCURACY, ACCURACY_SUMMARY, WEIGHTS
from maskgrid.results.statistics.bootstrap import ratio_intervals
from maskgrid.results.statistics.mask_counts import in_groups, with_parameters
from maskgrid.results.statistics.tables import with_filter_columns


def write_accuracy(path: Path, settings: Sequence[Setting], shards: Sequence[Path], origin: Mapping[str, Any]) -> None:
    """Join the shards' accuracies and the parameters (``tables.ACCURACY``), sorted by setting and image key.

    Raises:
        maskgrid.io.errors.UserError: a shard's table is missing or truncated.
    """
    schema = with_filter_columns(ACCURACY, any_filters(settings))
    write_batches(path, schema, in_groups(_setting_tables(settings, shards, schema)), origin)


def _setting_tables(settings: Sequence[Setting], shards: Sequence[Path], schema: pa.Schema) -> Iterator[pa.Table]:
    for setting in settings:
        parts = [read_table(path, filters=[("setting_id", "=", setting.id)]) for path in shards]
        yield with_parameters(setting, pa.concat_tables(parts), schema)


def accuracy_summary(settings: Sequence[Setting], accuracy: Path) -> pa.Table:
    """Make a row for each setting with results for an annotated image (``tables.ACCURACY_SUMMARY``).

    Ratios are over all objects or masks of all images; intervals come from resampling images.

    Raises:
        maskgrid.io.errors.UserError: the table is missing or truncated.
    """
    rows = (_summary_row(setting, accuracy) for setting in settings)
    return pa.Table.from_pylist([row for row in rows if row is not None], schema=ACCURACY_SUMMARY)


def _summary_row(setting: Setting, accuracy: Path) -> dict[str, Any] | None:
    table = read_table(accuracy, filters=[("setting_id", "=", setting.id)])
    if not len(table):
        return None
    values, weights = ratio_columns(table)
    found = ratio_intervals(values, weights)
    row = {
        "setting_id": setting.id,
        "setting": setting.label,
        "n_images": len(table),
        **{name: pc.sum(table[name]).as_py() for name in ("n_truth", "n_masks")},
        **{name: pc.sum(table[name]).as_py() for name in ("n_over_segmented", "n_under_segmented")},
    }
    for column, name in enumerate(WEIGHTS):
        row[name], row[f"{name}_low"], row[f"{name}_high"] = found.cells(column)
    return row


def ratio_columns(
    table: pa.Table, names: Sequence[str] = tuple(WEIGHTS)
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Values that can be summed over images: weighted values and weights, each float64 (images, names).

    Args:
        table: rows of ``tables.ACCURACY`` of one setting.
        names: measures, keys of ``tables.WEIGHTS``.
    """
    judged = table["n_masks"].to_numpy() - table["n_ignored_50"].to_numpy()
    special = {"n_judged": judged, "n_judged_and_truth": judged + table["n_truth"].to_numpy()}
    weights = [special[at] if (at := WEIGHTS[name]) in special else table[at].to_numpy() for name in names]
    weight = np.stack(weights, axis=1).astype(np.float64)
    value = np.stack([table[name].fill_null(0.0).to_numpy() for name in names], axis=1)
    return value * weight, weight
