"""Masks read back from a COCO file, image by image."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from pycocotools import mask as coco_mask

from maskgrid.errors import UserError

RunLengthCode = dict[str, Any]


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
