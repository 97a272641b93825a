"""Records of drawn scenes and clips: pixels, and the mask of everything in them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Masks = NDArray[np.bool_]
Indices = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Scene:
    """A drawn image with its ground truth.

    Attributes:
        image: RGB pixels, (H, W, 3) uint8.
        masks: the visible pixels of each object, (N, H, W) bool. The mask of a whole contains those of its
            parts and comes before them; wholes are disjoint from each other, and so are the parts of one whole.
        part_of: (N,) int64, the index of the whole that a mask belongs to; -1 for a whole.
        family: whether all wholes are of one kind and colour.
    """

    image: Pixels
    masks: Masks
    part_of: Indices
    family: bool


@dataclass(frozen=True, slots=True)
class Clip:
    """Drawn frames of moving things, with the masks of each.

    Attributes:
        frames: RGB pixels, (T, H, W, 3) uint8.
        masks: visible pixels of each object in each frame, (T, N, H, W) bool; all False where an object is hidden
            or outside. Every object is visible in the first frame.
    """

    frames: Pixels
    masks: Masks
