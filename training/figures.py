"""Measure a model: automatic masks of held-out scenes, and objects tracked through held-out clips."""

import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import skimage.io
import torch
from numpy.typing import NDArray
from PIL import Image
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor

from maskgrid.dataset.demo import Clip, Scene
from maskgrid.dataset.demo.records import Masks, Pixels
from maskgrid.io.files import atomic_write
from maskgrid.masks.contours import contour_accuracy, region_similarity
from maskgrid.masks.pictures import grid
from maskgrid.network.predictor import fit_feature_sizes
from training.measures import IOU_STEPS, measured_masks, pairwise_iou, recalls

# Photographs that come with scikit-image.
_PHOTOGRAPHS = (
    "astronaut.png", "coffee.png", "chelsea.png", "rocket.jpg",
    "coins.png", "motorcycle_left.png", "ihc.png", "horse.png",
)  # fmt: skip
_TILE_PX = 240
_PER_ROW = 2
_JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class AutomaticFigures:
    """Recall of automatic masks with sam2's default thresholds.

    Attributes:
        objects: number of objects to find.
        masks: number of masks proposed.
        recall: share of objects with a mask at IoU 0.5.
        mean_recall: mean recall over IoU 0.5 to 0.95 in steps of 0.05.
    """

    objects: int
    masks: int
    recall: float
    mean_recall: float


@dataclass(frozen=True, slots=True)
class TrackingFigures:
    """Mean J and F of DAVIS over all frames after the first, for objects tracked from their first frame's mask."""

    objects: int
    region: float
    contour: float

    @property
    def both(self) -> float:
        """J&F, their mean."""
        return (self.region + self.contour) / 2


def measure_automatic(model: SAM2Base, scenes: Iterable[Scene]) -> AutomaticFigures:
    """Segment everything in each scene with the default settings of sam2's generator."""
    generator = SAM2AutomaticMaskGenerator(model)
    fit_feature_sizes(generator.predictor)
    objects, masks, hits = 0, 0, np.zeros(len(IOU_STEPS))
    for scene in scenes:
        truth = measured_masks(scene)
        found = generator.generate(scene.image)
        masks += len(found)
        objects += len(truth)
        if len(truth) and found:
            segmentations = np.stack([one["segmentation"] for one in found])
            hits += recalls(pairwise_iou(truth, segmentations)) * len(truth)
    share = hits / max(1, objects)
    return AutomaticFigures(objects, masks, float(share[0]), float(share.mean()))


def measure_tracking(model: SAM2VideoPredictor, clips: Iterable[Clip]) -> TrackingFigures:
    """Track the objects of each clip from their masks in the first frame."""
    region, contour = [], []
    for clip in clips:
        found = track(model, clip)
        large = np.flatnonzero(clip.masks[0].mean((1, 2)) > 0.002)
        for frame in range(1, len(clip.frames)):
            for index in large:
                pair = found[frame, index], clip.masks[frame, index]
                region.append(region_similarity(*pair))
                contour.append(contour_accuracy(*pair))
    return TrackingFigures(len(region), float(np.mean(region)), float(np.mean(contour)))


def track(model: SAM2VideoPredictor, clip: Clip) -> NDArray[np.bool_]:
    """Track a clip's objects from their masks in the first frame; return (T, N, H, W) bool."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for index, frame in enumerate(clip.frames):
            # sam2 lists only .jpg files but opens them by content, so PNG data keeps them lossless
            Image.fromarray(frame).save(Path(folder) / f"{index:05d}.jpg", format="PNG")
        state = model.init_state(folder)
        for number, mask in enumerate(clip.masks[0]):
            model.add_new_mask(state, frame_idx=0, obj_id=number, mask=mask)
        found = np.zeros(clip.masks.shape, np.bool_)
        for index, _, logits in model.propagate_in_video(state):
            found[index] = (logits[:, 0] > 0).cpu().numpy()
    return found


def draw_contact_sheet(model: SAM2Base, path: Path) -> list[int]:
    """Segment scikit-image's photographs with sam2's default settings, and draw each beside its masks.

    Args:
        model: from :func:`training.weights.load_demo`.
        path: the JPEG file to write.

    Returns:
        The number of masks of each photograph.
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
    with atomic_write(path) as stream:
        Image.fromarray(grid(pairs, _PER_ROW, gap_px=0)).save(stream, format="JPEG", quality=_JPEG_QUALITY)
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
    """Draw masks in colour with a light border on the photograph in grey, in the given order."""
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
