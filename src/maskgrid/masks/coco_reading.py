"""Read COCO files: any file as a whole, and those of ``coco.write_coco`` (one entry a line) image by image."""

import codecs
import json
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson

from maskgrid.io.errors import UserError
from maskgrid.masks import rle

Entry = dict[str, Any]


def read_json(path: Path, key: str) -> Any:  # noqa: ANN401
    """The content of a JSON file; ``key`` is the config key that names it.

    Raises:
        UserError: it is not JSON.
        OSError: it cannot be opened.
    """
    try:
        return orjson.loads(content := path.read_bytes().removeprefix(codecs.BOM_UTF8))
    except orjson.JSONDecodeError as error:
        # NaN and Infinity are no JSON, but Python's json writes them, and pycocotools reads them.
        with suppress(ValueError):
            if b"NaN" in content or b"Infinity" in content:
                return json.loads(content)
        raise UserError(f"{key}: {path} is not valid JSON: {error}") from None


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
    """The height and width stated in an entry of ``images``; None unless both are positive integers."""
    height, width = image.get("height"), image.get("width")
    if type(height) is int and type(width) is int and height > 0 and width > 0:
        return height, width
    return None


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
    try:
        masks: dict[Any, tuple[str, ImageMasks]] = {
            row["id"]: (str(row["file_name"]), ImageMasks((int(row["height"]), int(row["width"])), []))
            for row in images
        }
    except (KeyError, TypeError, ValueError) as error:
        raise UserError(f"{key}: {path}: an image has no id, name or size ({error})") from None
    for number, annotation in enumerate(annotations, 1):
        try:
            _, found = masks[annotation["image_id"]]
            found.codes.append(run_length_code(annotation["segmentation"], found.size_hw))
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise UserError(
                f"{key}: {path}: annotation {number} is not a mask of an image in the file ({error})"
            ) from None
    return dict(masks.values())


def run_length_code(segmentation: Any, size_hw: tuple[int, int]) -> bytes:  # noqa: ANN401
    """COCO's compressed code of a segmentation: polygons, a list of runs, or a compressed code as text.

    Raises:
        ValueError: it has another size.
    """
    if isinstance(segmentation, list):
        return rle.from_polygons(segmentation, size_hw)
    if list(segmentation["size"]) != list(size_hw):
        raise ValueError(f"its size is {segmentation['size']}, the image's is {list(size_hw)}")
    counts = segmentation["counts"]
    code: bytes = rle.from_runs(counts, size_hw) if isinstance(counts, list) else counts.encode("ascii")
    return code


def compressed(segmentation: Entry) -> Entry:
    """A mask's run-length code in COCO's compressed form, counts as text."""
    if isinstance(segmentation["counts"], str):
        return segmentation
    return rle.compressed(run_length_code(segmentation, segmentation["size"]), segmentation["size"])


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
