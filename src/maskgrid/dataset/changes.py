"""How the source differs from its index: which images are new, have other content, are gone, or can be read now."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from maskgrid.dataset.extras import extras_come, images_by_extra
from maskgrid.dataset.inputs import content_sha256
from maskgrid.dataset.pixels.stacks import expand_pages
from maskgrid.dataset.sources.archives import expand_archives, read_known
from maskgrid.dataset.sources.listing import SourceItem, file_state, list_inputs
from maskgrid.dataset.tables import read_previous
from maskgrid.io.tables import read_origin
from maskgrid.io.wording import count
from maskgrid.plan.plan import Plan
from maskgrid.plan.remote import is_url

# Hash at most so much of what has another time; a copied dataset may be terabytes.
_MAX_BYTES = 2 << 30

_COLUMNS = ("image_key", "path", "size_bytes", "mtime_ns", "member_offset", "sha256")


class _Known(NamedTuple):
    """What the index says of an input; a tuple, since there may be millions."""

    path: bytes
    size_bytes: int | None
    mtime_ns: int | None
    member_offset: int | None
    sha256: str | None


@dataclass(frozen=True, slots=True)
class SourceChanges:
    """Image keys of the source by how they differ from the index.

    Attributes:
        new: not in the index.
        changed: with other content.
        touched: with another time or place, and the same content.
        unread: with another time or place, and too many to read their content now.
        gone: in the index, and not at the source.
        readable: bad for want of an optional package that is installed now.
        extras: the extras that bring these packages.
    """

    new: tuple[str, ...] = ()
    changed: tuple[str, ...] = ()
    touched: tuple[str, ...] = ()
    unread: tuple[str, ...] = ()
    gone: tuple[str, ...] = ()
    readable: tuple[str, ...] = ()
    extras: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.affects_results or self.touched or self.unread)

    @property
    def affects_results(self) -> bool:
        """Whether images have come, changed, gone or become readable, as far as their content was read."""
        return bool(self.new or self.changed or self.gone or self.readable)

    def __str__(self) -> str:
        text = f"{len(self.new)} new, {len(self.changed)} changed and {len(self.gone)} gone since the index"
        if self.touched:
            text += f"; {len(self.touched)} with another time or place and the same content"
        if self.unread:
            text += f"; {len(self.unread)} with another time or place, too many to read their content now"
        if self.readable:
            named = ", ".join(f"maskgrid[{extra}]" for extra in self.extras)
            text += f"; {count(len(self.readable), 'image')} to be tried again, since {named} is installed now"
        return text


def source_changes(plan: Plan, max_bytes: int = _MAX_BYTES) -> SourceChanges | None:
    """Compare the source with its index; None without an index, or if the source is the demo.

    Of a source by URL, only what can be read now is told.

    Args:
        plan: the plan.
        max_bytes: hash no more than this of files whose size is that of the index, but not their time.

    Raises:
        UserError: the source is missing or empty.
    """
    source = plan.config.dataset.source
    if source == "demo":
        return None
    listed = [] if is_url(source) else list_inputs(source, plan.base_dir)
    files, archives = read_previous(plan.layout.images.parent), read_known(plan.layout.archives)
    if files is None or archives is None:
        return None
    extras = tuple(extras_come(read_origin(plan.layout.files)))
    lacking = images_by_extra(files, plan.has_tiles) if extras else {}
    readable = sorted(key for extra in extras for key in lacking.get(extra, ()))
    if is_url(source):
        return SourceChanges(readable=tuple(readable), extras=extras)
    items, _ = expand_archives(listed, files, archives)
    items = expand_pages(items, plan.config.dataset.pixels)
    rows = zip(*(files[name].to_pylist() for name in _COLUMNS), strict=True)
    known = {row[0]: _Known(*row[1:]) for row in rows}
    found: dict[str, list[str]] = {"new": [], "changed": [], "touched": [], "unread": []}
    for item in items:
        kind, n_read = _kind(item, known.get(item.key), max_bytes)
        max_bytes -= n_read
        if kind:
            found[kind].append(item.key)
    there = {item.key for item in items}
    gone = tuple(key for key in known if key not in there)
    of_source = {kind: tuple(keys) for kind, keys in found.items()}
    same = tuple(key for key in readable if key in there and key not in found["changed"])
    return SourceChanges(**of_source, gone=gone, readable=same, extras=extras)


def _kind(item: SourceItem, row: _Known | None, max_bytes: int) -> tuple[str, int]:
    """How an input differs from its row, empty if not at all, and how many bytes were read to tell."""
    if row is None:
        return "new", 0
    size, mtime_ns = file_state(item)
    offset = None if item.span is None else item.span.offset
    if (size, mtime_ns, offset) == (row.size_bytes, row.mtime_ns, row.member_offset):
        is_there = Path(os.fsdecode(row.path)) == item.path
        return "" if is_there else "touched", 0
    if size != row.size_bytes or size is None:
        return "changed", 0
    if size > max_bytes:
        return "unread", 0
    return "touched" if content_sha256(item) == row.sha256 else "changed", size
