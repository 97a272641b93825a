"""The last stage: did few enough images fail?"""

from collections import Counter

import orjson

from maskgrid.errors import UserError
from maskgrid.files import write_bytes
from maskgrid.lineage import statistics_note
from maskgrid.plan import Plan
from maskgrid.provenance import write_provenance
from maskgrid.tables import read_table
from maskgrid.weights import checkpoint_id


def accept(plan: Plan) -> None:
    """Write ``provenance.json``, and ``accepted.json`` unless too many images could not be used.

    Raises:
        UserError: more failed than ``dataset.max_failed_fraction`` allows; all other outputs stay.
    """
    write_provenance(plan)
    images = read_table(plan.layout.images, ["image_key", "status"])
    reasons = dict(zip(images["image_key"].to_pylist(), images["status"].to_pylist(), strict=True))
    for run in plan.runs:
        for shard in plan.shards():
            path = plan.layout.pass_images(checkpoint_id(run.checkpoint), run.pass_.name, shard)
            table = read_table(path, ["image_key", "status"], filters=[("status", "!=", "ok")])
            reasons |= dict(zip(table["image_key"].to_pylist(), table["status"].to_pylist(), strict=True))
    statuses = Counter(reasons.values())
    n_failed = len(reasons) - statuses["ok"]
    limit = plan.config.dataset.max_failed_fraction
    if n_failed > limit * len(reasons):
        words = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()) if status != "ok")
        raise UserError(
            f"{n_failed} of {len(reasons)} images could not be used ({words}), more than dataset.max_failed_fraction: "
            f"{limit:g} allows. The others' results are complete; {plan.layout.images} names each with its reason"
        )
    verdict = {
        "n_images": len(reasons),
        "n_failed": n_failed,
        "statuses": dict(sorted(statuses.items())),
        "fingerprint": statistics_note(plan)["fingerprint"],
    }
    write_bytes(plan.layout.accepted, orjson.dumps(verdict, option=orjson.OPT_INDENT_2))
