"""The merge: one COCO file for a setting, from the selections of all shards.

Images are spread over shards by a hash, so the shards' keys interleave. Shard by shard, each image's annotations go to
a spool file; then they are copied to the final file in the order of keys. However many masks there are, memory holds
only a few images, one shard's selections, and the position of each image's annotations.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import orjson
import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.automatic.annotations import annotation_lines, info
from maskgrid.automatic.kept_masks import kept_masks
from maskgrid.automatic.notes import annotations_fingerprint, dataset_origin, gathered_origin
from maskgrid.config.settings import Setting
from maskgrid.config.sweep import called
from maskgrid.dataset.tables import good_images, image_ids
from maskgrid.io.files import write_bytes
from maskgrid.masks.coco import CATEGORY, MergeCounts, write_coco
from maskgrid.plan.layout import Layout
from maskgrid.plan.plan import Plan

log = logging.getLogger(__name__)


def merge_annotations(setting: Setting, layout: Layout, path: Path, fingerprint: str | None = None) -> MergeCounts:
    """Write the masks of a setting as COCO JSON, one annotation a line.

    The file has all images with status ``ok``, with or without masks, sorted by key; ids of images and annotations
    count from 1 in this order. It does not depend on how images are spread over shards.

    Args:
        setting: the setting.
        layout: the results folder, with images, selections and candidates.
        path: the output file; replaced atomically once complete.
        fingerprint: the fingerprint to store in the file.

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
            annotation_lines(part, [known[key][0] for key in part.image_keys], form),
            strict=True,
        )
    )
    head = {"info": info(setting, fingerprint), "licenses": [], "categories": [CATEGORY]}
    with _arrow_in_system_memory():
        return write_coco(path, head, images, entries)


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
    fingerprint = annotations_fingerprint(setting, dataset_origin(plan))
    counts = merge_annotations(setting, plan.layout, path, fingerprint)
    log.info("%s: %d masks in %d images", path, counts.n_annotations, counts.n_images)
