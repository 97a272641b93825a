"""Check the explorer's data: is each file there, complete, and made from the current candidates?"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from pathlib import Path

from maskgrid.dataset.annotations.region_masks import region_contents
from maskgrid.io.checks import Problem, check_end, check_picture, differs
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import Plan
from maskgrid.results.explorer.notes import explorer_origin
from maskgrid.results.exports.note import note_path, read_note


def check_explorer(plan: Plan, in_full: bool = False) -> Iterator[Problem]:
    """Check the data of all shards.

    Args:
        plan: the plan of the run.
        in_full: also read every file and compare its hash; otherwise its size and its end.
    """
    regions = _regions(plan)
    for shard in plan.shards() if plan.config.explorer == "all" else ():
        yield from _check_shard(plan, shard, regions, in_full)


def _regions(plan: Plan) -> Mapping[str, str]:
    try:
        return region_contents(plan)
    except UserError:  # reported elsewhere
        return {}


def _check_shard(plan: Plan, shard: str, regions: Mapping[str, str], in_full: bool) -> Iterator[Problem]:
    folder = plan.layout.explorer_data(shard)
    if not folder.is_dir():
        yield Problem("missing", folder, "there is no such folder")
        return
    if not (path := note_path(folder)).is_file():
        yield Problem("missing", path, "there is no such file")
        return
    if problems := check_end(path, b"}\n"):
        yield from problems
        return
    try:
        note = read_note(folder)
    except UserError:
        yield Problem("foreign", path, "was not written by maskgrid")
        return
    if differs({"fingerprint": note.masks}, lambda: explorer_origin(plan, shard, regions)["fingerprint"]):
        yield Problem("stale", folder, "was made from other candidates")
        return
    for name, (size_bytes, digest) in note.about["files"].items():
        yield from _check_file(folder / name, size_bytes, digest, note.masks, in_full)


def _check_file(path: Path, size_bytes: int, digest: str, fingerprint: str, in_full: bool) -> Iterator[Problem]:
    problems = check_picture(path, lambda: fingerprint) if path.suffix == ".js" else check_end(path)
    yield from problems
    if problems:
        return
    if path.stat().st_size != size_bytes or (in_full and sha256(path.read_bytes()).hexdigest() != digest):
        yield Problem("damaged", path, "is not as it was written; delete its folder and run again")
