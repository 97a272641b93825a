"""The command ``verify``: is a results folder what its config, images and checkpoints make?"""

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from maskgrid.file_checks import (
    UNNEEDED,
    Problem,
    check_annotations,
    check_end,
    check_pages,
    check_picture,
    check_table,
    check_tables,
    differs,
    same_run,
)
from maskgrid.files import is_part
from maskgrid.journal import is_journal
from maskgrid.lineage import (
    accuracy_note,
    annotations_fingerprint,
    dataset_note,
    gathered_note,
    network_note,
    report_fingerprint,
    selections_note,
    statistics_note,
)
from maskgrid.passes import PassRun, Recording
from maskgrid.plan import Plan
from maskgrid.prompted_checks import check_prompted
from maskgrid.settings import Setting
from maskgrid.tables import read_origin
from maskgrid.weights import checkpoint_id

_TABLES = ("settings", "mask_counts", "summary", "effects", "interactions")
_SELECTED_FROM = "candidates or settings"


def verify_results(plan: Plan, pages: bool = False) -> list[Problem]:
    """Check every file that the plan asks for, and name what else lies in the folder and is nobody's.

    Args:
        plan: what there should be.
        pages: first read every table as a whole, against its checksums; where some are damaged, only these are named.
            Without, footers, beginnings and ends of files are read, not all that is in between.
    """
    # What tables say that are damaged within is not to be judged by.
    return (_check_pages(plan.layout.root) if pages else []) or _check_all(plan)


def _check_all(plan: Plan) -> list[Problem]:
    tracked = _check_tracked(plan)
    if not _is_main_job_begun(plan):
        if plan.config.tracking is not None and not plan.layout.images.is_file():
            return [*tracked, *_leftovers(plan.layout.root)]  # snakemake tracked, and no more
        if plan.config.prompts is not None and plan.layout.prompts.is_file():
            of_index = _check_index(plan)
            return [*of_index, *([] if of_index else check_prompted(plan)), *tracked, *_leftovers(plan.layout.root)]
    problems = _check_index(plan)
    if problems:  # nothing else of the images can be judged
        return [*problems, *tracked, *_leftovers(plan.layout.root)]
    for shard in plan.shards():
        for run in plan.runs:
            problems += _check_candidates(plan, run, shard)
        problems += _check_selections(plan, shard)
    for check in _OF_DATASET:
        problems += check(plan)
    problems += tracked
    return problems + list(_leftovers(plan.layout.root)) + list(_strangers(plan))


def _is_main_job_begun(plan: Plan) -> bool:
    """Whether there is anything of automatic masks: ``snakemake prompted`` and ``snakemake tracked`` leave them out."""
    return any((plan.layout.root / name).is_dir() for name in ("candidates", "selections", "statistics"))


def _check_pages(root: Path) -> list[Problem]:
    """All complete tables of the folder."""
    tables = (path for path in sorted(root.rglob("*.parquet")) if not _is_hidden(path, root) and not check_table(path))
    return [problem for path in tables for problem in check_pages(path)]


def _check_index(plan: Plan) -> list[Problem]:
    paths = (plan.layout.images, plan.layout.files, plan.layout.shards, plan.layout.archives)
    problems = [problem for path in paths for problem in check_table(path)]
    return problems or [problem for path in paths[1:] for problem in same_run(paths[0], path)]


def _check_candidates(plan: Plan, run: PassRun, shard: str) -> Iterator[Problem]:
    folder = checkpoint_id(run.checkpoint)
    path, images = (where(folder, run.pass_.name, shard) for where in (plan.layout.candidates, plan.layout.pass_images))
    problems = [*check_table(path), *check_table(images)]
    yield from problems
    if problems:
        return
    yield from same_run(path, images)
    note = read_origin(path)
    for name, value in {**network_note(plan, run), "images": plan.shard_digests()[shard]}.items():
        if note.get(name) != value:
            yield Problem("stale", path, f"was made with {name} {note.get(name)}, and now it is {value}")
    if not Recording.from_dict(note["recording"]).covers(run.recording):
        yield Problem("stale", path, "holds less than the sweep's thresholds need")


def _check_selections(plan: Plan, shard: str) -> Iterator[Problem]:
    paths = plan.layout.selections(shard), plan.layout.shard_counts(shard)
    yield from check_tables(paths, lambda: selections_note(plan, shard)["fingerprint"], _SELECTED_FROM)


def _check_statistics(plan: Plan) -> Iterator[Problem]:
    paths = [plan.layout.statistics(name) for name in _TABLES]
    yield from check_tables(paths, lambda: statistics_note(plan)["fingerprint"], _SELECTED_FROM)


