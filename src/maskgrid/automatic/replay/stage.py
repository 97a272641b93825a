"""The stage ``replay``: all settings of the sweep over the candidates of one shard."""

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.automatic.candidates import PassResult, read_shard_results
from maskgrid.automatic.notes import selections_origin
from maskgrid.automatic.replay.drops import NOTHING_DROPPED
from maskgrid.automatic.replay.filters import Replay
from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.tables import SELECTIONS, mask_counts_schema
from maskgrid.config.settings import Setting, any_filters
from maskgrid.dataset.annotations.region_masks import read_regions
from maskgrid.io.journal import forget_journal
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_table, write_table
from maskgrid.masks.coco import MEDIUM_PX, SMALL_PX
from maskgrid.masks.coverage import Coverage, Depths
from maskgrid.plan.passes import passes_of
from maskgrid.plan.plan import Plan

# Rows are sorted by setting, and a reader of one setting reads only the groups that have it.
_ROWS_IN_GROUP = 16384
# Masks of one image, above which each setting counts its own: a bitset for each place would fill the memory.
_MOST_IN_BITSETS = 4096


def replay_shard(plan: Plan, shard: str) -> None:
    """Answer every setting for the images of a shard; write the selections and the counts."""
    selections: list[pa.Table] = []
    counts: list[dict[str, Any]] = []
    images = _images(plan, shard)
    regions = _regions(plan, shard)
    for image_key, by_checkpoint in shown(images.items(), len(images), f"replay {shard}", "images"):
        for rows, row_counts in _replay_image(plan, image_key, by_checkpoint, regions.get(image_key, {})):
            selections.append(rows)
            counts += row_counts
    ids = [setting.id for setting in plan.settings]
    order = {setting_id: position for position, setting_id in enumerate(ids)}
    counts.sort(key=lambda row: (order[row["setting_id"]], row["image_key"]))
    origin = selections_origin(plan, shard)
    write_table(plan.layout.shard_counts(shard), _counts_table(counts, any_filters(plan.settings)), origin)
    write_table(plan.layout.selections(shard), _by_setting(selections, order), origin, _ROWS_IN_GROUP)
    for run in plan.runs:
        forget_journal(plan.layout.candidates(run, shard))


def _counts_table(rows: list[dict[str, Any]], with_filters: bool) -> pa.Table:
    # Settings without filters have rows beside those with some.
    rows = [{**NOTHING_DROPPED, **row} for row in rows] if with_filters else rows
    return pa.Table.from_pylist(rows, schema=mask_counts_schema(with_filters))


def _images(plan: Plan, shard: str) -> dict[str, dict[str, list[PassResult]]]:
    """The passes' results by image key and checkpoint."""
    images: dict[str, dict[str, list[PassResult]]] = {}
    for run, result in read_shard_results(plan, shard):
        images.setdefault(result.image_key, {}).setdefault(run.checkpoint, []).append(result)
    return dict(sorted(images.items()))


def _regions(plan: Plan, shard: str) -> dict[str, dict[str, bytes]]:
    """The parts of ``filters.region`` by image key and region; empty without any."""
    if not plan.regions():
        return {}
    columns = ["image_key", "path", "height", "width"]
    rows = read_table(plan.layout.files, columns, [("shard", "=", shard), ("status", "=", "ok")])
    return read_regions(plan, rows.to_pylist())


def _replay_image(
    plan: Plan, image_key: str, by_checkpoint: dict[str, list[PassResult]], in_image: dict[str, bytes]
) -> Iterator[tuple[pa.Table, list[dict[str, Any]]]]:
    for checkpoint, results in by_checkpoint.items():
        there = {part.candidates.pass_.name: part.candidates for part in results if part.candidates is not None}
        replay = Replay(there, in_image)
        settings = [
            setting
            for setting in plan.settings
            if setting.checkpoint == checkpoint
            and {pass_.name for pass_ in passes_of(setting.generator)} <= there.keys()
        ]
        for group in _same_masks(settings):
            chosen = [(setting, replay.select(setting.generator, setting.filters)) for setting in group]
            measured = zip(chosen, _coverage(chosen), strict=True)
            rows = [_selection_rows(setting, image_key, selection) for setting, selection in chosen]
            yield (
                pa.concat_tables(rows),
                [image_counts(setting, image_key, selection, *px) for (setting, selection), px in measured],
            )


