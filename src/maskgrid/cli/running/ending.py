"""What a run leaves: bad inputs by name, the table of settings, and where everything is."""

import re
import shlex
from collections.abc import Iterator, Sequence
from pathlib import Path

from maskgrid.cli.running.stages import Failure
from maskgrid.dataset.extras import extras_lacked
from maskgrid.dataset.pixels.other_formats import INSTALL
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.io.wording import count, some
from maskgrid.plan.plan import Plan
from maskgrid.results.accept import failed_line

_MOST_NAMED = 5
_FRAME = re.compile(
    r"""^(?:
    \w+(?:Error|Exception)?\ in\ .*\b(?:rule|file|checkpoint)\b.*  # where in the workflow
    | File\ ".*  # a line of the stack
    | Wildcards:.* | Traceback.*
    | (?:\w*(?:Error|Exception):\s*)+
    )""",
    re.VERBOSE,
)
_MOST_ROWS = 5  # of the table of settings: a run's output should fit on a screen


def bad_input_lines(plan: Plan, rule: str) -> list[str]:
    """The inputs that a stage could not use, by name and reason: of ``index``, ``prompts`` and ``videos``."""
    tracked = plan.layout.tracked
    tables: dict[str, list[tuple[Path, tuple[str, ...]]]] = {
        "index": [(plan.layout.images, ("image_key",))],
        "prompts": [(plan.layout.prompts, ("image_key", "source_id"))],
        "videos": [(tracked.videos, ("video_key",)), (tracked.prompts, ("video_key", "source_id"))],
    }
    return [line for path, names in tables.get(rule, []) for line in _bad_rows(path, names)]


def _bad_rows(path: Path, names: Sequence[str]) -> Iterator[str]:
    if not path.is_file():
        return
    rows = read_table(path, [*names, "status", "message"], [("status", "!=", "ok")]).to_pylist()
    for row in rows[:_MOST_NAMED]:
        name = ", ".join(str(row[name]) for name in names)
        yield f"    not used: {name}: {row['message'] or row['status']}"
    if len(rows) > _MOST_NAMED:
        yield f"    and {len(rows) - _MOST_NAMED} more, listed in {path}"


def ending_text(plan: Plan, max_rows: int = _MOST_ROWS, same_run: Sequence[str] = ()) -> str:
    """The table of settings, if there is one, what to do next, and the paths of all results that there are.

    Args:
        plan: the plan.
        max_rows: of the table.
        same_run: words that tell another command which config and results folder this run has.
    """
    layout, lines = plan.layout, list[str]()
    if layout.statistics("summary").is_file():
        lines += _table_lines(plan, max_rows, same_run)
    return "\n".join([*lines, *unused_lines(plan), *path_lines(plan)])


def unused_lines(plan: Plan) -> list[str]:
    """A line for the images, prompts and videos that could not be used: how many, the first names, where to look.

    And one for the extras that some of them lack.
    """
    config, layout, found = plan.config, plan.layout, list[str | None]()
    try:
        if (config.is_automatic or config.prompts) and layout.images.is_file():
            found.append(failed_line(plan))
        if config.prompts:
            found.append(_unused(layout.prompts, ("image_key", "source_id"), "prompt"))
        if config.tracking:
            found.append(_unused(layout.tracked.videos, ("video_key",), "video"))
            found.append(_unused(layout.tracked.prompts, ("video_key", "source_id"), "prompt"))
    except UserError as error:  # a damaged table
        found.append(str(error))
    lines = [f"{'not used':<17}{text}" for text in found if text]
    extras = sorted({extra for files in (layout.files, layout.tracked.files) for extra in extras_lacked(files)})
    return [*lines, *([f"{'to read more':<17}{INSTALL}[{','.join(extras)}]', then run again"] if extras else [])]


def _unused(path: Path, names: Sequence[str], noun: str) -> str | None:
    if not path.is_file():
        return None
    n_rows = len(read_table(path, ["status"]))
    rows = read_table(path, [*names, "status"], [("status", "!=", "ok")]).to_pylist()
    if not rows:
        return None
    named = some([f"{', '.join(str(row[name]) for name in names)} ({row['status']})" for row in rows])
    return f"{len(rows):,} of {count(n_rows, noun)}: {named}; reasons in {path}"


def _table_lines(plan: Plan, max_rows: int, same_run: Sequence[str]) -> list[str]:
    from maskgrid.results.statistics.stage import settings_text

    try:
        lines = [settings_text(plan, max_rows).rstrip(), ""]
    except UserError as error:  # statistics of an earlier run, after a failure in this one
        return [str(error), ""]
    if len(plan.settings) > 1:
        lines.insert(1, f"Which setting to take? {shlex.join(['maskgrid', 'recommend', *same_run])}")
    return lines


def path_lines(plan: Plan) -> list[str]:
    """The paths of the results that exist, the pages first."""
    layout = plan.layout
    found = {
        "report": layout.root / "report" / "index.html",
        "explorer": layout.root / "report" / "explorer.html",
        "videos": layout.tracked.page,
        "player": layout.tracked.player,
        "prompts": layout.prompted_worst,
        "COCO": _common([layout.annotations(setting.label) for setting in plan.exported()]),
        "COCO of prompts": layout.prompted_annotations,
        "YouTube-VIS": layout.tracked.document("youtube_vis"),
        "COCO of videos": layout.tracked.document("coco"),
        "mask counts": layout.statistics("mask_counts"),
    }
    return [f"{name:<17}{path}" for name, path in found.items() if path.exists()]


def _common(paths: Sequence[Path]) -> Path:
    return paths[0] if len(paths) == 1 else paths[0].parent


def failure_lines(failures: Sequence[Failure]) -> list[str]:
    """One line for each failed job: what, why, and where its log is."""
    known = list(dict.fromkeys(failures))  # a retried job fails several times
    more = [f"and {count(len(known) - _MOST_NAMED, 'more job')}"] if len(known) > _MOST_NAMED else []
    return [*map(_failure_line, known[:_MOST_NAMED]), *more]


def _failure_line(failure: Failure) -> str:
    name = f"{failure.rule} {failure.which}".strip()
    log = f" (log: {failure.log})" if failure.log else ""
    return f"{name} failed: {_reason(Path(failure.log)) if failure.log else 'see above'}{log}"


def _reason(log: Path) -> str:
    """The message for people in a job's log, else its last line."""
    try:
        lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if line.strip()]
    except OSError:
        return "it wrote no log"
    told = [line.removeprefix("maskgrid: ") for line in lines if line.startswith("maskgrid: ")]
    return (told or lines or ["it wrote nothing"])[-1]


def plain_error(text: str) -> str:
    """An error of Snakemake's without class, rule, file and line of the workflow, and stack."""
    lines = [_FRAME.sub("", line.strip()) for line in text.splitlines()]
    return " ".join(line for line in lines if line) or text.strip()
