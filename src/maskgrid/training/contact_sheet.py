"""A sheet of photographs with the masks that the model finds in them."""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import skimage.data
import skimage.io
from numpy.typing import NDArray
from PIL import Image
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base

from maskgrid.files import atomic_write
from maskgrid.predictor import fit_feature_sizes
from maskgrid.scenes.records import Masks, Pixels

# Photographs that scikit-image brings along.
_PHOTOGRAPHS = (
    "astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg",
    "coins.png", "motorcycle_left.png", "ihc.png", "horse.png",
)  # fmt: skip
_TILE_PX = 240
_PER_ROW = 2
_JPEG_QUALITY = 82


def draw_contact_sheet(model: SAM2Base, path: Path) -> list[int]:
    """Segment photographs of scikit-image with sam2's default settings, and draw each beside its masks.

    Args:
        model: from :func:`maskgrid.training.weights.load_demo`.
        path: the JPEG file to write.

    Returns:
        How many masks each photograph got.
    """
    generator = SAM2AutomaticMaskGenerator(model)
    fit_feature_sizes(generator.predictor)
    pairs, counts = [], []
    for name in _PHOTOGRAPHS:
        photograph = _tile(name)
        found = generator.generate(photograph)
        counts.append(len(found))
        masks = [one["segmentation"] for one in sorted(found, key=lambda one: one["area"], reverse=True)]
        pairs.append(np.concatenate([photograph, _coloured(photograph, masks)], axis=1))
    rows = [np.concatenate(pairs[start : start + _PER_ROW], axis=1) for start in range(0, len(pairs), _PER_ROW)]
    with atomic_write(path) as stream:
        Image.fromarray(np.concatenate(rows)).save(stream, format="JPEG", quality=_JPEG_QUALITY)
    return counts


def _tile(name: str) -> Pixels:
    """The middle square of a photograph, RGB."""
    image = np.asarray(skimage.io.imread(Path(skimage.data.__file__).parent / name))
    colours = np.stack([image] * 3, axis=-1) if image.ndim == 2 else image[..., :3]
    if colours.dtype == np.bool_:
        colours = colours * np.uint8(255)
    side = min(colours.shape[:2])
    top, left = (colours.shape[0] - side) // 2, (colours.shape[1] - side) // 2
    square = np.ascontiguousarray(colours[top : top + side, left : left + side].astype(np.uint8))
    return np.asarray(cv2.resize(square, (_TILE_PX, _TILE_PX), interpolation=cv2.INTER_AREA), np.uint8)


def _coloured(photograph: Pixels, masks: Sequence[Masks]) -> Pixels:
    """The photograph in grey, its masks in colours with a light border; large ones below small ones."""
    grey = photograph.mean(axis=2, keepdims=True).repeat(3, axis=2)
    rng = np.random.default_rng(7)
    for mask in masks:
        grey[mask] = 0.45 * grey[mask] + 0.55 * _bright(rng)
        inner = cv2.erode(mask.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0
        grey[mask & ~inner] = 250
    return np.asarray(np.clip(grey, 0, 255), np.uint8)


def _bright(rng: np.random.Generator) -> NDArray[np.float64]:
    hue = np.array([[[rng.integers(180), 220, 255]]], np.uint8)
    return np.asarray(cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0], np.float64)
