"""What all exports read: a COCO file's images with their masks and, if needed, their pictures and file names."""

import csv
import io
import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import pyarrow.compute as pc

from maskgrid.dataset.georeference import Georeference
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, read_content, read_image, read_image_georeference
from maskgrid.dataset.pixels.look import Look
from maskgrid.dataset.pixels.stacks import file_key
from maskgrid.dataset.pixels.windows import Picture as OpenedPicture
from maskgrid.dataset.pixels.windows import open_picture
from maskgrid.dataset.sources.spans import Span
from maskgrid.dataset.tables import SHOWN_NAMES, look_of_row, place_of
from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write
from maskgrid.io.progress import shown
from maskgrid.io.tables import open_file, read_table
from maskgrid.masks.coco_reading import Entry, read_head, read_images
from maskgrid.masks.pictures import Pixels, png
from maskgrid.masks.segmentations import code_of

# File types that every tool opens; pictures of other types are written as PNG.
_COMMON = frozenset({".jpg", ".jpeg", ".png"})
_COLUMNS = frozenset({"image_key", "path", "member_offset", "size_bytes", "sha256", *SHOWN_NAMES})
_ROWS = 1024  # of that table as Python objects at a time
_LONGEST_NAME = 200  # bytes of a name's last part, so that a suffix fits
_UNSAFE = re.compile(r'[\x00-\x1f\x7f\\:*?"<>|]')


@dataclass(frozen=True, slots=True)
class Picture:
    """An image's file.

    Attributes:
        path: the file.
        span: the part of the file that is the image; None for the whole file.
        sha256: hash of its bytes when it was indexed.
        exif_orientation: 1 to 8.
        max_pixels: of the config.
        look: how it is shown; None: as its file says.
    """

    path: Path
    span: Span | None
    sha256: str
    exif_orientation: int
    max_pixels: int
    look: Look | None = None

    def pixels(self) -> Pixels:
        """Pixels as displayed, as the masks; uint8 (H, W, 3).

        Raises:
            BadImageError: it is gone, or has changed.
        """
        return read_image(self.path, self.max_pixels, self.sha256, self.span, self.look).pixels

    def opened(self) -> OpenedPicture:
        """The same picture, opened to read parts of it: of one that is too large, only these are in memory.

        Raises:
            BadImageError: it is gone, or has changed.
        """
        return open_picture(self.path, self.max_pixels, self.sha256, self.span, self.look)

    def georeference(self) -> Georeference | None:
        """Where on a map the picture lies; None if its file does not say.

        Raises:
            BadImageError: it is gone, or has changed.
            MissingMapsError: its reference system needs a further package.
        """
        return read_image_georeference(self.path, self.sha256, self.span)

    def is_common(self, suffix: str) -> bool:
        """Whether any tool shows the file as the masks lie on it: a common type, upright, and shown as it is."""
        return suffix.lower() in _COMMON and self.exif_orientation == 1 and self.look is None

    def content(self, suffix: str) -> tuple[bytes, str]:
        """The file's own bytes and its suffix; those of a PNG for a file of another type, or one that is not upright.

        Raises:
            BadImageError: it is gone, or has changed.
        """
        if not self.is_common(suffix):
            return png(self.pixels()), ".png"
        return read_content(self.path, self.sha256, self.span), suffix.lower()


@dataclass(frozen=True)
class MaskFile:
    """A COCO file to export.

    Attributes:
        path: the COCO file.
        files: the table of the images' files.
        n_images: number of images.
        max_pixels: of the config.
        what: what the progress bar says.
    """

    path: Path
    files: Path
    n_images: int
    max_pixels: int
    what: str = "masks"

    @cached_property
    def head(self) -> dict[str, Any]:
        """``info`` and ``categories``."""
        return read_head(self.path)

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the masks; empty if they have none."""
        return str(self.head["info"].get("fingerprint") or "")

    @property
    def categories(self) -> list[Entry]:
        """COCO's categories."""
        found: list[Entry] = self.head.get("categories", [])
        return found

    @cached_property
    def names(self) -> dict[int, str]:
        """The categories' names, by id."""
        return {one["id"]: str(one.get("name", one["id"])) for one in self.categories}

    def name_of(self, entry: Entry) -> str:
        """The name of an annotation's category."""
        return self.names.get(entry["category_id"], str(entry["category_id"]))

    def images(self) -> Iterator[tuple[Entry, list[Entry]]]:
        """Each image with its annotations, in order; shows the progress."""
        return shown(read_images(self.path), self.n_images, self.what, "images")

    def with_pictures(self) -> Iterator[tuple[Entry, list[Entry], Picture]]:
        """The same with each image's file.

        Raises:
            UserError: the table of files does not have the images.
        """
        places = _places(self.files)
        for image, entries in self.images():
            row = next((row for row in places if row["image_key"] == image["file_name"]), None)
            if row is None:
                raise UserError(f"{self.files} has no {image['file_name']!r}: run maskgrid index, then merge, again")
            path, span = place_of(row)
            place = path, span, row["sha256"]
            yield image, entries, Picture(*place, image["exif_orientation"], self.max_pixels, look_of_row(row))


