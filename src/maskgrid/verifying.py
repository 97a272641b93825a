"""The command ``verify``: is a results folder what its config, images and checkpoints make?"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import orjson

from maskgrid.errors import UserError
from maskgrid.files import is_part
from maskgrid.journal import is_journal
from maskgrid.lineage import (
    accuracy_note,
    annotations_fingerprint,
    network_note,
    selections_note,
    statistics_note,
)
from maskgrid.passes import PassRun, Recording
from maskgrid.plan import Plan
from maskgrid.tables import read_origin, read_table
from maskgrid.weights import checkpoint_id

_TABLES = ("settings", "mask_counts", "summary", "effects")
# What complete files of ours end with.
_ENDS = {".json": b"\n]\n}\n", ".html": b"</html>\n", ".jpg": b"\xff\xd9", ".tar": bytes(1024)}


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not what it should be.

    Attributes:
        kind: missing, truncated, foreign, stale or left over.
        path: which.
        reason: why, for a person.
    """

    kind: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.kind:10} {self.path}: {self.reason}"


def verify_results(plan: Plan) -> list[Problem]:
    """Check every file that the plan asks for, and name what else lies in the folder and is nobody's.

    Footers, beginnings and ends of files are read, not all that is in between.
    """
    problems = _check_index(plan)
    if problems:  # nothing else can be judged
        return problems + list(_leftovers(plan.layout.root))
    for shard in plan.shards():
        for run in plan.runs:
            problems += _check_candidates(plan, run, shard)
        problems += _check_selections(plan, shard)
    problems += [*_check_statistics(plan), *_check_annotations(plan), *_check_report(plan)]
    problems += [*_check_ground_truth(plan), *_check_exports(plan), *_check_prompted(plan), *_check_verdicts(plan)]
    return problems + list(_leftovers(plan.layout.root)) + list(_strangers(plan))


def _check_index(plan: Plan) -> list[Problem]:
    paths = (plan.layout.images, plan.layout.files, plan.layout.shards)
    problems = [problem for path in paths for problem in _check_table(path)]
    return problems or [problem for path in paths[1:] for problem in _same_run(paths[0], path)]


def _check_candidates(plan: Plan, run: PassRun, shard: str) -> Iterator[Problem]:
    folder = checkpoint_id(run.checkpoint)
    path, images = (where(folder, run.pass_.name, shard) for where in (plan.layout.candidates, plan.layout.pass_images))
    problems = [*_check_table(path), *_check_table(images)]
    yield from problems
    if problems:
        return
    yield from _same_run(path, images)
    note = read_origin(path)
    for name, value in {**network_note(plan, run), "images": plan.shard_digests()[shard]}.items():
        if note.get(name) != value:
            yield Problem("stale", path, f"was made with {name} {note.get(name)}, and now it is {value}")
    if not Recording.from_dict(note["recording"]).covers(run.recording):
        yield Problem("stale", path, "holds less than the sweep's thresholds need")


def _check_selections(plan: Plan, shard: str) -> Iterator[Problem]:
    paths = plan.layout.selections(shard), plan.layout.shard_counts(shard)
    problems = [problem for path in paths for problem in _check_table(path)]
    yield from problems or _check_fingerprint(paths, lambda: selections_note(plan, shard)["fingerprint"])


def _check_statistics(plan: Plan) -> Iterator[Problem]:
    paths = tuple(plan.layout.statistics(name) for name in _TABLES)
    problems = [problem for path in paths for problem in _check_table(path)]
    yield from problems or _check_fingerprint(paths, lambda: statistics_note(plan)["fingerprint"])


def _check_ground_truth(plan: Plan) -> Iterator[Problem]:
    if plan.ground_truth() is None:
        return
    layout = plan.layout
    for path in (*map(layout.ground_truth, ("images", "objects")), *map(layout.shard_accuracy, plan.shards())):
        yield from _check_table(path)
    paths = layout.statistics("accuracy"), layout.statistics("accuracy_summary")
    problems = [problem for path in paths for problem in _check_table(path)]
    yield from problems or _check_fingerprint(paths, lambda: accuracy_note(plan)["fingerprint"])


def _check_annotations(plan: Plan) -> Iterator[Problem]:
    for setting in plan.exported():
        path = plan.layout.annotations(setting.label)
        problems = _check_annotations_file(path)
        yield from problems
        if not problems and _differs(_info_of(path), partial(annotations_fingerprint, plan, setting)):
            yield Problem("stale", path, "was made from other masks or settings")


def _check_annotations_file(path: Path) -> list[Problem]:
    if path.is_file() and _info_of(path) is None:
        return [Problem("foreign", path, "was not written by maskgrid")]
    return _check_end(path)


