"""Check single files: does it exist, is it complete, is it ours, and was it made from the right inputs?"""

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

# The last bytes of our complete files.
_ENDS = {
    ".json": b"\n]\n}\n",
    ".html": b"</html>\n",
    ".txt": b"\n",
    ".jpg": b"\xff\xd9",
    ".tar": bytes(1024),
    ".js": b");\n",
}
# Our scripts are one call of a function, with the fingerprint first.
_SCRIPT = re.compile(rb'maskgrid\.[a-z]+\("([0-9a-f]{64})",\n')
_PAGE = re.compile(rb'<meta name="maskgrid-fingerprint" content="([0-9a-f]{64})">')

UNNEEDED = "unneeded"  # harmless: results of a shard that the index no longer has, or of another config


@dataclass(frozen=True, slots=True)
class Problem:
    """Something wrong with a file.

    Attributes:
        kind: missing, truncated, damaged, foreign, stale, left over or unneeded.
        path: the file.
        reason: what is wrong, for people.
    """

    kind: str
    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.kind:10} {self.path}: {self.reason}"


def check_table(path: Path) -> list[Problem]:
    """Check that a Parquet table exists, is complete, and is ours."""
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
    """Check the content of a complete Parquet table against its page checksums."""
    try:
        _, batches = open_table(path, None)
        for batch in batches:
            batch.validate(full=True)
    except (UserError, pa.ArrowException):
        return [Problem("damaged", path, "does not match its checksums; delete it and run again")]
    return []


def same_run(path: Path, other: Path) -> Iterator[Problem]:
    """Check that two tables come from the same run of one job."""
    if read_origin(path)["fingerprint"] != read_origin(other)["fingerprint"]:
        yield Problem("stale", other, f"is not from the same run as {path.name}")


def check_tables(paths: Sequence[Path], expected: Callable[[], str], made_from: str) -> Iterator[Problem]:
    """Check that tables are complete and have the expected fingerprint; ``made_from`` names its inputs in messages."""
    problems = [problem for path in paths for problem in check_table(path)]
    yield from problems
    for path in paths if not problems else ():
        if differs(read_origin(path), expected):
            yield Problem("stale", path, f"was made from other {made_from}")


def check_annotations(path: Path, expected: Callable[[], str], made_from: str) -> list[Problem]:
    """Check a COCO file by its end and by the fingerprint in its ``info``."""
    if path.is_file() and info_of(path) is None:
        return [Problem("foreign", path, "was not written by maskgrid")]
    problems = check_end(path)
    if not problems and differs(info_of(path), expected):
        return [Problem("stale", path, f"was made from other {made_from}")]
    return problems


def check_picture(path: Path, expected: Callable[[], str]) -> list[Problem]:
    """Check a page, a script or a JPEG by its end and by the fingerprint in its head."""
    problems = check_end(path)
    if not problems and differs({"fingerprint": _fingerprint_of(path)}, expected):
        return [Problem("stale", path, "was made from other tables than the current ones")]
    return problems


def differs(origin: Any, expected: Callable[[], str]) -> bool:  # noqa: ANN401
    """Return whether an origin's fingerprint is not the expected one.

    False if the expected one cannot be computed: another check then reports the broken input.
    """
    try:
        made = expected()
    except (UserError, KeyError):
        return False
    return not isinstance(origin, dict) or origin.get("fingerprint") != made


def info_of(path: Path) -> dict[str, Any] | None:
    """The ``info`` of one of our COCO files, from its second line; None for other files."""
    with path.open("rb") as stream:
        first, second = stream.readline(), stream.readline(1 << 20)
    try:
        entry = orjson.loads(b"{" + second.rstrip().removesuffix(b",") + b"}")
    except orjson.JSONDecodeError:
        return None
    info = entry.get("info") if first == b"{\n" else None
    return info if isinstance(info, dict) and "maskgrid_version" in info else None


def check_end(path: Path, end: bytes | None = None) -> list[Problem]:
    """Check that a file exists and ends with ``end``, by default the usual end for its suffix."""
    if not path.is_file():
        return [Problem("missing", path, "there is no such file")]
    if path.suffix == ".webp":
        return [] if _is_whole_riff(path) else [Problem("truncated", path, "ends in the middle")]
    if path.suffix == ".mp4":
        return [] if _is_whole_mp4(path) else [Problem("truncated", path, "ends in the middle")]
    end = end or _ENDS[path.suffix]
    with path.open("rb") as stream:
        stream.seek(max(0, path.stat().st_size - len(end)))
        # A file with a line for each object has none without objects.
        whole = stream.read() == end or (path.suffix == ".txt" and not path.stat().st_size)
        return [] if whole else [Problem("truncated", path, "ends in the middle")]


def _is_whole_riff(path: Path) -> bool:
    """Return whether a file is as long as its RIFF header says."""
    with path.open("rb") as stream:
        head = stream.read(8)
    return head[:4] == b"RIFF" and int.from_bytes(head[4:], "little") + 8 == path.stat().st_size


def _is_whole_mp4(path: Path) -> bool:
    """Return whether a file's boxes (ISO/IEC 14496-12, 4.2) fill it to its end, the index ``moov`` among them."""
    n_bytes, place, kinds = path.stat().st_size, 0, set[bytes]()
    with path.open("rb") as stream:
        while place < n_bytes:
            stream.seek(place)
            size, kind, large = int.from_bytes(stream.read(4)), stream.read(4), stream.read(8)
            size = int.from_bytes(large) if size == 1 else size  # of boxes above 4 GB
            if size < 8:
                return False
            kinds.add(kind)
            place += size
    return place == n_bytes and b"moov" in kinds


def _fingerprint_of(path: Path) -> str | None:
    if path.suffix in (".html", ".js"):
        with path.open("rb") as stream:
            head = stream.read(1 << 12)
            found = _SCRIPT.match(head) if path.suffix == ".js" else _PAGE.search(head)
        return found[1].decode() if found else None
    with PIL.Image.open(path, formats=["JPEG"]) as image:
        comment: bytes = image.info.get("comment", b"")
    return comment.decode("ascii", "replace")


def check_origin(path: Path, expected: Callable[[], str], other: str) -> Iterator[Problem]:
    """Check that a small JSON file exists, is complete, and has the expected fingerprint."""
    if not path.is_file():
        yield Problem("missing", path, "there is no such file")
        return
    try:
        content: Any = orjson.loads(path.read_bytes())
    except orjson.JSONDecodeError:
        yield Problem("truncated", path, "is not complete JSON")
        return
    if differs(content, expected):
        yield Problem("stale", path, f"describes {other}")