def _places(path: Path) -> Iterator[dict[str, Any]]:
    """The good images' files in the order of keys, as COCO files have them."""
    with open_file(path) as file:
        columns = [name for name in file.schema_arrow.names if name in _COLUMNS]
    table = read_table(path, columns, [("status", "=", "ok")])
    order = pc.sort_indices(table["image_key"])  # 8 bytes an image; a sorted table would be one more copy
    for start in range(0, len(order), _ROWS):
        yield from table.take(order[start : start + _ROWS]).to_pylist()


def mask_of(entry: Entry) -> tuple[bytes, tuple[int, int]]:
    """An annotation's compressed code, and the image's height and width."""
    height, width = entry["segmentation"]["size"]
    return code_of(entry["segmentation"], (height, width)), (height, width)


def score_of(entry: Entry) -> float:
    """An annotation's score."""
    score: Any = entry.get("score", entry.get("predicted_iou", 0.0))
    return float(score)


class FileNames:
    """Names for files of images: the image's own without its suffix, made unique and safe for any file system.

    Of two images with one name, such as ``a.jpg`` and ``a.png``, the second gets its id too.
    """

    def __init__(self) -> None:
        self._taken: set[str] = set()

    def of(self, image: Entry) -> str:
        """The name for an image: a relative path without suffix."""
        path = PurePosixPath(_UNSAFE.sub("_", _named_page(image["file_name"])))
        stem = str(path.with_suffix("")) if path.name.strip(".") else str(image["id"])
        if len(os.fsencode(path.name)) > _LONGEST_NAME:
            stem = str(path.with_name(os.fsencode(path.name)[:_LONGEST_NAME].decode(errors="ignore")))
        name = stem
        while name.casefold() in self._taken or name.startswith("/"):
            name = f"{name.lstrip('/')}_{image['id']}"
        self._taken.add(name.casefold())
        return name


def _named_page(key: str) -> str:
    """An image's key with the page before the suffix: ``stack_page3.tif`` for ``stack.tif#page=3``."""
    file = file_key(key)
    path = PurePosixPath(file)
    return key if file == key else str(path.with_name(f"{path.stem}_page{key.rpartition('=')[2]}{path.suffix}"))


def place_picture(picture: Picture, target: Path, suffix: str, how: str) -> Path:
    """Put a picture at a path without a suffix, as a link or a copy; return the file.

    What cannot be linked is copied: members of archives, and pictures that are no upright JPEG or PNG, as PNG.

    Raises:
        BadImageError: it is gone, or has changed.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    if how == "link" and picture.span is None and picture.is_common(suffix):
        if not picture.path.is_file():
            raise BadImageError(ImageStatus.MISSING, "the file is gone")
        link = target.with_name(target.name + suffix.lower())
        link.symlink_to(picture.path)
        return link
    content, written = picture.content(suffix)
    path = target.with_name(target.name + written)
    with atomic_write(path) as stream:
        stream.write(content)
    return path


def suffix_of(image: Entry) -> str:
    """The suffix of an image's name, such as ``.jpg``."""
    return PurePosixPath(image["file_name"]).suffix


def csv_lines(rows: Iterable[Iterable[Any]]) -> bytes:
    """Rows as lines of CSV."""
    stream = io.StringIO()
    csv.writer(stream, lineterminator="\n").writerows(rows)
    return stream.getvalue().encode()