def _same_masks(settings: list[Setting]) -> list[list[Setting]]:
    """Group settings that choose from the same masks, so that their pixels are counted together."""
    groups: dict[object, list[Setting]] = {}
    for setting in settings:
        generator = setting.generator
        passes = tuple(pass_.name for pass_ in passes_of(generator))
        groups.setdefault((passes, generator.mask_threshold), []).append(setting)
    return list(groups.values())


def _coverage(chosen: list[tuple[Setting, Selection]]) -> list[tuple[int, int]]:
    """Pixels in at least one and in at least two masks, for each selection."""
    # By candidate, not by code alone: equal masks of two candidates are two masks, which overlap.
    position: dict[tuple[int, int, bytes], int] = {}
    members: list[list[int]] = []
    for _, selection in chosen:
        masks = zip(selection.layer.tolist(), selection.row.tolist(), selection.counts(), strict=True)
        members.append([position.setdefault(mask, len(position)) for mask in masks])
    codes, size_hw = [code for _, _, code in position], chosen[0][1].size_hw
    coverage = Coverage.of(codes, size_hw) if len(codes) <= _MOST_IN_BITSETS else Depths(codes, size_hw)
    measured = []
    for member in members:
        mask = np.zeros(len(position), np.bool_)
        mask[member] = True
        measured.append(coverage.measure(mask))
    return measured


def _selection_rows(setting: Setting, image_key: str, selection: Selection) -> pa.Table:
    n_masks, regions = len(selection), selection.regions
    return pa.table(
        {
            "setting_id": pa.array([setting.id] * n_masks, pa.string()).dictionary_encode(),
            "image_key": pa.array([image_key] * n_masks, pa.string()).dictionary_encode(),
            "rank": pa.array(range(n_masks), pa.int32()),
            "layer": pa.array(selection.layer, pa.int16()),
            "candidate_id": pa.array(selection.candidate_id(), pa.int32()),
            "counts": pa.array([region and region.counts for region in regions], pa.binary()),
            "area_px": pa.array([region and region.area_px for region in regions], pa.int32()),
            "box_xyxy": pa.array([region and region.box_xyxy.tolist() for region in regions], pa.list_(pa.int32(), 4)),
        },
        schema=SELECTIONS,
    )


def image_counts(
    setting: Setting, image_key: str, selection: Selection, covered_px: int, overlapped_px: int
) -> dict[str, Any]:
    """One row of ``tables.mask_counts_schema``: the masks of a setting in an image, in numbers.

    Args:
        setting: the setting.
        image_key: the image.
        selection: the masks that the setting keeps.
        covered_px: pixels in at least one of the masks.
        overlapped_px: pixels in at least two.
    """
    n_pixels, area = math.prod(selection.size_hw), selection.area_px()
    quantiles = np.quantile(area / n_pixels, (0.1, 0.5, 0.9)).tolist() if len(area) else [None] * 3
    n_small, n_large = int((area < SMALL_PX).sum()), int((area > MEDIUM_PX).sum())
    offset = float(setting.generator.stability_score_offset)
    return {
        "setting_id": setting.id,
        "image_key": image_key,
        "n_masks": len(selection),
        "n_proposed": selection.n_proposed,
        **selection.dropped,
        "n_small": n_small,
        "n_medium": len(area) - n_small - n_large,
        "n_large": n_large,
        "coverage_frac": covered_px / n_pixels,
        "overlap_frac": overlapped_px / n_pixels,
        "area_frac_p10": quantiles[0],
        "area_frac_p50": quantiles[1],
        "area_frac_p90": quantiles[2],
        "predicted_iou_mean": _mean(selection.predicted_iou()),
        "stability_score_mean": _mean(selection.stability_score(offset)),
    }


def _mean(scores: NDArray[np.float32]) -> float | None:
    return float(scores.astype(np.float64).mean()) if len(scores) else None


def _by_setting(tables: list[pa.Table], order: dict[str, int]) -> pa.Table:
    if not tables:
        return SELECTIONS.empty_table()
    table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()
    ids = table["setting_id"].combine_chunks()
    position = np.array([order[name] for name in ids.dictionary.to_pylist()])[ids.indices.to_numpy()]
    # Images come in the order of their keys; a stable sort keeps that order and the ranks'.
    return table.take(pa.array(np.argsort(position, kind="stable")))
