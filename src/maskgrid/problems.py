"""Files that are not what they should be, and how one tells."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from maskgrid.errors import UserError
from maskgrid.tables import read_origin, read_table

# What complete files of ours end with.
_ENDS = {".json": b"\n]\n}\n", ".html": b"</html>\n", ".jpg": b"\xff\xd9"}


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


def check_table(path: Path) -> list[Problem]:
    """Check that a table of ours is there and complete."""
    if not path.is_file():
        return [Problem("missing", path, "there is no such file")]
    try:
        if "fingerprint" not in read_origin(path):
            return [Problem("foreign", path, "was not written by maskgrid")]
        read_table(path, columns=[])
    except UserError:
        return [Problem("truncated", path, "is not a complete Parquet file")]
    return []


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


def check_end(path: Path) -> list[Problem]:
    """Check that a file is there and complete, by how files of its kind end."""
    if not path.is_file():
        return [Problem("missing", path, "there is no such file")]
    if path.suffix == ".webp":
        return [] if _is_whole_riff(path) else [Problem("truncated", path, "ends in the middle")]
    end = _ENDS[path.suffix]
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(end)))
        return [] if stream.read() == end else [Problem("truncated", path, "ends in the middle")]


def _is_whole_riff(path: Path) -> bool:
    """Tell whether a file is as long as its RIFF header says."""
    with path.open("rb") as stream:
        head = stream.read(8)
    return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 == path.stat().st_size
