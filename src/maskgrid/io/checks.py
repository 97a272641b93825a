"""Checks of single files: is it there, complete, of ours, and made from what it should be?"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import PIL.Image
import pyarrow as pa

from maskgrid.io.errors import UserError
from maskgrid.io.tables import open_table, read_origin, read_table

# What complete files of ours end with.
_ENDS = {".json": b"\n]\n}\n", ".html": b"</html>\n", ".jpg": b"\xff\xd9", ".tar": bytes(1024)}
_PAGE = re.compile(rb'<meta name="maskgrid-fingerprint" content="([0-9a-f]{64})">')

UNNEEDED = "unneeded"  # harmless: results of images that have moved on


@dataclass(frozen=True, slots=True)
class Problem:
    """A file that is not what it should be.

    Attributes:
        kind: missing, truncated, damaged, foreign, stale, left over or unneeded.
        path: which.
        reason: why, for a person.
    """

    kind: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.kind:10} {self.path}: {self.reason}"


def check_table(path: Path) -> list[Problem]:
    """A Parquet table: there, complete, and of ours."""
    if not path.is_file():
        return [Problem("missing", path, "there is no such file")]
    try:
        if "fingerprint" not in read_origin(path):
            return [Problem("foreign", path, "was not written by maskgrid")]
        read_table(path, columns=[])
    except UserError:
        return [Problem("truncated", path, "is not a complete Parquet file")]
    return []


def check_pages(path: Path) -> list[Problem]:
    """A Parquet table that is complete: what lies between its beginning and its end, against the pages' checksums."""
    try:
        _, batches = open_table(path, None)
        for batch in batches:
            batch.validate(full=True)
    except (UserError, pa.ArrowException):
        return [Problem("damaged", path, "does not hold what was written to it; delete it and run again")]
    return []


def same_run(path: Path, other: Path) -> Iterator[Problem]:
    """Two tables that one job writes."""
    if read_origin(path)["fingerprint"] != read_origin(other)["fingerprint"]:
        yield Problem("stale", other, f"is not of the same run as {path.name}")


def check_tables(paths: Sequence[Path], expected: Callable[[], str], made_from: str) -> Iterator[Problem]:
    """Tables that are complete, and made from what they should be, which is ``made_from`` in words."""
    problems = [problem for path in paths for problem in check_table(path)]
    yield from problems
    for path in paths if not problems else ():
        if differs(read_origin(path), expected):
            yield Problem("stale", path, f"was made from other {made_from}")


def check_annotations(path: Path, expected: Callable[[], str], made_from: str) -> list[Problem]:
    """A COCO file, whose ``info`` has its fingerprint."""
    if path.is_file() and info_of(path) is None:
        return [Problem("foreign", path, "was not written by maskgrid")]
    problems = check_end(path)
    if not problems and differs(info_of(path), expected):
        return [Problem("stale", path, f"was made from other {made_from}")]
    return problems


def check_picture(path: Path, expected: Callable[[], str]) -> list[Problem]:
    """A page or a JPEG, which carries its fingerprint in its head."""
    problems = check_end(path)
    if not problems and differs({"fingerprint": _fingerprint_of(path)}, expected):
        return [Problem("stale", path, "was made from other tables than those that lie there")]
    return problems


def differs(origin: Any, expected: Callable[[], str]) -> bool:  # noqa: ANN401
    """Tell whether an origin has another fingerprint than expected; not where the sources are amiss, which is named."""
    try:
        made = expected()
    except (UserError, KeyError):
        return False
    return not isinstance(origin, dict) or origin.get("fingerprint") != made


def info_of(path: Path) -> dict[str, Any] | None:
    """The entry ``info`` of a COCO file of ours, which stands on its second line."""
    with path.open("rb") as stream:
        first, second = stream.readline(), stream.readline(1 << 20)
    try:
        entry = orjson.loads(b"{" + second.rstrip().removesuffix(b",") + b"}")
    except orjson.JSONDecodeError:
        return None
    info = entry.get("info") if first == b"{\n" else None
    return info if isinstance(info, dict) and "maskgrid_version" in info else None


def check_end(path: Path, end: bytes | None = None) -> list[Problem]:
    """A file that is there and ends as it should: by default as complete ones of its suffix do."""
    if not path.is_file():
        return [Problem("missing", path, "there is no such file")]
    if path.suffix == ".webp":
        return [] if _is_whole_riff(path) else [Problem("truncated", path, "ends in the middle")]
    end = end or _ENDS[path.suffix]
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(end)))
        return [] if stream.read() == end else [Problem("truncated", path, "ends in the middle")]


def _is_whole_riff(path: Path) -> bool:
    """Tell whether a file is as long as its RIFF header says."""
    with path.open("rb") as stream:
        head = stream.read(8)
    return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 == path.stat().st_size


def _fingerprint_of(path: Path) -> str | None:
    if path.suffix == ".html":
        with path.open("rb") as stream:
            found = _PAGE.search(stream.read(1 << 12))
        return found[1].decode() if found else None
    with PIL.Image.open(path, formats=["JPEG"]) as image:
        comment: bytes = image.info.get("comment", b"")
    return comment.decode("ascii", "replace")


def check_origin(path: Path, expected: Callable[[], str], other: str) -> Iterator[Problem]:
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
