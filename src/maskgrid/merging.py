"""The stage ``merge``: one setting's masks of the whole dataset as COCO."""

import logging

from maskgrid.lineage import annotations_fingerprint
from maskgrid.merge import merge_annotations
from maskgrid.plan import Plan
from maskgrid.sweep import find
from maskgrid.weights import checkpoint_id

log = logging.getLogger(__name__)


def merge_setting(plan: Plan, label: str) -> None:
    """Write ``annotations/{label}.json``.

    Raises:
        maskgrid.errors.UserError: no setting is called so, or a shard has not been replayed.
    """
    setting = find(plan.settings, label, "--setting")
    path = plan.layout.annotations(setting.label)
    made_from = annotations_fingerprint(plan, setting)
    counts = merge_annotations(setting, plan.layout, checkpoint_id(setting.checkpoint), path, made_from)
    log.info("%s: %d masks in %d images", path, counts.n_annotations, counts.n_images)
