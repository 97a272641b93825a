"""For notebooks: draw the masks of an image, and write masks of many images as COCO."""

import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.dataset.pixels.images import ImageLike, rgb_pixels
from maskgrid.io.errors import UserError
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks import rle
from maskgrid.masks.coco import CATEGORY, CATEGORY_ID
from maskgrid.masks.pictures import Colour, colour, paint
from maskgrid.masks.segmentations import code_of


class ObjectMask(Protocol):
    """An object's mask on a frame of a video, from :func:`maskgrid.track`."""

    @property
    def object_id(self) -> int:
        """The object's number."""
        ...

    @property
    def object_score_logit(self) -> float:
        """sam2's; above 0 the network considers the object visible."""
        ...

    @property
    def area_px(self) -> int:
        """Pixels of the mask."""
        ...

    @property
    def coco_rle(self) -> dict[str, Any]:
        """The mask as a run-length code."""
        ...


Mask = Mapping[str, Any] | ObjectMask
Masks = Sequence[Mask]


def show(image: ImageLike, masks: Masks) -> PIL.Image.Image:
    """Draw masks over their image; a notebook shows the picture if this is a cell's last line.

    Args:
        image: uint8 (H, W, 3) RGB, a PIL image, or a path.
        masks: from :meth:`maskgrid.MaskGenerator.generate`, with any ``output_mode``; or those of a frame, from
            :func:`maskgrid.track`, whose objects have the same colour on all frames.

    Raises:
        UserError: the image cannot be read, or a mask is of another size.
    """
    pixels = rgb_pixels(image)
    height, width, _ = pixels.shape
    drawn = [
        (rle.decode(_code(_segmentation(mask), (height, width)), (height, width)), _colour(n, mask))
        for n, mask in enumerate(masks)
    ]
    return PIL.Image.fromarray(paint(pixels, drawn))


def _colour(number: int, mask: Mask) -> Colour:
    return colour("masks", number) if isinstance(mask, Mapping) else colour("masklet", mask.object_id)


def _segmentation(mask: Mask) -> Any:  # noqa: ANN401
    return mask["segmentation"] if isinstance(mask, Mapping) else mask.coco_rle


def write_coco(path: str | os.PathLike[str], images: Iterable[tuple[ImageLike, Masks | None]]) -> None:
    """Write masks as a COCO file, with compressed run-length codes and sam2's scores.

    Masks of a video's frames have ``track_id``, the object's number; empty ones are left out. Boxes are
    the masks' true extent, as COCO's; sam2's are a pixel short.

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
            if not isinstance(mask, Mapping) and not mask.area_px:
                continue
            annotation = _annotation(len(annotations) + 1, number, mask, (height, width))
            annotations.append(dumps(annotation))
    head = {"info": {"description": "SAM 2 masks, made by maskgrid"}, "licenses": [], "categories": [CATEGORY]}
    write_document(Path(path), head, {"images": entries, "annotations": annotations})


def _annotation(number: int, image_id: int, mask: Mask, size_hw: tuple[int, int]) -> dict[str, Any]:
    counts = _code(_segmentation(mask), size_hw)
    return {
        "id": number,
        "image_id": image_id,
        "category_id": CATEGORY_ID,
        "segmentation": {"size": list(size_hw), "counts": counts.decode("ascii")},
        "area": mask["area"] if isinstance(mask, Mapping) else mask.area_px,
        "bbox": _box_xywh(rle.decode(counts, size_hw)),
        "iscrowd": 0,
        **_others(mask),
    }


def _others(mask: Mask) -> dict[str, Any]:
    """What a mask has besides its pixels: scores, and the object's number."""
    if isinstance(mask, Mapping):
        return {name: value for name, value in mask.items() if name not in ("segmentation", "bbox", "area")}
    return {"track_id": mask.object_id, "object_score_logit": mask.object_score_logit}


def _box_xywh(mask: NDArray[np.bool_]) -> list[int]:
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if not len(rows):
        return [0, 0, 0, 0]
    left, top = int(columns[0]), int(rows[0])
    return [left, top, int(columns[-1]) - left + 1, int(rows[-1]) - top + 1]


def _code(segmentation: Any, size_hw: tuple[int, int]) -> bytes:  # noqa: ANN401
    """The compressed code of a mask in any of sam2's three forms."""
    stated = segmentation.shape if isinstance(segmentation, np.ndarray) else segmentation["size"]
    if tuple(stated) != size_hw:
        raise UserError(f"the mask has {stated[0]} x {stated[1]} pixels, but its image {size_hw[0]} x {size_hw[1]}")
    return rle.encode(segmentation) if isinstance(segmentation, np.ndarray) else code_of(segmentation, size_hw)
