"""Convert the masks of a prompt source (run-length codes, polygons, pictures) to COCO's compressed code."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.dataset.annotations.objects import BadPromptError, PromptStatus
from maskgrid.dataset.pixels.decoding import load
from maskgrid.dataset.pixels.pillow import DECODE_ERRORS, FORMATS, pillow_limits
from maskgrid.masks import rle
from maskgrid.masks.segmentations import code_of, parts_with_area


def read_mask(value: Any, size_hw: tuple[int, int], folder: Path) -> bytes:  # noqa: ANN401
    """Convert a mask of the image's size to COCO's compressed run-length code.

    Args:
        value: a run-length code (``{"size": [h, w], "counts": text or list}``), COCO's polygons (lists
            x, y, x, y, ... in pixels), or the path of a picture whose pixels above 0 are the object.
        size_hw: the image's height and width.
        folder: the folder that a picture's path starts from.

    Raises:
        BadPromptError: the mask cannot be read, is not of the image's size, or has no pixels.
    """
    if isinstance(value, dict | list):
        counts = _segmentation(value, size_hw)
    elif isinstance(value, str):
        counts = _picture(folder / value, size_hw)
    else:
        raise _malformed(f"a mask is a run-length code, polygons or a path, not {type(value).__name__}")
    if rle.area_px(counts, size_hw) == 0:
        raise BadPromptError(PromptStatus.EMPTY_MASK, "the mask has no pixel")
    return counts


def _segmentation(value: dict[str, Any] | list[Any], size_hw: tuple[int, int]) -> bytes:
    if value == []:
        raise BadPromptError(PromptStatus.EMPTY_MASK, "the segmentation is an empty list")
    try:
        if isinstance(value, list) and not parts_with_area(value, size_hw):
            raise _malformed("a polygon is a list x, y, x, y, ... of at least three points")
        return code_of(value, size_hw)
    except ValueError as error:
        raise _malformed(str(error)) from None


def _picture(path: Path, size_hw: tuple[int, int]) -> bytes:
    try:
        with pillow_limits(size_hw[0] * size_hw[1]), PIL.Image.open(path, formats=FORMATS) as image:
            if image.size != size_hw[::-1]:
                raise _malformed(f"{path.name} has {image.size} pixels, and the image {size_hw[::-1]}")
            load(image)
            pixels = np.asarray(image)
            colours = pixels[..., :-1] if image.mode in ("LA", "RGBA") else pixels
    except FileNotFoundError:
        raise _malformed(f"there is no file {path.name}") from None
    except DECODE_ERRORS as error:
        raise _malformed(f"{path.name} cannot be read: {error}") from None
    mask: NDArray[np.bool_] = colours > 0 if colours.ndim == 2 else np.any(colours > 0, axis=-1)
    return rle.encode(mask)


def _malformed(message: str) -> BadPromptError:
    return BadPromptError(PromptStatus.MALFORMED_MASK, message)
