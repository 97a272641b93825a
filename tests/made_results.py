"""A finished results folder of made-up images, with everything that the report reads."""

import dataclasses
import hashlib
import os

import numpy as np
import PIL.Image
import pyarrow as pa

from maskgrid.config.models import Config
from maskgrid.config.settings import Setting
from maskgrid.dataset.tables import FILES_SCHEMA
from maskgrid.io.tables import read_table, write_table
from maskgrid.plan.plan import make_plan
from maskgrid.results.statistics.effects import effects_table, interactions_table
from maskgrid.results.statistics.mask_counts import settings_table, write_mask_counts
from maskgrid.results.statistics.summary import summary_table
from synthetic import GENERATOR, RECORDING, make_images, write_dataset

SWEEP = {
    "grid": {
        "pred_iou_thresh": [0.2, 0.3, 0.5],
        "stability_score_thresh": [0.3, 0.6],
        "box_nms_thresh": [0.5, 0.7, 0.9],
    },
    "points": [{"name": "<b>loose", "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}],
}
HOSTILE = "<script>alert('x')&\"<b>.png"


def make_config(sweep=SWEEP, annotations=("baseline", "all"), shard_size=64):
    return Config.model_validate(
        {
            "dataset": {"source": "images", "shard_size": shard_size},
            "generator": GENERATOR.model_dump(),
            "record": {
                "pred_iou_thresh": RECORDING.pred_iou_thresh,
                "stability_score_thresh": RECORDING.stability_score_thresh,
                "mask_thresholds": list(RECORDING.mask_thresholds),
                "stability_score_offsets": list(RECORDING.stability_score_offsets),
            },
            "sweep": sweep,
            "annotations": list(annotations),
        }
    )


def one_shard(key):
    return "d0"


def two_shards(key):
    return f"d1-{hashlib.sha256(key.encode()).digest()[0] % 2}"


def make_results(root, shard_of=one_shard, config=None, n_images=2):
    """Write images and all tables; return the plan."""
    config = config or make_config()
    images = make_images(n_images)
    images[0] = dataclasses.replace(images[0], key=HOSTILE)
    plan = make_plan(config, root, root / "results")
    layout = write_dataset(plan.layout.root, images, plan.settings, shard_of)
    _write_images(layout, images, root / "images", shard_of)
    _write_statistics(plan)
    return plan


def _write_images(layout, images, folder, shard_of):
    table = read_table(layout.images)
    messages = [None if status == "ok" else "cut short <i>" for status in table["status"].to_pylist()]
    write_table(layout.images, table.append_column("message", pa.array(messages, pa.string())), {})
    good = sorted((image for image in images if image.status == "ok"), key=lambda image: image.key)
    rows = [
        {**_write_image(folder / f"{number}.png", image), "shard": shard_of(image.key)}
        for number, image in enumerate(good)
    ]
    write_table(layout.files, pa.Table.from_pylist(rows, FILES_SCHEMA), {})
    shards = sorted({shard_of(image.key) for image in good})
    n_images = [sum(shard_of(image.key) == shard for image in good) for shard in shards]
    write_table(layout.shards, pa.table({"shard": shards, "digest": shards, "n_images": n_images}), {})


def _write_image(path, image):
    path.parent.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(image.size_hw)
    PIL.Image.fromarray(random.integers(0, 255, (*image.size_hw, 3), np.uint8)).save(path)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    height, width = image.size_hw
    known = {"image_key": image.key, "status": "ok", "height": height, "width": width, "sha256": digest}
    return {**dict.fromkeys(FILES_SCHEMA.names), **known, "path": os.fsencode(path)}


def _write_statistics(plan):
    layout = plan.layout
    settings: tuple[Setting, ...] = plan.settings
    counts = layout.statistics("mask_counts")
    write_mask_counts(counts, settings, [layout.shard_counts(shard) for shard in plan.shards()], {})
    summary = summary_table(settings, counts, plan.baseline)
    write_table(layout.statistics("settings"), settings_table(settings), {})
    write_table(layout.statistics("summary"), summary, {})
    write_table(layout.statistics("effects"), effects_table(settings, summary), {})
    write_table(layout.statistics("interactions"), interactions_table(settings, summary), {})
