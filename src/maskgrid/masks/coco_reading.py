"""Read COCO files: any file as a whole, and those of ``coco.write_coco`` (one entry a line) image by image."""

import codecs
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, TypeVar

import orjson

from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.masks.segmentations import code_of, whole_number, whole_number_of_text

Entry = dict[str, Any]
ImageId = int | str
CategoryId = int | str | float
Id = TypeVar("Id")
# Not JSON, and yet what Python's json.dump writes.
_NOT_NUMBERS = (b"NaN", b"Infinity")
_LONGEST_NAME = 80  # characters, in messages


def read_json(path: Path, key: str) -> Any:  # noqa: ANN401
    """The content of a JSON file; ``key`` is the config key that names it.

    A byte order mark, UTF-16 and ``NaN`` are read too, as other tools write them.

    Raises:
        UserError: it is not JSON.
        OSError: it cannot be opened.
    """
    content = path.read_bytes()
    try:
        return orjson.loads(content.removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        reason: ValueError | RecursionError = error
    is_utf_16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    if is_utf_16 or any(word in content for word in _NOT_NUMBERS):
        try:
            return json.loads(content, parse_int=_number)
        except (ValueError, RecursionError) as error:
            reason = error
    raise UserError(f"{key}: {path} is not valid JSON: {reason}")


def _number(text: str) -> int | float:
    """A whole number; as a float if it has more than 64 bits, which orjson makes of it too."""
    number = float(text)
    return int(text) if abs(number) < 2.0**63 else number


def listed_objects(path: Path, content: Any, name: str, key: str, form: str = "COCO file") -> list[dict[str, Any]]:  # noqa: ANN401
    """The list ``name`` of a COCO document; ``categories`` may be missing.

    Raises:
        UserError: there is no such list of objects.
    """
    found = content.get(name) if isinstance(content, dict) else None
    if name == "categories" and found is None and isinstance(content, dict):
        return []
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise UserError(f"{key}: {path} is not a {form}: it has no list '{name}' of objects")
    return found


def stated_size_hw(image: dict[str, Any]) -> tuple[int, int] | None:
    """The height and width stated in an entry of ``images``; None unless both are positive whole numbers.

    They may be written as ``120.0`` or ``"120"``.
    """
    height, width = (whole_number_of_text(image.get(name)) for name in ("height", "width"))
    if type(height) is int and type(width) is int and height > 0 and width > 0:
        return height, width
    return None


def image_id_of(value: Any) -> ImageId | None:  # noqa: ANN401
    """An image's id: ``1``, ``1.0`` and ``"1"`` are one id, since tools write all of them; None if it is no id."""
    found = whole_number_of_text(value)
    return found if type(found) in (int, str) else None


def images_by_id(path: Path, images: list[Entry], key: str) -> dict[ImageId, Entry]:
    """The entries of ``images`` with an id, by id.

    Raises:
        UserError: two images have one id; ``key`` is the config's key that names the file.
    """
    with_id = [image if image_id_of(image.get("id")) is not None else None for image in images]
    found = entries_by_id(path, key, "images", with_id, image_id_of, lambda image: image.get("file_name"))
    return {image_id: image for image_id, image in found.items() if image_id is not None}


def categories_by_id(path: Path, categories: Sequence[Entry], key: str) -> dict[CategoryId, Entry]:
    """The entries of ``categories`` whose id is a number or text, by id; ids such as ``1.0`` are 1.

    Raises:
        UserError: two categories have one id; ``key`` is the config's key that names the file.
    """
    whole = [category | {"id": whole_number(category.get("id"))} for category in categories]
    with_id = [category if isinstance(category["id"], int | str | float) else None for category in whole]
    return entries_by_id(path, key, "categories", with_id, whole_number, category_name)


def category_name(category: Entry) -> str:
    """A category's name; its id, if it has none."""
    return str(category.get("name", category["id"]))


def entries_by_id(
    path: Path,
    key: str,
    what: str,
    entries: Sequence[Entry | None],
    id_of: Callable[[Any], Id],
    name_of: Callable[[Entry], Any],
) -> dict[Id, Entry]:
    """The entries of one of a file's lists by id; the first of those that are listed twice.

    Args:
        path: the file.
        key: the config's key that names it, for messages.
        what: the list's name.
        entries: the list; None for an entry that is left out.
        id_of: turns an id into the form by which ids are compared.
        name_of: what an entry stands for.

    Raises:
        UserError: two entries with one id stand for different things.
    """
    found: dict[Id, tuple[int, Entry]] = {}
    for row, entry in enumerate(entries, start=1):
        if entry is None:
            continue
        first, other = found.setdefault(id_of(entry.get("id")), (row, entry))
        if name_of(entry) != name_of(other):
            stated = entry.get("id")
            shared = "have no id" if stated is None else f"have the same id, {id_of(stated)}"
            raise UserError(
                f"{key}: {path}: {what}: entries {first} ({_shown(name_of(other))}) and {row} "
                f"({_shown(name_of(entry))}) {shared}, so nobody can tell which is meant; give each an id of its own"
            )
    return {entry_id: entry for entry_id, (_, entry) in found.items()}


def _shown(name: Any) -> str:  # noqa: ANN401
    text = repr(name)
    return text if len(text) <= _LONGEST_NAME else f"{text[:_LONGEST_NAME]}..."


def read_head(path: Path) -> dict[str, Any]:
    """Everything before the images: ``info``, ``licenses``, ``categories``.

    Raises:
        UserError: the file is missing, or was not written by maskgrid.
    """
    lines: list[bytes] = []
    for line in _lines(path):
        if line == b'"images": [':
            return _loads(path, b"{" + b"".join(lines).removesuffix(b",") + b"}")
        if line != b"{":
            lines.append(line)
    raise _foreign(path)


def read_images(path: Path) -> Iterator[tuple[Entry, list[Entry]]]:
    """Each image with its annotations, in file order.

    Raises:
        UserError: the file is missing, cut off, or was not written by maskgrid.
    """
    groups = groupby(_entries(path, b'"annotations": ['), key=lambda entry: entry["image_id"])
    group = next(groups, None)
    for image in _entries(path, b'"images": ['):
        annotations: list[Entry] = []
        if group is not None and group[0] == image["id"]:
            annotations = list(group[1])
            group = next(groups, None)
        yield image, annotations
    if group is not None:
        raise _foreign(path)


@dataclass(frozen=True, slots=True)
class ImageMasks:
    """The masks of one image.

    Attributes:
        size_hw: height and width in pixels.
        codes: COCO's compressed run-length codes, in the file's order.
    """

    size_hw: tuple[int, int]
    codes: list[bytes]


def read_masks(path: Path, key: str) -> dict[str, ImageMasks]:
    """The masks of each image by its ``file_name``, including images without masks.

    Args:
        path: the file.
        key: the option that names it, for messages.

    Raises:
        UserError: the file cannot be read, is not a COCO file, or a mask does not have its image's size.
    """
    try:
        content = read_json(path, key)
    except OSError as error:
        raise UserError(f"{key}: {path} cannot be read: {error.strerror}") from None
    images, annotations = (listed_objects(path, content, name, key) for name in ("images", "annotations"))
    masks: dict[str, ImageMasks] = {}
    names: dict[ImageId, str] = {}
    for image_id, image in images_by_id(path, images, key).items():
        name, size_hw = image.get("file_name"), stated_size_hw(image)
        if not isinstance(name, str) or size_hw is None:
            raise UserError(f"{key}: {path}: the image {image_id!r} has no file_name, or no width and height")
        if name in masks:
            raise UserError(f"{key}: {path}: the image {name!r} is listed twice, under two ids")
        names[image_id], masks[name] = name, ImageMasks(size_hw, [])
    if without := sum(image_id_of(image.get("id")) is None for image in images):
        raise UserError(f"{key}: {path}: {without} of its images have no id")
    for number, annotation in enumerate(annotations, 1):
        image_id_or_none = image_id_of(annotation.get("image_id"))
        found = None if image_id_or_none is None else masks.get(names.get(image_id_or_none, ""))
        try:
            if found is None:
                raise ValueError(f"no image has the id {annotation.get('image_id')!r}")
            found.codes.append(code_of(annotation.get("segmentation"), found.size_hw))
        except ValueError as error:
            raise UserError(
                f"{key}: {path}: annotation {number} is not a mask of an image in the file ({error})"
            ) from None
    return masks


def compressed(segmentation: Entry) -> Entry:
    """A mask's run-length code in COCO's compressed form, counts as text."""
    if isinstance(segmentation["counts"], str):
        return segmentation
    return rle.compressed(code_of(segmentation, tuple(segmentation["size"])), segmentation["size"])


def _entries(path: Path, start: bytes) -> Iterator[Entry]:
    """The entries of one of the file's lists."""
    is_inside = False
    for line in _lines(path):
        if is_inside and line in (b"]", b"],"):
            return
        if is_inside:
            yield _loads(path, line.removesuffix(b","))
        is_inside = is_inside or line == start
    raise _foreign(path)


def _lines(path: Path) -> Iterator[bytes]:
    try:
        with path.open("rb") as stream:
            for line in stream:
                yield line.rstrip(b"\n")
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file; run maskgrid merge for this setting") from None


def _loads(path: Path, line: bytes) -> Entry:
    try:
        entry: Any = orjson.loads(line)
    except orjson.JSONDecodeError:
        raise _foreign(path) from None
    if not isinstance(entry, dict):
        raise _foreign(path)
    return entry


def _foreign(path: Path) -> UserError:
    return UserError(f"{path}: is not a complete COCO file written by maskgrid; run maskgrid merge for this setting")
