"""Tar archives, such as WebDataset's, as sources of images: members are listed, never extracted.

An archive is read once from end to end, to hash it and to locate its members; then each image is read in place.
Nothing from an archive is ever written to the disk, so no member's name, link or size can do harm there.
"""

import logging
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.dataset.pixels.images import ImageStatus
from maskgrid.dataset.pixels.stacks import file_key
from maskgrid.dataset.sources.hashed_file import BLOCK, HashedFile
from maskgrid.dataset.sources.listing import SourceItem, file_state, is_archive
from maskgrid.dataset.sources.spans import Span
from maskgrid.dataset.tables import ARCHIVES_SCHEMA, place_of
from maskgrid.io.errors import UserError
from maskgrid.io.listings import IMAGE_SUFFIXES, image_key, is_outside_root, is_system_folder
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_table

log = logging.getLogger(__name__)

# No larger file is a decodable image, and readers may keep all of it in memory.
_LARGEST_MEMBER = 1 << 32


@dataclass(frozen=True, slots=True)
class Archive:
    """An archive: a row of ``ARCHIVES_SCHEMA``, and its inputs."""

    archive: str
    path: Path
    size_bytes: int | None
    mtime_ns: int | None
    n_members: int
    sha256: str | None
    items: list[SourceItem] = field(repr=False)


def expand_archives(
    items: Sequence[SourceItem], previous: pa.Table | None = None, known: pa.Table | None = None, progress: bool = False
) -> tuple[list[SourceItem], pa.Table]:
    """Replace archives by their images.

    An image in an archive has the key ``{key of the archive}/{name of the member}``. A problem with a whole archive
    becomes an input with the archive's own key.

    Args:
        items: the inputs, including archives.
        previous: the files' table of an earlier run.
        known: the archives' table of the same run. An archive whose size and time are unchanged is not read again; its
            members are taken from ``previous``.
        progress: show progress.

    Returns:
        The inputs sorted by key, and a table of ``ARCHIVES_SCHEMA`` with a row for each archive.
    """
    whole = {item.key: item for item in items if item.problem or not is_archive(item.path)}
    tars = [item for item in items if item.key not in whole]
    seen = {row["archive"]: row for row in known.to_pylist()} if known is not None else {}
    archives = []
    for item in shown(tars, len(tars), "archives", "archives") if progress and tars else tars:
        row = seen.get(item.key)
        if row is not None and previous is not None and file_state(item) == (row["size_bytes"], row["mtime_ns"]):
            inputs = list(_remembered(item, previous))
            archive = Archive(item.key, item.path, *file_state(item), row["n_members"], row["sha256"], inputs)
        else:
            archive = read_archive(item)
        whole |= {member.key: member for member in archive.items}
        archives.append(archive)
    return [whole[key] for key in sorted(whole)], _table(archives)


def read_known(path: Path) -> pa.Table | None:
    """Read the archives' table of an earlier run; None if there is none or it is unusable."""
    try:
        return read_table(path, schema=ARCHIVES_SCHEMA)
    except UserError:
        return None


def read_archive(item: SourceItem) -> Archive:
    """Read an archive from end to end: hash it, and find its images.

    A tar archive ends with blocks of zeros. One without them was truncated, between members or within one: its images
    count, and an input with the archive's own key says that some may be missing. Archives behind the end of the first
    (``cat a.tar b.tar > c.tar``) count as well.
    """
    size, mtime_ns = file_state(item)
    if is_outside_root(item.key):
        problem = (
            str(ImageStatus.OUTSIDE_ROOT),
            "the entry leads out of the dataset's root by '..'; give all entries as absolute paths",
        )
        return Archive(item.key, item.path, None, None, 0, None, [_broken(item, *problem)])
    try:
        if not item.path.is_file():
            there = item.path.exists()
            problem = (ImageStatus.NOT_AN_IMAGE, "no file") if there else (ImageStatus.MISSING, "there is no such file")
            return Archive(item.key, item.path, size, mtime_ns, 0, None, [_broken(item, *problem)])
        with item.path.open("rb") as file:
            stream = HashedFile(file)
            members, problem_of_archive = _members(stream, size or 0)
            images = [member for member in (_input(item, info, size or 0) for info in members) if member]
            found = {member.key: member for member in images}
            if len(found) < len(images):
                log.warning(
                    "%s: %d images have the name of a later one, which replaces them as in tar itself",
                    item.key,
                    len(images) - len(found),
                )
            if problem_of_archive is not None:
                found[item.key] = _broken(item, *problem_of_archive)
            return Archive(item.key, item.path, size, mtime_ns, len(members), stream.hexdigest(), list(found.values()))
    except OSError as error:
        problem = str(ImageStatus.UNREADABLE), os.strerror(error.errno) if error.errno else str(error)
        return Archive(item.key, item.path, size, mtime_ns, 0, None, [_broken(item, *problem)])


