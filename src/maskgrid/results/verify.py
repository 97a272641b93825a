"""The command ``verify``: check that a results folder matches its config, images and checkpoints."""

import re
from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from pathlib import Path

from maskgrid.automatic import verify as automatic
from maskgrid.automatic.notes import annotations_fingerprint, dataset_origin, statistics_origin
from maskgrid.config.settings import Setting
from maskgrid.io.checks import (
    UNNEEDED,
    Problem,
    check_end,
    check_origin,
    check_pages,
    check_picture,
    check_table,
    check_tables,
    differs,
    info_of,
)
from maskgrid.io.files import is_hidden, is_part
from maskgrid.io.journal import is_journal
from maskgrid.plan.plan import Plan
from maskgrid.prompted import verify as prompted
from maskgrid.results.leftovers import leftovers
from maskgrid.results.notes import accuracy_origin, fingerprint_in_tar, report_fingerprint, truth_origin
from maskgrid.tracked import verify as tracked

_TABLES = ("settings", "mask_counts", "summary", "effects", "interactions")


def verify_results(plan: Plan, pages: bool = False) -> list[Problem]:
    """Check every file that the plan asks for, and report leftovers of killed processes.

    Args:
        plan: the plan of the run.
        pages: first read every table completely and check its checksums; if some are damaged, report only those.
            Otherwise, read only the beginnings and ends of files, and tables' footers.
    """
    # Damaged tables cannot be used to check others.
    return (_check_pages(plan.layout.root) if pages else []) or _check_all(plan)


def _check_all(plan: Plan) -> list[Problem]:
    """Check the jobs that have begun; if none has, the automatic one, whose files are all missing then."""
    problems = list(_leftovers(plan.layout.root))
    has_prompts, has_tracking = prompted.is_begun(plan), tracked.is_begun(plan)
    is_automatic = plan.config.is_automatic and (automatic.is_begun(plan) or not (has_prompts or has_tracking))
    if is_automatic or has_prompts:
        of_index = automatic.check_index(plan)
        problems += of_index
        if not of_index:  # without an index, no results of images can be checked
            problems += automatic.check_source(plan)
            problems += [*automatic.verify(plan), *_verify(plan)] if is_automatic else []
            problems += prompted.verify(plan)
    return [*problems, *(tracked.verify(plan) if has_tracking else ())]


def _verify(plan: Plan) -> Iterator[Problem]:
    """Check everything made from the masks of all settings."""
    for check in (
        _check_statistics,
        _check_report,
        _check_ground_truth,
        _check_exports,
        _check_verdicts,
        _check_leftovers,
    ):
        yield from check(plan)


def _check_pages(root: Path) -> list[Problem]:
    """Check the pages of all complete tables in the folder."""
    tables = (path for path in sorted(root.rglob("*.parquet")) if not is_hidden(path, root) and not check_table(path))
    return [problem for path in tables for problem in check_pages(path)]


def _check_statistics(plan: Plan) -> Iterator[Problem]:
    paths = [plan.layout.statistics(name) for name in _TABLES]
    yield from check_tables(paths, lambda: statistics_origin(plan)["fingerprint"], automatic.SELECTED_FROM)


def _check_ground_truth(plan: Plan) -> Iterator[Problem]:
    truth = plan.ground_truth()
    if truth is None:
        return
    layout = plan.layout
    tables = [layout.ground_truth(name) for name in ("images", "objects")]
    yield from check_tables(tables, lambda: truth_origin(plan, truth)["fingerprint"], "annotations or images")
    for path in map(layout.shard_accuracy, plan.shards()):
        yield from check_table(path)
    paths = [layout.statistics(name) for name in ("accuracy", "accuracy_summary")]
    yield from check_tables(paths, lambda: accuracy_origin(plan)["fingerprint"], "masks or annotated objects")


def _check_report(plan: Plan) -> Iterator[Problem]:
    folder = plan.layout.root / "report"
    for name in ("index.html", "explorer.html", *(f"overlays/{setting.label}.jpg" for setting in plan.exported())):
        yield from check_picture(folder / name, partial(report_fingerprint, plan))


def _check_exports(plan: Plan) -> Iterator[Problem]:
    """Check other forms of the annotations, and the card with its metadata."""
    layout = plan.layout
    dataset = cache(partial(dataset_origin, plan))
    for form, setting in product(plan.config.exports, plan.exported()):
        if form != "card":

            def expected(setting: Setting = setting) -> str:
                return annotations_fingerprint(setting, dataset())

            yield from _check_export(layout.export(form, setting.label), expected)
    if "card" in plan.config.exports:
        for path, end in ((layout.card, b" -->\n"), (layout.croissant, b"}\n")):
            problems = check_end(path, end)
            yield from problems
            if not problems and differs(_origin_in(path), lambda: statistics_origin(plan)["fingerprint"]):
                yield Problem("stale", path, "is about another run")


def _check_export(path: Path, expected: Callable[[], str]) -> Iterator[Problem]:
    problems = check_end(path)
    yield from problems
    if problems:
        return
    made_from = fingerprint_in_tar(path) if path.suffix == ".tar" else (info_of(path) or {}).get("fingerprint")
    # Archives of earlier versions do not say.
    if made_from != "" and differs({"fingerprint": made_from}, expected):
        yield Problem("stale", path, "was made from other masks or settings")


def _origin_in(path: Path) -> dict[str, str]:
    """The fingerprint in a text file."""
    found = re.search(rb"fingerprint:? ([0-9a-f]{64})", path.read_bytes())
    return {"fingerprint": found[1].decode() if found else ""}


def _check_verdicts(plan: Plan) -> Iterator[Problem]:
    for path in (plan.layout.accepted, plan.layout.provenance):
        yield from check_origin(path, lambda: statistics_origin(plan)["fingerprint"], "another run")


def _check_leftovers(plan: Plan) -> Iterator[Problem]:
    """Name results of a former config."""
    for path in leftovers(plan):
        yield Problem(UNNEEDED, path, "was made for another config; it may be deleted")


def _leftovers(root: Path) -> Iterator[Problem]:
    for path in sorted(root.rglob(".*")):
        if is_part(path) or (is_journal(path) and path.is_dir()):
            yield Problem("left over", path, "of a killed process, unless one is still running")
