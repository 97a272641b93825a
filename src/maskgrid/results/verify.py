"""The command ``verify``: is a results folder what its config, images and checkpoints make?"""

import re
from collections.abc import Callable, Iterator
from functools import partial
from itertools import product
from pathlib import Path

from maskgrid.automatic.notes import statistics_note
from maskgrid.automatic.verify import (
    SELECTED_FROM,
    check_candidates,
    check_gathered,
    check_index,
    check_merged,
    check_selections,
)
from maskgrid.io.checks import (
    UNNEEDED,
    Problem,
    check_end,
    check_note,
    check_pages,
    check_picture,
    check_table,
    check_tables,
    differs,
)
from maskgrid.io.files import is_part
from maskgrid.io.journal import is_journal
from maskgrid.plan.plan import Plan
from maskgrid.prompted.verify import check_prompted
from maskgrid.results.accuracy.stage import accuracy_note
from maskgrid.results.report.data import report_fingerprint

_TABLES = ("settings", "mask_counts", "summary", "effects", "interactions")


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
            of_index = check_index(plan)
            return [*of_index, *([] if of_index else check_prompted(plan)), *tracked, *_leftovers(plan.layout.root)]
    problems = check_index(plan)
    if problems:  # nothing else of the images can be judged
        return [*problems, *tracked, *_leftovers(plan.layout.root)]
    for shard in plan.shards():
        for run in plan.runs:
            problems += check_candidates(plan, run, shard)
        problems += check_selections(plan, shard)
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


def _check_statistics(plan: Plan) -> Iterator[Problem]:
    paths = [plan.layout.statistics(name) for name in _TABLES]
    yield from check_tables(paths, lambda: statistics_note(plan)["fingerprint"], SELECTED_FROM)


def _check_ground_truth(plan: Plan) -> Iterator[Problem]:
    if plan.ground_truth() is None:
        return
    layout = plan.layout
    for path in (*map(layout.ground_truth, ("images", "objects")), *map(layout.shard_accuracy, plan.shards())):
        yield from check_table(path)
    paths = [layout.statistics(name) for name in ("accuracy", "accuracy_summary")]
    yield from check_tables(paths, lambda: accuracy_note(plan)["fingerprint"], "masks or annotated objects")


def _check_report(plan: Plan) -> Iterator[Problem]:
    folder = plan.layout.root / "report"
    for name in ("index.html", "explorer.html", *(f"overlays/{setting.label}.jpg" for setting in plan.exported())):
        yield from check_picture(folder / name, partial(report_fingerprint, plan))


def _check_tracked(plan: Plan) -> list[Problem]:
    if plan.config.tracking is None:
        return []
    # PyAV and torch, which only those who track have to wait for.
    from maskgrid.tracked.verify import verify_tracked

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
        yield from check_note(path, lambda: statistics_note(plan)["fingerprint"], "another run")


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
    check_gathered,
    check_merged,
    _check_report,
    _check_ground_truth,
    _check_exports,
    check_prompted,
    _check_verdicts,
)