def _members(stream: HashedFile, size: int) -> tuple[list[tarfile.TarInfo], tuple[str, str] | None]:
    """The members' headers up to the file's end, and the problem with that end, if any."""
    if size == 0:
        return [], (ImageStatus.EMPTY, "the archive has no bytes")
    members, end, problem = _one_archive(stream, size, 0)
    while problem is None:
        start = stream.next_block(end)
        if start is None or not _is_header(stream.block(start)):  # the end, or what is no archive
            break
        more, end, problem = _one_archive(stream, size, start)
        members += more
        if problem is not None:
            problem = _damage(len(members), size, end)
    return members, problem


def _one_archive(
    stream: HashedFile, size: int, start: int
) -> tuple[list[tarfile.TarInfo], int, tuple[str, str] | None]:
    """The members of the archive that begins at an offset, where it ends, and the problem with its end, if any."""
    members: list[tarfile.TarInfo] = []
    end = start
    stream.seek(start)
    try:
        with tarfile.open(fileobj=stream, mode="r:") as tar:  # type: ignore[call-overload]
            while (info := tar.next()) is not None:
                if info.size < 0 or tar.offset <= end:  # an impossible size can send tarfile in circles
                    raise tarfile.ReadError("a member's size is impossible")
                members.append(info)
                end = tar.offset
                if end > size:
                    return members, end, _damage(len(members), size, end)
    except (tarfile.TarError, ValueError, OverflowError, EOFError, RecursionError) as error:
        if not members:
            return [], end, (ImageStatus.NOT_AN_IMAGE, f"is no tar archive that can be read: {error}")
        return members, end, _damage(len(members), size, end)
    if stream.block(end) == bytes(BLOCK):
        return members, end, None
    if not members:
        return [], end, (ImageStatus.NOT_AN_IMAGE, "the content is no tar archive")
    return members, end, _damage(len(members), size, end)


def _is_header(block: bytes) -> bool:
    """Whether a block is a member's header, perhaps a damaged one: of POSIX's forms, or with a right checksum."""
    if block[257:262] == b"ustar":
        return True
    try:
        tarfile.TarInfo.frombuf(block, "utf-8", "surrogateescape")
    except tarfile.TarError:
        return False
    return True


def _damage(n_members: int, size: int, end: int) -> tuple[str, str]:
    how = "was cut there" if end >= size else "is damaged behind it"
    return (
        ImageStatus.TRUNCATED,
        f"the archive has no end mark after member {n_members}: it {how}; images may be missing",
    )


def _input(item: SourceItem, info: tarfile.TarInfo, size: int) -> SourceItem | None:
    """A member as an input; None if it is not an image by its name."""
    name = Path(info.name)
    if info.isdir() or name.suffix.lower() not in IMAGE_SUFFIXES or name.name.startswith("."):
        return None
    if any(is_system_folder(part) for part in name.parts[:-1]):
        return None
    problem = _member_problem(info, size)
    inside = image_key(info.name) if problem is None else image_key(info.name.replace("\0", "\\0"))
    span = None if problem else Span(info.offset_data, info.size)
    return SourceItem(f"{item.key}/{inside}", item.path, item.key, span, problem)


def _member_problem(info: tarfile.TarInfo, size: int) -> tuple[str, str] | None:
    if info.name.startswith("/") or ".." in info.name.split("/") or "\0" in info.name:
        return ImageStatus.OUTSIDE_ROOT, "the member's name leads out of the archive"
    if info.issym() or info.islnk():
        return ImageStatus.UNSUPPORTED, "a link in an archive, which is not followed"
    if info.issparse():
        return ImageStatus.UNSUPPORTED, "a sparse file in an archive, whose bytes do not lie together"
    if not info.isreg():
        return ImageStatus.NOT_AN_IMAGE, "a device or pipe, not a file"
    if info.offset_data + info.size > size:
        return ImageStatus.TRUNCATED, "the archive ends within this file"
    if info.size > _LARGEST_MEMBER:
        return ImageStatus.TOO_LARGE, f"{info.size} bytes, more than an image may have in an archive"
    return None


def _broken(item: SourceItem, status: str, message: str) -> SourceItem:
    return SourceItem(item.key, item.path, item.key, None, (str(status), message))


def _remembered(item: SourceItem, previous: pa.Table) -> Iterator[SourceItem]:
    """The inputs of an unchanged archive, from the earlier table."""
    seen = set()
    for row in previous.filter(pc.equal(previous["archive"], item.key)).to_pylist():
        _, span = place_of(row)
        problem = None if span else (row["status"], row["message"])
        key = row["image_key"] if row["page"] is None else file_key(row["image_key"])
        if key not in seen:  # the pages of a file have rows of their own
            seen.add(key)
            yield SourceItem(key, item.path, item.key, span, problem)


def _table(archives: Sequence[Archive]) -> pa.Table:
    rows = [
        {
            "archive": archive.archive,
            "path": os.fsencode(archive.path),
            "size_bytes": archive.size_bytes,
            "mtime_ns": archive.mtime_ns,
            "n_members": archive.n_members,
            "n_images": sum(member.key != archive.archive for member in archive.items),
            "sha256": archive.sha256,
        }
        for archive in archives
    ]
    return pa.Table.from_pylist(rows, ARCHIVES_SCHEMA)
