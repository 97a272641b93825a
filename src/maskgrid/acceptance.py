"""The last stage: did few enough images fail?"""

from collections import Counter
from pathlib import Path

import orjson

from maskgrid.errors import UserError
from maskgrid.files import write_bytes
from maskgrid.lineage import statistics_note
from maskgrid.plan import Plan
from maskgrid.provenance import write_provenance
from maskgrid.tables import read_table
from maskgrid.weights import checkpoint_id
from maskgrid.wording import count

_PATHS_NAMED = 3


def accept(plan: Plan) -> None:
    """Write ``provenance.json``, and ``accepted.json`` unless too many images could not be used.

    Raises:
        UserError: more failed than ``dataset.max_failed_fraction`` allows; all other outputs stay.
    """
    write_provenance(plan)
    reasons = _statuses(plan.layout.images)
    failed_in = {plan.layout.images: sum(status != "ok" for status in reasons.values())}
    for path in _pass_images(plan):
        # Of those that the index has found fault with, no pass knows.
        failed = _statuses(path, [("status", "!=", "ok")])
        failed_in[path] = len(failed)
        reasons |= failed
    statuses = Counter(reasons.values())
    n_failed = len(reasons) - statuses["ok"]
    limit = plan.config.dataset.max_failed_fraction
    if n_failed > limit * len(reasons):
        words = ", ".join(f"{count} {status}" for status, count in sorted(statuses.items()) if status != "ok")
        raise UserError(
            f"{n_failed} of {len(reasons)} images could not be used ({words}), more than dataset.max_failed_fraction: "
            f"{limit:g} allows. The others' results are complete; each failure stands with its reason in "
            f"{_named([path for path, number in failed_in.items() if number])}"
        )
    verdict = {
        "n_images": len(reasons),
        "n_failed": n_failed,
        "statuses": dict(sorted(statuses.items())),
        "fingerprint": statistics_note(plan)["fingerprint"],
    }
    write_bytes(plan.layout.accepted, orjson.dumps(verdict, option=orjson.OPT_INDENT_2))


def _pass_images(plan: Plan) -> list[Path]:
    """What each pass has made of each shard's images."""
    return [
        plan.layout.pass_images(checkpoint_id(run.checkpoint), run.pass_.name, shard)
        for run in plan.runs
        for shard in plan.shards()
    ]


def _statuses(path: Path, filters: list[tuple[str, str, str]] | None = None) -> dict[str, str]:
    table = read_table(path, ["image_key", "status"], filters)
    return dict(zip(table["image_key"].to_pylist(), table["status"].to_pylist(), strict=True))


def _named(paths: list[Path]) -> str:
    more = [f"and {count(len(paths) - _PATHS_NAMED, 'more file')}"] if len(paths) > _PATHS_NAMED else []
    return ", ".join([*map(str, paths[:_PATHS_NAMED]), *more])
