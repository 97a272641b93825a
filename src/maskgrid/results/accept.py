"""The end of a run: accept it if few images failed, and write ``provenance.json``: how to explain or repeat it."""

import logging
import platform
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import orjson

from maskgrid.automatic.notes import dataset_origin, statistics_origin
from maskgrid.io.errors import UserError
from maskgrid.io.files import is_part, write_bytes
from maskgrid.io.fingerprint import git_state, maskgrid_version, package_versions
from maskgrid.io.tables import read_table
from maskgrid.io.wording import count, named_reasons, some, tally
from maskgrid.pages.scripts import script
from maskgrid.plan.plan import Plan
from maskgrid.results.notes import report_fingerprint

_FOLDERS = ("dataset", "candidates", "selections", "statistics", "annotations", "report")

_Times = dict[str, str | float]

_PATHS_NAMED = 3
_BAD = [("status", "!=", "ok")]

log = logging.getLogger(__name__)


def write_provenance(plan: Plan) -> None:
    """Write ``provenance.json`` and the report's ``provenance.js``, the only outputs that depend on times and machines.

    Raises:
        maskgrid.io.errors.UserError: an output is missing, or outputs do not belong together.
    """
    model = plan.config.model
    images = read_table(plan.layout.images, ["status"])["status"].to_pylist()
    written = {name: _times(plan.layout.root / name, plan.layout.report_provenance) for name in _FOLDERS}
    content = {
        "maskgrid": {"version": maskgrid_version(), "git": git_state()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "config": plan.config.model_dump(mode="json"),
        "device": model.device,
        "dtype": model.dtype,
        "apply_postprocessing": model.apply_postprocessing,
        "settings": [{"id": one.id, "names": list(one.names), **one.parameters_on()} for one in plan.settings],
        "images": {"n": len(images), "statuses": dict(sorted(Counter(images).items()))},
        # The images' hash, and the checkpoint, device and packages with which each pass ran.
        "made_from": dataset_origin(plan),
        "fingerprint": statistics_origin(plan)["fingerprint"],
        "written": written,
    }
    write_bytes(plan.layout.report_provenance, _for_report(plan, written))
    write_bytes(plan.layout.provenance, orjson.dumps(content, option=orjson.OPT_INDENT_2))


def _for_report(plan: Plan, written: Mapping[str, _Times | None]) -> bytes:
    """What the report says of times, as a script."""
    network, results = written["candidates"] or {}, written["statistics"] or {}
    content = {
        "network": [network.get("first"), network.get("last")],
        "results": results.get("last"),
        "version": maskgrid_version(),
    }
    return script("run", report_fingerprint(plan), content)


def _times(folder: Path, beside: Path) -> _Times | None:
    """When the first and last file of a stage were written; ``beside`` is none of its files, nor is a killed job's."""
    files = (path for path in folder.rglob("*") if path.is_file() and path != beside and not is_part(path))
    times = sorted(path.stat().st_mtime for path in files)
    if not times:
        return None
    first, last = (datetime.fromtimestamp(time, UTC).isoformat(timespec="seconds") for time in (times[0], times[-1]))
    return {"first": first, "last": last, "seconds": round(times[-1] - times[0], 3)}


def accept(plan: Plan) -> None:
    """Write ``accepted.json`` unless too many images failed; name the first of those that failed either way.

    Raises:
        UserError: more images failed than ``dataset.max_failed_fraction`` allows; all other outputs stay.
    """
    found = [_outcomes(plan.layout.images)]
    # Passes never see images that the index rejected.
    found += [_outcomes(path, _BAD) for path in _pass_images(plan)]
    outcomes = {key: outcome for part in found for key, outcome in part.items()}
    failed = {key: outcome for key, outcome in sorted(outcomes.items()) if outcome.status != "ok"}
    statuses = Counter(outcome.status for outcome in outcomes.values())
    limit = plan.config.dataset.max_failed_fraction
    said = _said(plan, failed, len(outcomes))
    if len(failed) > limit * len(outcomes):
        raise UserError(
            f"{said[0]}, more than dataset.max_failed_fraction: {limit:g} allows. "
            f"All other results are complete; the reasons are in {said[1]}"
        )
    if failed:
        log.warning("%s; the reasons are in %s", *said)
    verdict = {
        "n_images": len(outcomes),
        "n_failed": len(failed),
        "statuses": dict(sorted(statuses.items())),
        "fingerprint": statistics_origin(plan)["fingerprint"],
    }
    write_bytes(plan.layout.accepted, orjson.dumps(verdict, option=orjson.OPT_INDENT_2))


@dataclass(frozen=True, slots=True)
class _Outcome:
    """How an image went: its status, the reason if it failed, and the table with both."""

    status: str
    message: str | None
    table: Path


def failed_line(plan: Plan) -> str | None:
    """How many images could not be used, the first of them, and where the reasons are; None if all could be.

    The passes' own failures count once ``accept`` has found some: a dataset may have thousands of their tables.
    """
    failed = _outcomes(plan.layout.images, _BAD)
    if _n_accepted_failures(plan) > len(failed):
        for path in filter(Path.is_file, _pass_images(plan)):
            failed |= _outcomes(path, _BAD)
    if not failed:
        return None
    n_images = len(read_table(plan.layout.images, ["status"]))
    names = some([f"{key} ({failed[key].status})" for key in sorted(failed)])
    return f"{len(failed):,} of {count(n_images, 'image')}: {names}; reasons in {_tables(plan, failed)}"


def _n_accepted_failures(plan: Plan) -> int:
    try:
        return int(orjson.loads(plan.layout.accepted.read_bytes())["n_failed"])
    except (OSError, orjson.JSONDecodeError, KeyError):
        return 0


def _said(plan: Plan, failed: Mapping[str, _Outcome], n_images: int) -> tuple[str, str]:
    """How many images failed, and the tables with the reasons, followed by the first images and their reasons."""
    words = tally(Counter(outcome.status for outcome in failed.values()))
    reasons = [(key, f"{outcome.status}: {outcome.message or 'no message'}") for key, outcome in failed.items()]
    text = f"{len(failed)} of {n_images} images could not be used ({words})"
    return text, f"{_tables(plan, failed)}{named_reasons(reasons)}"


def _tables(plan: Plan, failed: Mapping[str, _Outcome]) -> str:
    """The tables with the reasons, by path."""
    having = {outcome.table for outcome in failed.values()}
    paths = [path for path in (plan.layout.images, *_pass_images(plan)) if path in having]
    more = [f"and {count(len(paths) - _PATHS_NAMED, 'more file')}"] if len(paths) > _PATHS_NAMED else []
    return ", ".join([*map(str, paths[:_PATHS_NAMED]), *more])


def _pass_images(plan: Plan) -> list[Path]:
    """The tables of images, one for each pass and shard."""
    return [plan.layout.pass_images(run, shard) for run in plan.runs for shard in plan.shards()]


def _outcomes(path: Path, filters: list[tuple[str, str, str]] | None = None) -> dict[str, _Outcome]:
    table = read_table(path, ["image_key", "status", "message"], filters)
    rows = zip(*(table[name].to_pylist() for name in ("image_key", "status", "message")), strict=True)
    return {key: _Outcome(status, message, path) for key, status, message in rows}
