"""The stage ``prompt-merge``: all prompted masks as COCO, their statistics, and a picture of the worst."""

import logging
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from maskgrid.config.settings import PromptSetting
from maskgrid.dataset.annotations.objects import object_values
from maskgrid.dataset.tables import good_images, image_ids
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import maskgrid_version
from maskgrid.io.journal import forget_journal
from maskgrid.io.json_lines import dumps
from maskgrid.io.tables import read_origin, read_table, write_table
from maskgrid.io.wording import TOY
from maskgrid.masks import coco, rle
from maskgrid.masks.coco import write_coco
from maskgrid.plan.plan import Plan
from maskgrid.prompted.notes import merged_origin
from maskgrid.prompted.statistics import settings_lines, settings_table, statistics_table, summary_line
from maskgrid.prompted.tables import PROMPTED, read_unsharded
from maskgrid.prompted.worst import draw_worst

log = logging.getLogger(__name__)

Rows = list[dict[str, Any]]
Images = dict[str, tuple[int, tuple[int, int]]]
_LONGEST_NUMBER = 18  # digits that any reader of JSON holds as an integer
_WITHOUT_MASKS = [name for name in PROMPTED.names if name != "counts"]


def merge_prompted(plan: Plan) -> str:
    """Write ``prompted/annotations.json``, ``statistics.parquet``, ``settings.parquet`` and ``worst.jpg``.

    The COCO file and the picture show the baseline: the config section's own values.

    Returns:
        Statuses and mean IoUs for people: one line, plus one per setting if there is a sweep.

    Raises:
        UserError: the config has no prompts, or a shard is not segmented yet or was made from other prompts or images.
    """
    layout, shards = plan.layout, plan.shards()
    paths = [layout.prompted(shard) for shard in shards]
    if missing := [path for path in paths if not path.is_file()]:
        raise UserError(f"{missing[0]}: there is no such file; run maskgrid prompt --shard {missing[0].stem}")
    origin = merged_origin(plan)
    images = good_images(layout)
    categories = _categories(read_origin(layout.prompts).get("categories", []), paths)
    head = {"info": _info(plan, origin["fingerprint"]), "licenses": [], "categories": categories}
    ids = {str(category.get("name")): int(category["id"]) for category in categories}
    entries = _entries(paths, plan.prompt_settings[0], image_ids(images), ids)
    counts = write_coco(layout.prompted_annotations, head, images, entries)
    log.info("%s: %d masks in %d images", layout.prompted_annotations, counts.n_annotations, counts.n_images)
    tables = [_statistics(plan, paths, setting) for setting in plan.prompt_settings]
    write_table(layout.prompted_statistics, pa.concat_tables(tables), origin)
    settings = settings_table(plan.prompt_settings, tables)
    write_table(layout.prompted_settings, settings, origin)
    draw_worst(layout, tables[0], origin["fingerprint"])
    for path in paths:
        forget_journal(path)
    return "\n".join([summary_line(tables[0]), *settings_lines(settings)])


def _statistics(plan: Plan, paths: list[Path], setting: PromptSetting) -> pa.Table:
    rows = [*_rows(paths, setting, _WITHOUT_MASKS), *_without_image(plan.layout.prompts, setting)]
    return statistics_table(rows, setting.label)


def _rows(paths: Iterable[Path], setting: PromptSetting, columns: list[str] | None = None) -> Iterator[dict[str, Any]]:
    for path in paths:
        yield from read_table(path, columns, [("setting_id", "=", setting.id)]).to_pylist()


def _without_image(prompts: Path, setting: PromptSetting) -> Rows:
    """Rows for the prompts in no shard: their images are missing or unusable."""
    empty = {**dict.fromkeys(PROMPTED.names), "setting_id": setting.id}
    return [{**empty, **object_values(row)} for row in read_unsharded(prompts)]


def _categories(known: Rows, paths: list[Path]) -> Rows:
    """COCO's categories: the source's unchanged, plus one for each name without an id there."""
    tables = [read_table(path, ["category_id", "category"]) for path in paths]
    columns = [(row["category_id"], row["category"]) for table in tables for row in table.to_pylist()]
    named = {str(category.get("name")) for category in known}
    names = sorted({_category_name(name) for category_id, name in columns if category_id is None} - named)
    first_id = max((int(category["id"]) for category in known), default=0) + 1
    return [*known, *({"id": number, "name": name} for number, name in enumerate(names, start=first_id))]


def _category_name(name: str | None) -> str:
    return str(name or coco.CATEGORY["name"])


def _info(plan: Plan, fingerprint: str) -> dict[str, Any]:
    prompts = plan.prompts
    return {
        "description": "Masks of given objects by SAM 2, made by maskgrid",
        **({"note": TOY} if plan.config.has_toy_network else {}),
        "maskgrid_version": maskgrid_version(),
        "checkpoint": plan.config.model.checkpoint,
        # Only the file's name: its folder does not affect the masks.
        "prompts": {**prompts.model_dump(exclude={"sweep"}), "source": Path(prompts.source).name},
        "fingerprint": fingerprint,
    }


def _entries(
    paths: list[Path], setting: PromptSetting, known: Images, category_ids: dict[str, int]
) -> Iterator[tuple[str, int, bytes]]:
    """Yield each image's annotations as JSON for :func:`maskgrid.masks.coco.write_coco`, shard by shard."""
    for path in paths:
        for key, rows in groupby(_rows([path], setting), lambda row: row["image_key"]):
            if key in known:
                image_id, size_hw = known[key]
                drawn = [row for row in rows if row["status"] == "ok"]
                lines = [dumps(_annotation(row, image_id, size_hw, category_ids))[1:] for row in drawn]
                yield key, len(lines), b"\n".join(lines)


def _annotation(
    row: dict[str, Any], image_id: int, size_hw: tuple[int, int], category_ids: dict[str, int]
) -> dict[str, Any]:
    rle.check(row["counts"], size_hw)
    category_id = row["category_id"]
    score = {"predicted_iou": np.float32(row["predicted_iou"])}
    prompt = {name: row[name] for name in ("kind", "box_xyxy", "point_coords", "point_labels") if row[name] is not None}
    return {
        "image_id": image_id,
        "category_id": category_ids[_category_name(row["category"])] if category_id is None else category_id,
        "segmentation": rle.compressed(row["counts"], size_hw),
        "area": row["area_px"],
        "bbox": row["bbox_xywh"],
        "iscrowd": 0,
        "score": score["predicted_iou"],
        **score,
        "source_id": _as_written(row["source_id"]),
        "mask_index": row["mask_index"],
        "prompt": prompt,
        "attributes": score,
    }


def _as_written(source_id: str) -> int | str:
    """Convert a whole number of up to 64 bits to an int, as COCO's ids are; leave any other id as text."""
    is_number = len(source_id) <= _LONGEST_NUMBER and source_id.isascii() and source_id.isdigit()
    return int(source_id) if is_number and str(int(source_id)) == source_id else source_id
