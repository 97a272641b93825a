"""For notebooks: draw the masks of an image, and write masks of many images as COCO."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.dataset.images import ImageLike, rgb_pixels
from maskgrid.io.errors import UserError
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks import rle
from maskgrid.masks.coco import CATEGORY, CATEGORY_ID
from maskgrid.masks.pictures import colour, paint
from maskgrid.masks.segmentations import code_of

Masks = Sequence[Mapping[str, Any]]


def show(image: ImageLike, masks: Masks) -> PIL.Image.Image:
    """Draw masks over their image; a notebook shows the picture if this is a cell's last line.

    Args:
        image: uint8 (H, W, 3) RGB, a PIL image, or a path.
        masks: from :meth:`maskgrid.MaskGenerator.generate`, with any ``output_mode``.

    Raises:
        UserError: the image cannot be read, or a mask is of another size.
    """
    pixels = rgb_pixels(image)
    height, width, _ = pixels.shape
    drawn = [(_mask(mask["segmentation"], (height, width)), colour("masks", n)) for n, mask in enumerate(masks)]
    return PIL.Image.fromarray(paint(pixels, drawn))


def write_coco(path: str | os.PathLike[str], images: Iterable[tuple[ImageLike, Masks | None]]) -> None:
    """Write masks as a COCO file, with compressed run-length codes and sam2's scores.

    Boxes are the masks' true extent, as COCO's; sam2's are a pixel short.

    Args:
        path: the output file; replaced once complete.
        images: each image with its masks. A path gives ``file_name``; other images are called by their number.
            Those with None, which could not be read, are left out.

    Raises:
        UserError: an image cannot be read, or a mask is of another size.
    """
    entries: list[bytes] = []
    annotations: list[bytes] = []
    for number, (image, masks) in enumerate(images, start=1):
        if masks is None:
            continue
        height, width, _ = rgb_pixels(image).shape
        name = os.fspath(image) if isinstance(image, str | os.PathLike) else f"{number:06}"
        entries.append(dumps({"id": number, "file_name": name, "width": width, "height": height}))
        for mask in masks:
            annotation = _annotation(len(annotations) + 1, number, mask, (height, width))
            annotations.append(dumps(annotation))
    head = {"info": {"description": "SAM 2 masks, made by maskgrid"}, "licenses": [], "categories": [CATEGORY]}
    write_document(Path(path), head, {"images": entries, "annotations": annotations})


def _annotation(number: int, image_id: int, mask: Mapping[str, Any], size_hw: tuple[int, int]) -> dict[str, Any]:
    scores = {name: value for name, value in mask.items() if name not in ("segmentation", "bbox", "area")}
    counts = _code(mask["segmentation"], size_hw)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": CATEGORY_ID,
        "segmentation": {"size": list(size_hw), "counts": counts.decode("ascii")},
        "area": mask["area"],
        "bbox": _box_xywh(rle.decode(counts, size_hw)),
        "iscrowd": 0,
        **scores,
    }


def _box_xywh(mask: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _mask(segmentation: Any, size_hw: tuple[int, int]) -> NDArray[np.bool_]:  # noqa: ANN401
    return rle.decode(_code(segmentation, size_hw), size_hw)


def _code(segmentation: Any, size_hw: tuple[int, int]) -> bytes:  # noqa: ANN401
    """The compressed code of a mask in any of sam2's three forms."""
    stated = segmentation.shape if isinstance(segmentation, np.ndarray) else segmentation["size"]
    if tuple(stated) != size_hw:
        raise UserError(f"the mask has {stated[0]} x {stated[1]} pixels, but its image {size_hw[0]} x {size_hw[1]}")
    return rle.encode(segmentation) if isinstance(segmentation, np.ndarray) else code_of(segmentation, size_hw)
