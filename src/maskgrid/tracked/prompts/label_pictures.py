"""Pictures that hold the masks of several objects, by number, as DAVIS and YouTube-VOS write them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.dataset.annotations.object_sources import Entry
from maskgrid.dataset.annotations.objects import BadPromptError, PromptStatus
from maskgrid.dataset.pixels.pillow import DECODE_ERRORS, FORMATS, pillow_limits
from maskgrid.masks import rle

_MODES = ("P", "L", "I;16")


def with_single_object(entry: Entry, number: int | None, size_hw: tuple[int, int], folder: Path) -> Entry:
    """If an entry's mask is a picture of several objects, take one of them.

    Args:
        entry: any entry.
        number: the object's, as its id says; None if that is no number.
        size_hw: the frame's height and width.
        folder: the folder that a picture's path starts from.

    Raises:
        BadPromptError: the picture holds several objects, and none has that number.
    """
    if not isinstance(entry.mask, str):
        return entry
    labels = _labels(folder / entry.mask, size_hw)
    if labels is None:
        return entry
    numbers = np.unique(labels[labels > 0]).tolist()
    if number not in numbers:
        named = ", ".join(map(str, numbers[:6])) + (", ..." if len(numbers) > 6 else "")
        raise BadPromptError(
            PromptStatus.MALFORMED_MASK,
            f"{Path(entry.mask).name} holds several objects ({named}): give this one's number as object_id, or a "
            "picture of it alone",
        )
    return replace(entry, mask=rle.compressed(rle.encode(labels == number), size_hw))


def _labels(path: Path, size_hw: tuple[int, int]) -> NDArray[np.uint16] | None:
    """The objects' numbers, shape (H, W), if a picture of the frame's size holds several; None otherwise.

    Without colours only the numbers 1, 2, ... count as objects: other greys are the edge of a single one.
    """
    try:
        with pillow_limits(size_hw[0] * size_hw[1]), PIL.Image.open(path, formats=FORMATS) as image:
            if image.mode not in _MODES or image.size != size_hw[::-1]:
                return None
            labels = np.asarray(image).astype(np.uint16)
            palette = image.getpalette() if image.mode == "P" else None
    except (OSError, *DECODE_ERRORS):  # reported where the mask is read
        return None
    numbers = np.unique(labels[labels > 0]).tolist()
    if len(numbers) < 2:
        return None
    if palette is not None and any(len(set(palette[3 * n : 3 * n + 3])) > 1 for n in numbers):
        return labels
    return labels if numbers == list(range(1, len(numbers) + 1)) else None