def _check_ground_truth(plan: Plan) -> Iterator[Problem]:
    if plan.ground_truth() is None:
        return
    layout = plan.layout
    for path in (*map(layout.ground_truth, ("images", "objects")), *map(layout.shard_accuracy, plan.shards())):
        yield from check_table(path)
    paths = [layout.statistics(name) for name in ("accuracy", "accuracy_summary")]
    yield from check_tables(paths, lambda: accuracy_note(plan)["fingerprint"], "masks or annotated objects")


def _check_gathered(plan: Plan) -> Iterator[Problem]:
    return _check_note(plan.layout.gathered, lambda: gathered_note(plan)["fingerprint"], "other selections")


def _check_annotations(plan: Plan) -> Iterator[Problem]:
    note = cache(partial(dataset_note, plan))  # a footer of each shard, read once for all settings
    for setting in plan.exported():

        def expected(setting: Setting = setting) -> str:
            return annotations_fingerprint(plan, setting, note())

        yield from check_annotations(plan.layout.annotations(setting.label), expected, "masks or settings")


def _check_report(plan: Plan) -> Iterator[Problem]:
    folder = plan.layout.root / "report"
    for name in ("index.html", "explorer.html", *(f"overlays/{setting.label}.jpg" for setting in plan.exported())):
        yield from check_picture(folder / name, partial(report_fingerprint, plan))


def _check_tracked(plan: Plan) -> list[Problem]:
    if plan.config.tracking is None:
        return []
    # PyAV and torch, which only those who track have to wait for.
    from maskgrid.video.verifying import verify_tracked

    return verify_tracked(plan)


def _check_exports(plan: Plan) -> Iterator[Problem]:
    """Other forms of the annotations, and the card with its metadata."""
    layout = plan.layout
    for form, setting in product(plan.config.exports, plan.exported()):
        if form != "card":
            yield from check_end(layout.export(form, setting.label))
    if "card" in plan.config.exports:
        for path, end in ((layout.card, b" -->\n"), (layout.croissant, b"}\n")):
            problems = check_end(path, end)
            yield from problems
            if not problems and differs(_note_in(path), lambda: statistics_note(plan)["fingerprint"]):
                yield Problem("stale", path, "tells of another run")


def _note_in(path: Path) -> dict[str, str]:
    """The fingerprint that a text names."""
    found = re.search(rb"fingerprint:? ([0-9a-f]{64})", path.read_bytes())
    return {"fingerprint": found[1].decode() if found else ""}


def _check_verdicts(plan: Plan) -> Iterator[Problem]:
    for path in (plan.layout.accepted, plan.layout.provenance):
        yield from _check_note(path, lambda: statistics_note(plan)["fingerprint"], "another run")


def _check_note(path: Path, expected: Callable[[], str], other: str) -> Iterator[Problem]:
    """A small JSON file with a fingerprint: there, whole, and of what lies there now."""
    if not path.is_file():
        yield Problem("missing", path, "there is no such file")
        return
    try:
        content: Any = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        yield Problem("truncated", path, "is not complete JSON")
        return
    if differs(content, expected):
        yield Problem("stale", path, f"tells of {other}")


def _leftovers(root: Path) -> Iterator[Problem]:
    for path in sorted(root.rglob(".*")):
        if is_part(path) or (is_journal(path) and path.is_dir()):
            yield Problem("left over", path, "of a process that was killed, unless one is still at work")


def _strangers(plan: Plan) -> Iterator[Problem]:
    """Files of nobody among the tables; candidates of passes that are not asked for now are kept for later."""
    root, shards = plan.layout.root, set(plan.shards())
    for folder in ("candidates", "selections"):
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or _is_hidden(path, root):
                continue
            if path.suffix != ".parquet":
                yield Problem("foreign", path, "was not written by maskgrid")
            elif path.name.split(".")[0] not in shards:
                yield Problem(UNNEEDED, path, "is of a shard that the index does not have any more; it may be deleted")


def _is_hidden(path: Path, root: Path) -> bool:
    return any(part.startswith(".") for part in path.relative_to(root).parts)


# The outputs of the whole dataset: each check names what is amiss with the files of one job, if the config asks for it.
_OF_DATASET: tuple[Callable[[Plan], Iterator[Problem]], ...] = (
    _check_statistics,
    _check_gathered,
    _check_annotations,
    _check_report,
    _check_ground_truth,
    _check_exports,
    check_prompted,
    _check_verdicts,
)
