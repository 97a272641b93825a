"""The merge: one COCO file for a setting, from the selections of all shards.

Images are spread over shards by a hash, so the shards' keys interleave. Shard by shard, each image's annotations go to
a spool file; then they are copied to the final file in the order of keys. However many masks there are, memory holds
only a few images, one shard's selections, and the position of each image's annotations.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.automatic.annotations import annotation_lines, info
from maskgrid.automatic.kept_masks import KeptMasks, kept_masks
from maskgrid.automatic.notes import annotated_origin, annotations_fingerprint, gathered_origin
from maskgrid.config.settings import Setting
from maskgrid.config.sweep import called
from maskgrid.dataset.annotations.categories import Categories, read_categories
from maskgrid.dataset.tables import good_images, image_ids
from maskgrid.io.files import write_bytes
from maskgrid.io.tables import read_table
from maskgrid.masks.coco import CATEGORY, MergeCounts, write_coco
from maskgrid.plan.layout import Layout
from maskgrid.plan.plan import Plan

log = logging.getLogger(__name__)


def merge_annotations(
    setting: Setting,
    layout: Layout,
    path: Path,
    fingerprint: str | None = None,
    categories: Categories | None = None,
) -> MergeCounts:
    """Write the masks of a setting as COCO JSON, one annotation a line.

    The file has all images with status ``ok``, with or without masks, sorted by key; ids of images and annotations
    count from 1 in this order. It does not depend on how images are spread over shards.

    Args:
        setting: the setting.
        layout: the results folder, with images, selections and candidates.
        path: the output file; replaced atomically once complete.
        fingerprint: the fingerprint to store in the file.
        categories: gives masks their categories; None: all are of one.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or cut off, or tables are from different runs.
        ValueError: a score is not a finite number.
    """
    images = good_images(layout)
    shards = sorted(pc.unique(images["shard"]).to_pylist())
    known = image_ids(images)
    sizes_hw = {key: size_hw for key, (_, size_hw) in known.items()}
    form = setting.generator.output_mode
    entries = (
        entry
        for shard in shards
        for part in kept_masks(setting, layout, shard, sizes_hw)
        for entry in zip(
            part.image_keys,
            part.n_masks.tolist(),
            annotation_lines(part, [known[key][0] for key in part.image_keys], form, _category_ids(part, categories)),
            strict=True,
        )
    )
    listed = [CATEGORY] if categories is None else categories.listed
    head = {"info": info(setting, fingerprint), "licenses": [], "categories": listed}
    with _arrow_in_system_memory():
        return write_coco(path, head, images, entries)


def _category_ids(masks: KeptMasks, categories: Categories | None) -> NDArray[np.int64] | None:
    """The categories of the masks of some images: int64 (n,)."""
    if categories is None:
        return None
    ends = np.cumsum(masks.n_masks).tolist()
    spans = zip([0, *ends[:-1]], ends, strict=True)
    images = zip(masks.image_keys, masks.size_hw.tolist(), spans, strict=True)
    return np.concatenate(
        [
            categories.of_masks(key, masks.counts[start:end], (height, width))
            for key, (height, width), (start, end) in images
        ]
    )


@contextmanager
def _arrow_in_system_memory() -> Iterator[None]:
    """Use the system's allocator: Arrow's own keeps freed memory, several times as much as is ever in use."""
    before = pa.default_memory_pool()
    pa.set_memory_pool(pa.system_memory_pool())
    try:
        yield
    finally:
        pa.set_memory_pool(before)


def gather(plan: Plan) -> None:
    """Write ``selections.json``, which stands for the selections of all shards, so that merges need only this file.

    Raises:
        maskgrid.io.errors.UserError: a shard was not replayed, or not with the index's images.
    """
    origin = gathered_origin(plan)
    write_bytes(plan.layout.gathered, orjson.dumps(origin, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    log.info("%s: %d shards belong together", plan.layout.gathered, len(plan.shards()))


def merge_setting(plan: Plan, label: str) -> None:
    """Write ``annotations/{label}.json``.

    Raises:
        maskgrid.io.errors.UserError: there is no such setting, or a shard was not replayed.
    """
    setting = called(plan.settings, label, "--setting")
    path = plan.layout.annotations(setting.label)
    fingerprint = annotations_fingerprint(setting, annotated_origin(plan))
    columns = ["image_key", "path", "height", "width"]
    files = read_table(plan.layout.files, columns, [("status", "=", "ok")]) if plan.config.categories else None
    categories = None if files is None else read_categories(plan, files.to_pylist())
    counts = merge_annotations(setting, plan.layout, path, fingerprint, categories)
    log.info("%s: %d masks in %d images", path, counts.n_annotations, counts.n_images)
