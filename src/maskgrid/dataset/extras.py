"""Which optional packages the images of an index lack, so that they are read once these are installed.

The origin of an index's ``files.parquet`` names each extra of maskgrid that an image needed and that was not there, in
this index or in an earlier one, with whether it was there now: ``{"extras": {"heic": false}}``. An index whose images
lack nothing has no such entry.
"""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from importlib import import_module
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
from PIL import features

from maskgrid.dataset.pixels.images import ImageStatus
from maskgrid.dataset.pixels.other_formats import INSTALL
from maskgrid.dataset.sources.spans import open_span
from maskgrid.dataset.tables import place_of
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin

_ENTRY = "extras"
_NAMED = re.compile(re.escape(INSTALL) + r"\[(\w+)\]'")
# What an extra brings, for those that decide whether an image is read.
_MODULES = {"tiff": "imagecodecs", "heic": "pillow_heif", "avif": "pillow_avif", "large": "pyvips"}
_LARGE = "large"
_LARGE_SIGNATURES = (b"\xff\xd8\xff", b"\x89PNG")
_COLUMNS = ["image_key", "status", "message", "path", "member_offset", "size_bytes"]


def is_installed(extra: str) -> bool:
    """Return whether the package that an extra brings can be used here."""
    if extra == "avif" and features.check("avif"):  # Pillow's own
        return True
    try:
        import_module(_MODULES[extra])
    except (KeyError, ImportError, OSError):  # OSError: the library that pyvips loads is not there
        return False
    return True


def extra_named(message: str | None) -> str | None:
    """The extra that the message about a bad image tells to install; None if it tells nothing of the kind."""
    found = _NAMED.search(message or "")
    return found[1] if found and found[1] in _MODULES else None


def has_come(message: str | None) -> bool:
    """Return whether an image was bad for want of an extra that is installed now."""
    extra = extra_named(message)
    return extra is not None and is_installed(extra)


def refuse_missing_extra(image_key: str, message: str) -> None:
    """Refuse to go on without an optional package that a good image of the index needs.

    Else the image would have no masks, although nothing is wrong with it, until something else makes its job run again.

    Raises:
        UserError: the message about the image names an extra.
    """
    if extra_named(message) is not None:
        raise UserError(f"{image_key} could be read when it was indexed, and cannot be here: {message}")


def images_by_extra(index: pa.Table, in_windows: bool) -> dict[str, list[str]]:
    """The keys of the images that an extra could make readable, by its name.

    Args:
        index: rows of ``maskgrid.dataset.tables.ROWS_SCHEMA``.
        in_windows: whether an image larger than ``max_pixels`` is good if it can be read in windows.
    """
    found: dict[str, list[str]] = {}
    bad = index.select(_COLUMNS).filter(pc.not_equal(index["status"], ImageStatus.OK.value))
    for row in bad.to_pylist():
        extra = extra_named(row["message"])
        if extra is None and in_windows and row["status"] == ImageStatus.TOO_LARGE and _is_jpeg_or_png(row):
            extra = _LARGE
        if extra is not None:
            found.setdefault(extra, []).append(row["image_key"])
    return found


def extras_entry(lacked: Iterable[str], earlier: Mapping[str, Any]) -> dict[str, dict[str, bool]]:
    """The entry for the origin of an index; empty if no image lacks anything, nor did before.

    Args:
        lacked: the extras that images need.
        earlier: the origin of the index before.
    """
    known = earlier.get(_ENTRY, {})
    named = {extra for extra in lacked if not is_installed(extra)} | known.keys()
    return {_ENTRY: {extra: is_installed(extra) for extra in sorted(named)}} if named else {}


def extras_before(files: Path) -> dict[str, dict[str, bool]]:
    """The entry of the index before this one; empty if there is none."""
    with suppress(UserError):
        return {name: entry for name, entry in read_origin(files).items() if name == _ENTRY}
    return {}


def extras_come(origin: Mapping[str, Any]) -> list[str]:
    """The extras that were lacking when an index was made, and are installed now."""
    return [extra for extra, was_there in origin.get(_ENTRY, {}).items() if not was_there and is_installed(extra)]


def extras_lacked(files: Path) -> list[str]:
    """The extras that images of an index, or frames, need and that were not there."""
    return [extra for extra, was_there in extras_before(files).get(_ENTRY, {}).items() if not was_there]


def extras_that_decide(files: Path) -> list[str]:
    """The installed extras among those that an image of an index, or of one before it, lacked.

    An index is made again when this changes. It is empty before the first index and if no image ever lacked anything.
    """
    return [extra for extra in extras_before(files).get(_ENTRY, {}) if is_installed(extra)]


def _is_jpeg_or_png(row: Mapping[str, Any]) -> bool:
    try:
        with open_span(*place_of(row)) as stream:
            return stream.read(4).startswith(_LARGE_SIGNATURES)
    except OSError:
        return False
