"""The stage ``masklets``: the groups of a run as one table, the same whatever the groups were."""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.errors import UserError
from maskgrid.fingerprint import fingerprint
from maskgrid.plan import Plan
from maskgrid.tables import open_file, read_origin, write_batches
from maskgrid.video.jobs import read_jobs
from maskgrid.video.schemas import MASKLETS

log = logging.getLogger(__name__)

Note = dict[str, Any]


def join_masklets(plan: Plan, run: str) -> None:
    """Write ``tracked/masklets/{run}.parquet``: a row an object and frame, a row group an object.

    Raises:
        UserError: a group has not been tracked, or groups do not belong together.
    """
    layout = plan.layout.tracked
    paths = [layout.part(run, job.group) for job in read_jobs(layout.jobs, run)]
    note = masklets_note(paths)
    write_batches(layout.masklets(run), MASKLETS, _tables(paths), note)
    log.info("%s", layout.masklets(run))


def masklets_note(paths: list[Path]) -> Note:
    """What the masklets of a run are made from, from the notes of its groups; the same whatever the groups were.

    Raises:
        UserError: a group is missing or cut off, or the groups do not belong together.
    """
    notes = [_part_note(path) for path in paths]
    content = {name: value for name, value in notes[0].items() if name not in ("fingerprint", "schema_version")}
    content["objects"] = {}
    for path, note in zip(paths, notes, strict=True):
        if any(note[name] != content[name] for name in content if name not in ("objects", "status", "message")):
            raise UserError(f"{path}: was made otherwise than {paths[0].name}; run maskgrid track for this group again")
        content["objects"] |= note["objects"]
        if note["status"] != "ok" and content["status"] == "ok":
            content |= {"status": note["status"], "message": note["message"]}
    return {**content, "fingerprint": fingerprint(content)}


def _part_note(path: Path) -> Note:
    note = read_origin(path)
    if "objects" not in note:
        raise UserError(f"{path}: was not written by maskgrid track; delete it and run again")
    return note


def _tables(paths: list[Path]) -> Iterator[pa.Table]:
    """The row groups of all parts, which hold an object each; the empty one only where there is no other."""
    n_rows = 0
    for path in paths:
        with open_file(path) as part:
            for number in range(part.num_row_groups):
                table = part.read_row_group(number)
                n_rows += len(table)
                if len(table):
                    yield table
    if not n_rows:
        yield MASKLETS.empty_table()
