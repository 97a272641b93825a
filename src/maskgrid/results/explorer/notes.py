"""What the explorer's data are made from: ``verify`` asks for it too."""

from collections.abc import Mapping

from maskgrid.dataset.annotations.region_masks import region_contents
from maskgrid.io.fingerprint import fingerprint
from maskgrid.io.tables import read_origin
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan

# A number for the files' form: data of another form are made anew.
_FORM = 1


def explorer_origin(plan: Plan, shard: str, regions: Mapping[str, str] | None = None) -> Origin:
    """The origin of a shard's data: candidates, regions and annotated objects, whatever the settings are.

    Args:
        plan: the plan of the run.
        shard: the shard.
        regions: from :func:`maskgrid.dataset.annotations.region_masks.region_contents`, for callers with many shards.

    Raises:
        UserError: a table is missing or truncated.
    """
    layout = plan.layout
    content: Origin = {
        "form": _FORM,
        "passes": {run.folder: read_origin(layout.candidates(run, shard)).get("fingerprint") for run in plan.runs},
    }
    if found := region_contents(plan) if regions is None else regions:
        content["regions"] = dict(found)
    if plan.ground_truth() is not None:
        content["objects"] = read_origin(layout.ground_truth("objects"))["fingerprint"]
    return {**content, "fingerprint": fingerprint(content)}
