"""Accept a run if few images failed, and write ``provenance.json``: how to explain or repeat it."""

import platform
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path

import orjson

from maskgrid.automatic.notes import dataset_origin, statistics_origin
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.fingerprint import git_state, maskgrid_version, package_versions
from maskgrid.io.tables import read_table
from maskgrid.io.wording import count, tally
from maskgrid.plan.plan import Plan

_FOLDERS = ("dataset", "candidates", "selections", "statistics", "annotations", "report")

_PATHS_NAMED = 3


def write_provenance(plan: Plan) -> None:
    """Write ``provenance.json``, the only output that depends on times and machines.

    Raises:
        maskgrid.io.errors.UserError: an output is missing, or outputs do not belong together.
    """
    model = plan.config.model
    images = read_table(plan.layout.images, ["status"])["status"].to_pylist()
    content = {
        "maskgrid": {"version": maskgrid_version(), "git": git_state()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "config": plan.config.model_dump(mode="json"),
        "device": model.device,
        "dtype": model.dtype,
        "apply_postprocessing": model.apply_postprocessing,
        "settings": [{"id": one.id, "names": list(one.names), **one.parameters()} for one in plan.settings],
        "images": {"n": len(images), "statuses": dict(sorted(Counter(images).items()))},
        # The images' hash, and the checkpoint, device and packages with which each pass ran.
        "made_from": dataset_origin(plan),
        "fingerprint": statistics_origin(plan)["fingerprint"],
        "written": {name: _times(plan.layout.root / name) for name in _FOLDERS},
    }
    write_bytes(plan.layout.provenance, orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _times(folder: Path) -> dict[str, str | float] | None:
    """When the first and last file of a stage were written."""
    times = sorted(path.stat().st_mtime for path in folder.rglob("*") if path.is_file())
    if not times:
        return None
    first, last = (datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds") for time in (times[0], times[-1]))
    return {"first": first, "last": last, "seconds": round(times[-1] - times[0], 3)}


def accept(plan: Plan) -> None:
    """Write ``provenance.json``, and ``accepted.json`` unless too many images failed.

    Raises:
        UserError: more images failed than ``dataset.max_failed_fraction`` allows; all other outputs stay.
    """
    write_provenance(plan)
    reasons = _statuses(plan.layout.images)
    failed_in = {plan.layout.images: sum(status != "ok" for status in reasons.values())}
    for path in _pass_images(plan):
        # Passes never see images that the index rejected.
        failed = _statuses(path, [("status", "!=", "ok")])
        failed_in[path] = len(failed)
        reasons |= failed
    statuses = Counter(reasons.values())
    n_failed = len(reasons) - statuses["ok"]
    limit = plan.config.dataset.max_failed_fraction
    if n_failed > limit * len(reasons):
        words = tally({status: n for status, n in statuses.items() if status != "ok"})
        raise UserError(
            f"{n_failed} of {len(reasons)} images could not be used ({words}), more than dataset.max_failed_fraction: "
            f"{limit:g} allows. All other results are complete; the reasons are in "
            f"{_named([path for path, number in failed_in.items() if number])}"
        )
    verdict = {
        "n_images": len(reasons),
        "n_failed": n_failed,
        "statuses": dict(sorted(statuses.items())),
        "fingerprint": statistics_origin(plan)["fingerprint"],
    }
    write_bytes(plan.layout.accepted, orjson.dumps(verdict, option=orjson.OPT_INDENT_2))


def _pass_images(plan: Plan) -> list[Path]:
    """The tables of images, one for each pass and shard."""
    return [plan.layout.pass_images(run, shard) for run in plan.runs for shard in plan.shards()]


def _statuses(path: Path, filters: list[tuple[str, str, str]] | None = None) -> dict[str, str]:
    table = read_table(path, ["image_key", "status"], filters)
    return dict(zip(table["image_key"].to_pylist(), table["status"].to_pylist(), strict=True))


def _named(paths: list[Path]) -> str:
    more = [f"and {count(len(paths) - _PATHS_NAMED, 'more file')}"] if len(paths) > _PATHS_NAMED else []
    return ", ".join([*map(str, paths[:_PATHS_NAMED]), *more])
