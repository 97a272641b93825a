"""Measure a model with one click in the middle of each object, and with the object's box."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from sam2.sam2_image_predictor import SAM2ImagePredictor

from maskgrid.dataset.demo import Scene
from maskgrid.network.predictor import fit_feature_sizes
from training.batches import middle
from training.measures import drawable, is_measured, pairwise_iou

PLAIN, WITH_PARTS, PART, FAMILY = "plain things", "wholes with parts", "parts", "families"
KINDS = (PLAIN, WITH_PARTS, PART, FAMILY)


@dataclass(frozen=True, slots=True)
class ClickedObject:
    """One object and the answers to its click and its box.

    Attributes:
        kind: one of :data:`KINDS`; a part counts as a part even in a family.
        best_iou: IoU of the best of the click's three masks.
        chosen_iou: IoU of the mask that the IoU head ranks first.
        iou_error: mean absolute error of the predicted IoU of the three masks.
        boxed_iou: IoU of the box's single mask.
        drawable_iou: IoU that the true mask would reach through logits of the model's size.
    """

    kind: str
    best_iou: float
    chosen_iou: float
    iou_error: float
    boxed_iou: float
    drawable_iou: float


@dataclass(frozen=True, slots=True)
class ClickFigures:
    """Means of the fields of :class:`ClickedObject` over ``objects`` objects."""

    objects: int
    best_iou: float
    chosen_iou: float
    iou_error: float
    boxed_iou: float
    drawable_iou: float


def click_figures(objects: Sequence[ClickedObject]) -> ClickFigures:
    """Average over objects; NaN if there are none."""

    def mean(name: str) -> float:
        return float(np.mean([getattr(one, name) for one in objects])) if objects else float("nan")

    names = ("best_iou", "chosen_iou", "iou_error", "boxed_iou", "drawable_iou")
    return ClickFigures(len(objects), *(mean(name) for name in names))


def click_objects(model: SAM2Base, scenes: Iterable[Scene]) -> list[ClickedObject]:
    """Prompt every object that is large enough to measure with a click, and again with its box."""
    predictor = SAM2ImagePredictor(model)
    fit_feature_sizes(predictor)
    logits_side_px = 4 * predictor.model.sam_image_embedding_size
    return [one for scene in scenes for one in _of_scene(predictor, scene, logits_side_px)]


def _of_scene(predictor: SAM2ImagePredictor, scene: Scene, logits_side_px: int) -> list[ClickedObject]:
    measured = is_measured(scene)
    masks, kinds = scene.masks[measured], _kinds(scene)[measured]
    if len(masks) == 0:
        return []
    predictor.set_image(scene.image)
    clicks = np.array([middle(mask) for mask in masks])[:, None]
    three, predicted, _ = predictor.predict(clicks, np.ones((len(masks), 1)), multimask_output=True)
    three, predicted = three.reshape(-1, 3, *masks.shape[1:]) > 0, predicted.reshape(-1, 3)
    single, _, _ = predictor.predict(box=np.stack([_extent_xyxy(mask) for mask in masks]), multimask_output=False)
    single = single.reshape(masks.shape) > 0
    return [
        _answered(kind, mask, three[row], predicted[row], single[row], logits_side_px)
        for row, (kind, mask) in enumerate(zip(kinds, masks, strict=True))
    ]


def _answered(
    kind: str,
    mask: NDArray[np.bool_],
    three: NDArray[np.bool_],
    predicted: NDArray[np.float32],
    single: NDArray[np.bool_],
    logits_side_px: int,
) -> ClickedObject:
    iou = pairwise_iou(mask[None], np.concatenate([three, single[None], drawable(mask, logits_side_px)[None]]))[0]
    return ClickedObject(
        kind=kind,
        best_iou=float(iou[:3].max()),
        chosen_iou=float(iou[predicted.argmax()]),
        iou_error=float(np.abs(iou[:3] - predicted).mean()),
        boxed_iou=float(iou[3]),
        drawable_iou=float(iou[4]),
    )


def _kinds(scene: Scene) -> NDArray[np.str_]:
    wholes = np.isin(np.arange(len(scene.masks)), scene.part_of)
    kinds = np.where(wholes, WITH_PARTS, PLAIN)
    kinds = np.where(scene.family, FAMILY, kinds)
    return np.where(scene.part_of >= 0, PART, kinds)


def _extent_xyxy(mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The bounding box of a mask in pixels, (4,) float32."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    return np.array([x, y, x + width, y + height], np.float32)
