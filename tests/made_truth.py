"""A finished results folder of made-up images with annotated objects."""

import json

import numpy as np
import pyarrow as pa

from made_results import make_config, make_results
from maskgrid.dataset.tables import ARCHIVES_SCHEMA
from maskgrid.io.tables import read_table, write_table
from maskgrid.masks import rle
from synthetic import kept_by_image


def make_plan_with_truth(root, annotate, config=None, n_images=2):
    """Write results of made-up images, and the annotations that ``annotate`` makes from the plan."""
    given = config or make_config()
    given = given.model_copy(update={"dataset": given.dataset.model_copy(update={"ground_truth": "truth.json"})})
    plan = make_results(root, config=given, n_images=n_images)
    _add_notes(plan)
    (root / "truth.json").write_text(json.dumps(annotate(plan)))
    return plan


def _add_notes(plan):
    """Add what the made-up tables lack: fingerprints, and the columns of files.parquet."""
    images = read_table(plan.layout.images)
    write_table(plan.layout.images, images, {"fingerprint": "i"})
    write_table(plan.layout.shards, read_table(plan.layout.shards), {"fingerprint": "i"})
    write_table(plan.layout.archives, ARCHIVES_SCHEMA.empty_table(), {"fingerprint": "i"})
    shards = dict(zip(plan.shards(), plan.shard_digests().values(), strict=True))
    for shard, digest in shards.items():
        path = plan.layout.selections(shard)
        write_table(path, read_table(path), {"images": digest, "passes": {}, "fingerprint": "s"})
    files = {row["image_key"]: row for row in read_table(plan.layout.files).to_pylist()}
    nowhere = {"path": b"/nowhere", "sha256": None, "member_offset": None}
    rows = [{"size_bytes": None, **row, **files.get(row["image_key"], nowhere)} for row in images.to_pylist()]
    write_table(plan.layout.files, pa.Table.from_pylist(rows), {"fingerprint": "i"})


def sizes(plan):
    table = read_table(plan.layout.images, filters=[("status", "=", "ok")])
    return {row["image_key"]: (row["height"], row["width"]) for row in table.to_pylist()}


def masks_as_objects(plan):
    """The baseline's masks as annotations, plus polygons, RLE codes, and objects that cannot be used."""
    images, annotations = [], []
    for image_id, (key, size_hw) in enumerate(sorted(sizes(plan).items()), start=1):
        images.append({"id": image_id, "file_name": key, "height": size_hw[0], "width": size_hw[1]})
        for part in kept_by_image(plan.baseline, plan.layout, "d0"):
            if part.image_key == key:
                annotations += [
                    {"image_id": image_id, "segmentation": rle.compressed(one, size_hw)} for one in part.counts
                ]
    first = images[0]
    height, width = first["height"], first["width"]
    annotations += [
        {"image_id": 1, "segmentation": [[0, 0, width, 0, width, height, 0, height]], "iscrowd": 0},
        {"image_id": 1, "segmentation": rle.uncompressed(rle.encode(np.ones((height, width), bool)), (height, width))},
        {"image_id": 1, "segmentation": {"size": [1, 1], "counts": "0"}},
        {"image_id": 1, "segmentation": [[1, 2]]},
        {"image_id": 1, "segmentation": []},
        {"image_id": 90, "segmentation": [[0, 0, 3, 0, 3, 3]]},
        {"image_id": 91, "segmentation": [[0, 0, 3, 0, 3, 3]]},
        {"image_id": 99, "segmentation": [[0, 0, 3, 0, 3, 3]]},
    ]
    images += [{"id": 90, "file_name": "broken.jpg"}, {"id": 91, "file_name": "elsewhere.jpg"}]
    return {"images": images, "annotations": [{"id": at, **one} for at, one in enumerate(annotations, start=1)]}
