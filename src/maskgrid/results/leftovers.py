"""Files of a former config: results for people that this config does not ask for.

They are told by what they were made from, not by being there. ``outputs.json`` lists what the workflow wrote for the
last config, so that it removes its own files alone, and only as it left them. What the network made, in
``candidates``, ``prompted`` and ``tracked``, is kept for a later config.
"""

import logging
import re
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import PIL.Image

from maskgrid.automatic.notes import annotated_origin, annotations_fingerprint, statistics_origin
from maskgrid.config.exports import FOLDER_FORMS
from maskgrid.config.sweep import called
from maskgrid.io.checks import info_of
from maskgrid.io.errors import UserError
from maskgrid.io.files import is_hidden, write_bytes
from maskgrid.io.tables import read_origin, read_table
from maskgrid.plan.layout import TRACKED_DOCUMENTS, TRACKED_FORMS
from maskgrid.plan.plan import Plan
from maskgrid.results.exports.note import read_note
from maskgrid.results.notes import fingerprint_in_tar, fingerprint_in_text

log = logging.getLogger(__name__)

_ACCURACY = ("accuracy", "accuracy_summary")
# Where results for people are, below the results folder.
_PLACES = (
    "report/explorer/*",
    *("annotations/*.json", "exports/polygons/*.json", "exports/sa1b/*.tar", "report/overlays/*.jpg"),
    *(f"exports/{form}/*" for form in FOLDER_FORMS),
    *("prompted/exports/polygons.json", *(f"prompted/exports/{form}" for form in FOLDER_FORMS)),
    *("README.md", "croissant.json", "ground_truth/*.parquet", "ground_truth/shards/*.parquet"),
    *(f"statistics/{name}.parquet" for name in _ACCURACY),
    "tuning/*.parquet",
)

State = list[int]


def tidy(plan: Plan) -> None:
    """Remove what the workflow wrote for a former config, name what else this config does not need, and write the list.

    A file that has changed since, or that somebody else wrote, stays.
    """
    root, path = plan.layout.root, plan.layout.outputs
    wanted = _wanted(plan)
    for name, recorded in _recorded(path).items():
        if (old := root / name) not in wanted and _state(old) == recorded:
            shutil.rmtree(old) if old.is_dir() else old.unlink()
            with suppress(OSError):  # not empty
                old.parent.rmdir()
            log.info("removed %s: this config does not ask for it", old)
    for left in leftovers(plan):
        log.warning("%s was made for another config; it may be deleted", left)
    states = {one.relative_to(root).as_posix(): _state(one) for one in sorted(wanted)}
    record = {name: state for name, state in states.items() if state is not None}
    write_bytes(path, orjson.dumps(record, option=orjson.OPT_INDENT_2))


def leftovers(plan: Plan) -> list[Path]:
    """Our files for people that the config does not ask for, and that were not made from its masks either."""
    root, wanted = plan.layout.root, _wanted(plan)
    dataset = cache(lambda: annotated_origin(plan))

    def is_current(path: Path, made_from: str) -> bool:
        try:
            if path.parent == root / "prompted" / "exports":
                return made_from == str((info_of(plan.layout.prompted_annotations) or {}).get("fingerprint"))
            if path.parent.name == "annotations" or path.parent.parent == root / "exports":
                label = path.name if path.is_dir() else path.stem
                setting = called(plan.settings, label, "annotations")
                return made_from == annotations_fingerprint(setting, dataset())
            is_about_all = path in (plan.layout.card, plan.layout.croissant)
            return is_about_all and made_from == statistics_origin(plan)["fingerprint"]
        except (UserError, KeyError, FileNotFoundError):  # no such setting any more, or no tables: reported elsewhere
            return False

    found = [path for pattern in _PLACES for path in sorted(root.glob(pattern))]
    others = [path for path in found if path not in wanted and not is_hidden(path, root)]
    stray = [path for path in others if (made_from := _made_from(path)) is not None and not is_current(path, made_from)]
    return [*stray, *(path for path in _tracked_exports(plan) if path not in wanted), *_other_jobs(plan)]


