"""Render things and poses to pixels and masks."""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from maskgrid.dataset.demo.records import Masks
from maskgrid.dataset.demo.textures import Surface
from maskgrid.dataset.demo.things import Pose, Thing, cover, spread

_SOLID = 128  # a pixel belongs to a thing if at least half of it is covered


def render(ground: Surface, things: Sequence[Thing], poses: Sequence[Pose]) -> tuple[Surface, Masks]:
    """Draw things from back to front.

    Args:
        ground: the background, (H, W, 3) float32.
        things: from back to front.
        poses: one for each thing.

    Returns:
        The image, (H, W, 3) float32, 0 to 255; and the visible masks, (N, H, W) bool: for each thing its own mask,
        then one for each of its parts, in the order of ``things``.
    """
    size_hw = (ground.shape[0], ground.shape[1])
    image = ground.copy()
    masks: list[NDArray[np.bool_]] = []
    for thing, pose in zip(things, poses, strict=True):
        whole = cover(thing.outline, pose, size_hw)
        _cast_shadow(image, whole, thing, pose)
        _blend(image, whole, spread(thing.surface, pose, size_hw))
        solid = whole >= _SOLID
        for mask in masks:
            mask &= ~solid
        masks.append(solid)
        masks.extend(_draw_parts(image, whole, thing, pose))
        _draw_rim(image, whole, thing)
    return image, np.stack(masks) if masks else np.zeros((0, *size_hw), np.bool_)


def _draw_parts(image: Surface, whole: NDArray[np.uint8], thing: Thing, pose: Pose) -> list[NDArray[np.bool_]]:
    size_hw = (image.shape[0], image.shape[1])
    masks: list[NDArray[np.bool_]] = []
    for part in thing.parts:
        alpha = np.minimum(cover(part.outline, pose, size_hw), whole)
        _blend(image, alpha, spread(part.surface, pose, size_hw))
        solid = alpha >= _SOLID
        for mask in masks:
            mask &= ~solid
        masks.append(solid)
    return masks


def _box(alpha: NDArray[np.uint8]) -> tuple[slice, slice]:
    x, y, width, height = cv2.boundingRect(alpha)
    return slice(y, y + height), slice(x, x + width)


def _blend(image: Surface, alpha: NDArray[np.uint8], surface: Surface) -> None:
    box = _box(alpha)
    share = (alpha[box].astype(np.float32) / 255)[..., None]
    image[box] += share * (surface[box] - image[box])


def _cast_shadow(image: Surface, whole: NDArray[np.uint8], thing: Thing, pose: Pose) -> None:
    if thing.shadow == 0:
        return
    shift_px = max(1, round(0.12 * pose.radius_px))
    height, width = whole.shape
    hard = np.zeros((height, width), np.float32)
    hard[shift_px:, shift_px:] = whole[:-shift_px, :-shift_px]
    soft = np.asarray(cv2.GaussianBlur(hard, (0, 0), 0.5 + 0.6 * shift_px), np.float32)
    image *= 1 - (thing.shadow / 255 * soft)[..., None]


def _draw_rim(image: Surface, whole: NDArray[np.uint8], thing: Thing) -> None:
    if thing.rim == 0 or not whole.any():  # it may be outside the image
        return
    box = _box(whole)
    inner = cv2.erode(whole[box], np.ones((3, 3), np.uint8), borderValue=255)
    edge = (whole[box].astype(np.float32) - inner) / 255
    image[box] *= 1 - thing.rim * np.clip(edge, 0, 1)[..., None]
