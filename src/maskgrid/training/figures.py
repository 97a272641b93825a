"""The figures of a model: automatic masks of held-out scenes, objects tracked through held-out clips."""

import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_video_predictor import SAM2VideoPredictor

from maskgrid.predictor import fit_feature_sizes
from maskgrid.scenes import Clip, Scene
from maskgrid.training.held_out import measured_masks
from maskgrid.training.measures import (
    IOU_STEPS,
    contour_accuracy,
    pairwise_iou,
    recalls,
    region_similarity,
)


@dataclass(frozen=True, slots=True)
class AutomaticFigures:
    """Automatic masks with sam2's default thresholds.

    Attributes:
        objects: how many there were to be found.
        masks: how many masks came.
        recall: share of objects with a mask at IoU 0.5.
        mean_recall: the same, mean over IoU 0.5 to 0.95 in steps of 0.05.
    """

    objects: int
    masks: int
    recall: float
    mean_recall: float


@dataclass(frozen=True, slots=True)
class TrackingFigures:
    """Tracking of objects from their mask in the first frame: mean J and F of DAVIS over the later frames."""

    objects: int
    region: float
    contour: float

    @property
    def both(self) -> float:
        """J&F: the mean of the two."""
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
    """The masks that the model gives to the objects of a clip, (T, N, H, W) bool."""
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        for index, frame in enumerate(clip.frames):
            # sam2 lists files by this name and opens them by their content: no loss of quality
            Image.fromarray(frame).save(Path(folder) / f"{index:05d}.jpg", format="PNG")
        state = model.init_state(folder)
        for number, mask in enumerate(clip.masks[0]):
            model.add_new_mask(state, frame_idx=0, obj_id=number, mask=mask)
        found = np.zeros(clip.masks.shape, np.bool_)
        for index, _, logits in model.propagate_in_video(state):
            found[index] = (logits[:, 0] > 0).cpu().numpy()
    return found