def _other_jobs(plan: Plan) -> Iterator[Path]:
    """The folders of jobs that another config asked for."""
    jobs = {plan.layout.prompts.parent: plan.config.prompts, plan.layout.tracked.root: plan.config.tracking}
    for folder, section in jobs.items():
        if section is None and any(folder.rglob("*.parquet")):
            yield folder


def _wanted(plan: Plan) -> set[Path]:
    """The results for people that the config asks for, there or not."""
    layout, exported = plan.layout, plan.exported()
    wanted = {layout.annotations(setting.label) for setting in exported}
    wanted |= {layout.root / "report" / "overlays" / f"{setting.label}.jpg" for setting in exported}
    wanted |= {layout.explorer_data(shard) for shard in plan.shards() if plan.config.explorer == "all"}
    wanted |= {layout.export(form, one.label) for form in plan.config.setting_forms() for one in exported}
    wanted |= {layout.prompted_export(form) for form in plan.config.prompted_forms()}
    if "card" in plan.config.options_by_form():
        wanted |= {layout.card, layout.croissant}
    if plan.ground_truth() is not None:
        wanted |= {layout.statistics(name) for name in _ACCURACY}
        wanted |= {layout.ground_truth(name) for name in ("images", "objects")}
        wanted |= {layout.shard_accuracy(shard) for shard in plan.shards()}
    if plan.config.tune is not None:
        wanted |= {layout.tuning(name) for name in ("settings", "outcome")}
    if plan.config.tracking is not None:
        forms = [form for form in plan.config.tracking.exports if form in TRACKED_FORMS]
        wanted |= {layout.tracked.export(form, run) for form, run in product(forms, _runs(plan))}
        if "overlay" in forms:
            wanted |= {layout.tracked.sheet(run) for run in _runs(plan)}
        if "player" in forms:
            wanted.add(layout.tracked.player)
        wanted |= {layout.tracked.document(form) for form in TRACKED_DOCUMENTS if form in plan.config.tracking.exports}
    return wanted


def _tracked_exports(plan: Plan) -> list[Path]:
    """The existing exports of tracking, for a config that asks for tracking."""
    if plan.config.tracking is None:
        return []
    layout = plan.layout.tracked
    runs = _runs(plan)
    paths = [layout.export(form, run) for form, run in product(TRACKED_FORMS, runs)]
    paths += [layout.player, *map(layout.sheet, runs), *map(layout.document, TRACKED_DOCUMENTS)]
    return [path for path in paths if path.exists()]


def _runs(plan: Plan) -> list[str]:
    jobs = plan.layout.tracked.jobs
    return sorted(set(read_table(jobs, ["run"])["run"].to_pylist())) if jobs.is_file() else []


def _made_from(path: Path) -> str | None:
    """The fingerprint in one of our files; empty if it has none, and None for a file that is not ours."""
    try:
        if path.is_dir():
            return read_note(path).masks
        if path.suffix == ".parquet":
            return read_origin(path).get("fingerprint")
        if path.suffix == ".tar":
            return fingerprint_in_tar(path)
        if path.suffix == ".jpg":
            with PIL.Image.open(path, formats=["JPEG"]) as image:
                comment: bytes = image.info.get("comment", b"")
            return comment.decode("ascii", "replace") if re.fullmatch(rb"[0-9a-f]{64}", comment) else None
        info = info_of(path) if path.suffix == ".json" else None
    except (OSError, UserError, UnicodeDecodeError, tarfile.TarError):
        return None
    if info is not None:
        return str(info.get("fingerprint"))
    return fingerprint_in_text(path) if path.name in ("README.md", "croissant.json") else None


def _recorded(path: Path) -> dict[str, State]:
    try:
        content: Any = orjson.loads(path.read_bytes())
    except (FileNotFoundError, orjson.JSONDecodeError):
        return {}
    return content if isinstance(content, dict) else {}


def _state(path: Path) -> State | None:
    """Sizes and times of a file, or of a folder's files together; None if there is nothing."""
    if path.is_dir():
        states = [one.stat() for one in sorted(path.rglob("*")) if one.is_file()]
        return [len(states), sum(one.st_size for one in states), max((one.st_mtime_ns for one in states), default=0)]
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return [1, found.st_size, found.st_mtime_ns]
