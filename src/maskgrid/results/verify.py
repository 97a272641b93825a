"""The command ``verify``: check that a results folder matches its config, images and checkpoints."""

from collections.abc import Callable, Iterator
from functools import cache, partial
from itertools import product
from pathlib import Path
from typing import Any

from maskgrid.automatic import verify as automatic
from maskgrid.automatic.notes import annotated_origin, annotations_fingerprint, statistics_origin
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
from maskgrid.io.errors import UserError
from maskgrid.io.files import is_hidden, is_part
from maskgrid.io.journal import is_journal
from maskgrid.plan.plan import Plan
from maskgrid.prompted import verify as prompted
from maskgrid.results.explorer.verify import check_explorer
from maskgrid.results.exports.note import n_files_in, read_note
from maskgrid.results.leftovers import leftovers
from maskgrid.results.notes import (
    accuracy_origin,
    fingerprint_in_tar,
    fingerprint_in_text,
    report_fingerprint,
    truth_origin,
    tuning_origin,
)
from maskgrid.tracked import verify as tracked

_TABLES = ("settings", "mask_counts", "summary", "effects", "interactions")


def verify_results(plan: Plan, pages: bool = False) -> list[Problem]:
    """Check every file that the plan asks for, and report leftovers of killed processes.

    Args:
        plan: the plan of the run.
        pages: first read every table completely and check its checksums; if some are damaged, report only those. Then
            also read the explorer's data and check their hashes.
            Otherwise, read only the beginnings and ends of files, and tables' footers.
    """
    # Damaged tables cannot be used to check others.
    return (_check_pages(plan.layout.root) if pages else []) or _check_all(plan, pages)


def _check_all(plan: Plan, pages: bool) -> list[Problem]:
    """Check the jobs that have begun; if none has, the automatic one, whose files are all missing then."""
    problems = list(_leftovers(plan.layout.root))
    has_prompts, has_tracking = prompted.is_begun(plan), tracked.is_begun(plan)
    is_automatic = plan.config.is_automatic and (automatic.is_begun(plan) or not (has_prompts or has_tracking))
    if is_automatic or has_prompts:
        of_index = automatic.check_index(plan)
        problems += of_index
        if not of_index:  # without an index, no results of images can be checked
            problems += automatic.check_source(plan)
            problems += [*automatic.verify(plan), *_verify(plan, pages)] if is_automatic else []
            problems += [*prompted.verify(plan), *_check_prompted_exports(plan)]
    return [*problems, *(tracked.verify(plan) if has_tracking else ())]


def _verify(plan: Plan, pages: bool) -> Iterator[Problem]:
    """Check everything made from the masks of all settings."""
    for check in (
        _check_statistics,
        _check_report,
        _check_ground_truth,
        _check_tuning,
        _check_exports,
        _check_verdicts,
        _check_leftovers,
    ):
        yield from check(plan)
    yield from check_explorer(plan, pages)


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


def _check_tuning(plan: Plan) -> Iterator[Problem]:
    if plan.config.tune is not None:
        paths = [plan.layout.tuning(name) for name in ("settings", "outcome")]
        yield from check_tables(paths, lambda: tuning_origin(plan)["fingerprint"], "masks, objects or section tune")


def _check_report(plan: Plan) -> Iterator[Problem]:
    folder = plan.layout.root / "report"
    for name in (
        "index.html",
        "explorer.html",
        "explorer/images.js",
        *(f"overlays/{setting.label}.jpg" for setting in plan.exported()),
    ):
        yield from check_picture(folder / name, partial(report_fingerprint, plan))


def _check_exports(plan: Plan) -> Iterator[Problem]:
    """Check other forms of the annotations, and the card with its metadata."""
    layout = plan.layout
    dataset = cache(partial(annotated_origin, plan))
    for form, setting in product(plan.config.setting_forms(), plan.exported()):

        def expected(setting: Setting = setting) -> str:
            return annotations_fingerprint(setting, dataset())

        yield from _check_export(plan, form, layout.export(form, setting.label), expected)
    if "card" in plan.config.options_by_form():
        for path, end in ((layout.card, b" -->\n"), (layout.croissant, b"}\n")):
            problems = check_end(path, end)
            yield from problems
            if not problems and differs(
                {"fingerprint": fingerprint_in_text(path)}, lambda: statistics_origin(plan)["fingerprint"]
            ):
                yield Problem("stale", path, "is about another run")


def _check_prompted_exports(plan: Plan) -> Iterator[Problem]:
    """Check other forms of the prompted masks."""
    annotations = plan.layout.prompted_annotations
    if not annotations.is_file():  # reported already
        return

    def masks() -> str:
        return str((info_of(annotations) or {}).get("fingerprint"))

    for form in plan.config.prompted_forms():
        yield from _check_export(plan, form, plan.layout.prompted_export(form), masks)


def _check_export(plan: Plan, form: str, path: Path, expected: Callable[[], str]) -> Iterator[Problem]:
    options = plan.config.options_by_form()[form].model_dump(mode="json")
    if form not in ("sa1b", "polygons"):
        yield from _check_folder(path, options, expected)
        return
    problems = check_end(path)
    yield from problems
    if problems:
        return
    info = (info_of(path) or {}) if form == "polygons" else dict[str, Any](fingerprint=fingerprint_in_tar(path))
    # Archives of earlier versions do not say.
    if info.get("fingerprint") != "" and differs(info, expected):
        yield Problem("stale", path, "was made from other masks or settings")
    elif form == "polygons" and info.get("polygons", {}).get("tolerance_px") != options["tolerance_px"]:
        yield Problem("stale", path, "was made with another tolerance_px")


def _check_folder(path: Path, options: dict[str, Any], expected: Callable[[], str]) -> Iterator[Problem]:
    if not path.is_dir():
        yield Problem("missing", path, "there is no such folder")
        return
    try:
        note = read_note(path)
    except UserError:
        yield Problem("foreign", path, "was not written by maskgrid")
        return
    if n_files_in(path) < note.n_files:  # tools add their own, such as Ultralytics' caches
        yield Problem("damaged", path, f"had {note.n_files} files when it was written; delete it and run again")
    elif differs({"fingerprint": note.masks}, expected):
        yield Problem("stale", path, "was made from other masks or settings")
    elif note.options != options:
        yield Problem("stale", path, "was made with other options")


def _check_verdicts(plan: Plan) -> Iterator[Problem]:
    for path in (plan.layout.accepted, plan.layout.provenance):
        yield from check_origin(path, lambda: statistics_origin(plan)["fingerprint"], "another run")
    yield from check_picture(plan.layout.report_provenance, partial(report_fingerprint, plan))


def _check_leftovers(plan: Plan) -> Iterator[Problem]:
    """Name results of a former config."""
    for path in leftovers(plan):
        yield Problem(UNNEEDED, path, "was made for another config; it may be deleted")


def _leftovers(root: Path) -> Iterator[Problem]:
    for path in sorted(root.rglob(".*")):
        if is_part(path) or (is_journal(path) and path.is_dir()):
            yield Problem("left over", path, "of a killed process, unless one is still running")