def _check_report(plan: Plan) -> Iterator[Problem]:
    folder = plan.layout.root / "report"
    for name in ("index.html", "explorer.html", *(f"overlays/{setting.label}.jpg" for setting in plan.exported())):
        yield from _check_end(folder / name)


def _check_prompted(plan: Plan) -> Iterator[Problem]:
    if plan.config.prompts is None:
        return
    layout = plan.layout
    for path in (layout.prompts, *map(layout.prompted, plan.shards()), layout.prompted_statistics):
        yield from _check_table(path)
    yield from _check_annotations_file(layout.prompted_annotations)
    yield from _check_end(layout.prompted_worst)


def _check_exports(plan: Plan) -> Iterator[Problem]:
    """Other forms of the annotations, and the card with its metadata."""
    layout = plan.layout
    for form, setting in product(plan.config.exports, plan.exported()):
        if form != "card":
            yield from _check_end(layout.export(form, setting.label))
    if "card" in plan.config.exports:
        for path, end in ((layout.card, b" -->\n"), (layout.croissant, b"}\n")):
            problems = _check_end(path, end)
            yield from problems
            if not problems and _differs(_note_in(path), lambda: statistics_note(plan)["fingerprint"]):
                yield Problem("stale", path, "tells of another run")


def _note_in(path: Path) -> dict[str, str]:
    """The fingerprint that a text names."""
    found = re.search(rb"fingerprint:? ([0-9a-f]{64})", path.read_bytes())
    return {"fingerprint": found[1].decode() if found else ""}


def _check_verdicts(plan: Plan) -> Iterator[Problem]:
    for path in (plan.layout.accepted, plan.layout.provenance):
        if not path.is_file():
            yield Problem("missing", path, "there is no such file")
            continue
        try:
            content: Any = orjson.loads(path.read_bytes())
        except orjson.JSONDecodeError:
            yield Problem("truncated", path, "is not complete JSON")
            continue
        if _differs(content, lambda: statistics_note(plan)["fingerprint"]):
            yield Problem("stale", path, "tells of another run")


def _leftovers(root: Path) -> Iterator[Problem]:
    for path in sorted(root.rglob(".*")):
        if is_part(path) or (is_journal(path) and path.is_dir()):
            yield Problem("left over", path, "of a process that was killed, unless one is still at work")


def _strangers(plan: Plan) -> Iterator[Problem]:
    """Files of nobody among the tables; candidates of passes that are not asked for now are kept for later."""
    root, shards = plan.layout.root, set(plan.shards())
    for folder in ("candidates", "selections"):
        for path in sorted((root / folder).rglob("*")):
            if not path.is_file() or any(part.startswith(".") for part in path.relative_to(root).parts):
                continue
            if path.suffix != ".parquet":
                yield Problem("foreign", path, "was not written by maskgrid")
            elif path.name.split(".")[0] not in shards:
                yield Problem("stale", path, "is of a shard that the index does not have any more")


def _check_table(path: Path) -> list[Problem]:
    if not path.is_file():
        return [Problem("missing", path, "there is no such file")]
    try:
        if "fingerprint" not in read_origin(path):
            return [Problem("foreign", path, "was not written by maskgrid")]
        read_table(path, columns=[])
    except UserError:
        return [Problem("truncated", path, "is not a complete Parquet file")]
    return []


def _same_run(path: Path, other: Path) -> Iterator[Problem]:
    if read_origin(path)["fingerprint"] != read_origin(other)["fingerprint"]:
        yield Problem("stale", other, f"is not of the same run as {path.name}")


def _check_fingerprint(paths: tuple[Path, ...], expected: Callable[[], str]) -> Iterator[Problem]:
    for path in paths:
        if _differs(read_origin(path), expected):
            yield Problem("stale", path, "was made from other candidates or settings")


def _differs(note: Any, expected: Callable[[], str]) -> bool:  # noqa: ANN401
    """Tell whether a note has another fingerprint than expected; not where the sources are amiss, which is named."""
    try:
        made = expected()
    except (UserError, KeyError):
        return False
    return not isinstance(note, dict) or note.get("fingerprint") != made


def _info_of(path: Path) -> dict[str, Any] | None:
    """The entry ``info`` of a COCO file of ours, which stands on its second line."""
    with path.open("rb") as stream:
        first, second = stream.readline(), stream.readline(1 << 20)
    try:
        entry = orjson.loads(b"{" + second.rstrip().removesuffix(b",") + b"}")
    except orjson.JSONDecodeError:
        return None
    info = entry.get("info") if first == b"{\n" else None
    return info if isinstance(info, dict) and "maskgrid_version" in info else None


def _check_end(path: Path, end: bytes | None = None) -> list[Problem]:
    if not path.is_file():
        return [Problem("missing", path, "there is no such file")]
    end = end or _ENDS[path.suffix]
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(end)))
        return [] if stream.read() == end else [Problem("truncated", path, "ends in the middle")]
