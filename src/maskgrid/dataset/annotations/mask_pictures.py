"""The pictures that a file of objects names as masks: which they are, and digests of them."""

import hashlib
import mmap
import re
from collections.abc import Iterable
from pathlib import Path

import orjson

from maskgrid.dataset.annotations.object_sources import read_source
from maskgrid.dataset.sources.listing import path_state
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import sha256_of

# A segmentation that is a string, instead of polygons or a run-length code; in lists, the first that is not null.
_IN_COCO = re.compile(rb'"segmentations?"\s*:\s*(?:\[\s*(?:null\s*,\s*)*)?("(?:[^"\\]|\\.)*")')


def pictures_in_coco(path: Path) -> list[str]:
    """The pictures that a COCO file names as segmentations, without parsing the file.

    Of lists as long as a video, the first name alone.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        if not path.stat().st_size:
            return []
        with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as content:
            found = set(_IN_COCO.findall(content))
    names = (_text(name) for name in found)
    return sorted(name for name in names if name is not None)


def pictures_of(path: Path) -> tuple[list[str], Path]:
    """The pictures that a file of objects names as masks, and the folder that their names start from.

    Raises:
        OSError: the file cannot be read.
        UserError: it cannot be read in the format of its suffix.
    """
    if path.suffix.lower() == ".json":
        return pictures_in_coco(path), path.parent
    source = read_source(path, "mask")
    return source.pictures(), source.folder


def states_of(path: Path) -> str:
    """Hash sizes and times of the pictures that a file of objects names; for params of the rule that reads them."""
    try:
        names, folder = pictures_of(path)
    except (OSError, UserError):  # reported by the stage that reads it
        return "unreadable"
    return states_digest(names, folder) if names or path.suffix.lower() != ".json" else "none"


def contents_of(path: Path) -> list[str]:
    """Hash a file of objects, and then the pictures that it names, if it names any.

    Raises:
        OSError: the file cannot be read.
        UserError: it cannot be read in the format of its suffix.
    """
    names, folder = pictures_of(path)
    return [sha256_of(path), *([contents_digest(names, folder)] if names else [])]


def states_digest(names: Iterable[str], folder: Path) -> str:
    """Hash the sizes and times of pictures, without reading them: what is made from them is looked at if it changes."""
    states = [[name, *path_state(folder / name)] for name in sorted(names)]
    return hashlib.sha256(orjson.dumps(states)).hexdigest()


def contents_digest(names: Iterable[str], folder: Path) -> str:
    """Hash the contents of pictures; one that cannot be read counts as such, since its object gets a status."""
    digest = hashlib.sha256()
    for name in sorted(names):
        try:
            content = sha256_of(folder / name)
        except (OSError, ValueError):
            content = "unreadable"
        digest.update(orjson.dumps([name, content]))
    return digest.hexdigest()


def _text(quoted: bytes) -> str | None:
    try:
        return str(orjson.loads(quoted))
    except orjson.JSONDecodeError:
        return None
