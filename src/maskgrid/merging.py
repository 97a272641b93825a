"""The stages ``gather`` and ``merge``: all shards belong together; one setting's masks of them all as COCO."""

import logging

import orjson

from maskgrid.files import write_bytes
from maskgrid.lineage import annotations_fingerprint, dataset_note, gathered_note
from maskgrid.merge import merge_annotations
from maskgrid.plan import Plan
from maskgrid.sweep import called
from maskgrid.weights import checkpoint_id

log = logging.getLogger(__name__)


def gather(plan: Plan) -> None:
    """Write ``selections.json``, which stands for the selections of all shards: each merge asks for it alone.

    Raises:
        maskgrid.errors.UserError: a shard has not been replayed, or not with the images of the index.
    """
    note = gathered_note(plan)
    write_bytes(plan.layout.gathered, orjson.dumps(note, option=orjson.OPT_INDENT_2 | orjson.OPT_SORT_KEYS))
    log.info("%s: %d shards belong together", plan.layout.gathered, len(plan.shards()))


def merge_setting(plan: Plan, label: str) -> None:
    """Write ``annotations/{label}.json``.

    Raises:
        maskgrid.errors.UserError: no setting is called so, or a shard has not been replayed.
    """
    setting = called(plan.settings, label, "--setting")
    path = plan.layout.annotations(setting.label)
    made_from = annotations_fingerprint(plan, setting, dataset_note(plan))
    counts = merge_annotations(setting, plan.layout, checkpoint_id(setting.checkpoint), path, made_from)
    log.info("%s: %d masks in %d images", path, counts.n_annotations, counts.n_images)
