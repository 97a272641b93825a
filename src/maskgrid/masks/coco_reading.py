"""COCO files as ``merge.write_coco`` writes them, an entry a line, read image by image without holding the whole."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import orjson
from pycocotools import mask as coco_mask

from maskgrid.io.errors import UserError

Entry = dict[str, Any]

RunLengthCode = dict[str, Any]


def read_head(path: Path) -> dict[str, Any]:
    """What stands before the images: ``info``, ``licenses``, ``categories``.

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
    """Each image with its annotations, in the order of the file.

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


def compressed(segmentation: Entry) -> Entry:
    """A mask's run-length code in COCO's compressed form, counts as text."""
    if isinstance(segmentation["counts"], str):
        return segmentation
    code = coco_mask.frPyObjects(segmentation, *segmentation["size"])
    return {"size": segmentation["size"], "counts": code["counts"].decode("ascii")}


def _entries(path: Path, start: bytes) -> Iterator[Entry]:
    """The entries of one list of the file."""
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
    return UserError(f"{path}: is not a complete COCO file of maskgrid's; run maskgrid merge for this setting")


@dataclass(frozen=True, slots=True)
class ImageMasks:
    """The masks of one image.

    Attributes:
        size_hw: height and width in pixels.
        codes: in the file's order, as pycocotools takes them: ``size``, and ``counts`` as COCO's compressed bytes.
    """

    size_hw: tuple[int, int]
    codes: list[RunLengthCode]


def read_masks(path: Path) -> dict[str, ImageMasks]:
    """Masks by the images' ``file_name``; images without masks are there, with none.

    Raises:
        UserError: the file is missing, is no COCO file, or a mask is not of its image's size.
    """
    try:
        content = orjson.loads(path.read_bytes())
        masks: dict[Any, tuple[str, tuple[int, int], list[RunLengthCode]]] = {
            row["id"]: (str(row["file_name"]), _size(row), []) for row in content["images"]
        }
        annotations = content["annotations"]
    except FileNotFoundError:
        raise UserError(f"{path}: there is no such file") from None
    except (orjson.JSONDecodeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: is not a COCO file with images and annotations ({error})") from None
    for number, annotation in enumerate(annotations, 1):
        try:
            _, size_hw, codes = masks[annotation["image_id"]]
            codes.append(_code(annotation["segmentation"], size_hw))
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{path}: annotation {number} is not a mask of an image of the file ({error})") from None
    return {name: ImageMasks(size_hw, codes) for name, size_hw, codes in masks.values()}


def _size(row: dict[str, Any]) -> tuple[int, int]:
    return int(row["height"]), int(row["width"])


def _code(segmentation: Any, size_hw: tuple[int, int]) -> RunLengthCode:  # noqa: ANN401
    """One code of any of COCO's forms: polygons, a list of runs, or the compressed code."""
    if isinstance(segmentation, list):
        merged: RunLengthCode = coco_mask.merge(coco_mask.frPyObjects(segmentation, *size_hw))
        return merged
    if tuple(segmentation["size"]) != size_hw:
        raise ValueError(f"it is of size {segmentation['size']}, the image of {list(size_hw)}")
    counts = segmentation["counts"]
    if isinstance(counts, list):
        listed: RunLengthCode = coco_mask.frPyObjects(segmentation, *size_hw)
        return listed
    return {"size": list(size_hw), "counts": counts.encode("ascii")}
