"""Convert the masks of a prompt source (run-length codes, polygons, pictures) to COCO's compressed code."""

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.dataset.images import DECODE_ERRORS, FORMATS
from maskgrid.dataset.objects import BadPromptError, PromptStatus
from maskgrid.dataset.pillow import pillow_limits
from maskgrid.masks import rle


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
    if isinstance(value, dict):
        counts = _run_lengths(value, size_hw)
    elif isinstance(value, list):
        counts = _polygons(value, size_hw)
    elif isinstance(value, str):
        counts = _picture(folder / value, size_hw)
    else:
        raise _malformed(f"a mask is a run-length code, polygons or a path, not {type(value).__name__}")
    if rle.area_px(counts, size_hw) == 0:
        raise BadPromptError(PromptStatus.EMPTY_MASK, "the mask has no pixel")
    return counts


def _run_lengths(value: dict[str, Any], size_hw: tuple[int, int]) -> bytes:
    counts, size = value.get("counts"), value.get("size")
    if size != list(size_hw):
        raise _malformed(f"the mask's size is {size}, and the image's {list(size_hw)} (height, width)")
    if isinstance(counts, list):
        return _uncompressed(counts, size_hw)
    if not isinstance(counts, str | bytes) or not counts.isascii():
        raise _malformed("'counts' of a run-length code is text or a list of numbers")
    code = counts if isinstance(counts, bytes) else counts.encode("ascii")
    try:
        rle.check(code, size_hw)
    except ValueError as error:
        raise _malformed(str(error)) from None
    return code


def _uncompressed(counts: list[Any], size_hw: tuple[int, int]) -> bytes:
    if not all(type(run) is int and run >= 0 for run in counts) or sum(counts) != size_hw[0] * size_hw[1]:
        raise _malformed(f"the runs are not numbers that add up to {size_hw[0]} x {size_hw[1]} pixels")
    return rle.from_runs(counts, size_hw)


def _polygons(value: list[Any], size_hw: tuple[int, int]) -> bytes:
    limit = 10.0 * max(size_hw)
    for polygon in value:
        if not isinstance(polygon, list) or len(polygon) < 6 or len(polygon) % 2:
            raise _malformed("a polygon is a list x, y, x, y, ... of at least three points")
        # With far corners pycocotools would walk along edges almost forever.
        if not all(type(number) in (int, float) and abs(number) <= limit for number in polygon):
            raise _malformed("a polygon has a corner that is no number or far outside the image")
    if not value:
        raise BadPromptError(PromptStatus.EMPTY_MASK, "the segmentation is an empty list")
    return rle.from_polygons(value, size_hw)


def _picture(path: Path, size_hw: tuple[int, int]) -> bytes:
    try:
        with pillow_limits(size_hw[0] * size_hw[1]), PIL.Image.open(path, formats=FORMATS) as image:
            if image.size != size_hw[::-1]:
                raise _malformed(f"{path.name} has {image.size} pixels, and the image {size_hw[::-1]}")
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
