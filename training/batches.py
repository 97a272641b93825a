"""Batches of images with clicked targets, drawn from a pool."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from training.pool import Pool

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_MIDDLE_SHARE = 0.4  # of the clicks
_LEAST_SHORTFALL = 0.05  # added to every shortfall, so that objects without any are drawn too


@dataclass(frozen=True, slots=True)
class Batch:
    """B images with P objects to segment in each.

    Attributes:
        images: normalised like sam2's, (B, 3, S, S) float32.
        targets: full masks, (B * P, S, S) bool, image by image.
        others: the other object that a click may mean (the whole around a part, or the part inside a whole),
            (B * P, S, S) bool; empty masks where there is none.
        clicks_xy: one click in each target, (B * P, 2) float32, pixel centres.
        labels: the innermost object at each pixel, (B, S, S) int64, 0 for the ground.
    """

    images: Tensor
    targets: Tensor
    others: Tensor
    clicks_xy: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(*(getattr(self, field.name).to(device) for field in fields(self)))

    def part(self, chosen: slice) -> "Batch":
        """The same images with some of the targets of each."""

        def some(each: Tensor) -> Tensor:
            return each.view(len(self.images), -1, *each.shape[1:])[:, chosen].flatten(0, 1)

        return Batch(self.images, some(self.targets), some(self.others), some(self.clicks_xy), self.labels)


@dataclass(frozen=True, slots=True)
class Choice:
    """How to choose the objects that become targets.

    Attributes:
        count: targets per image; an object can be drawn more than once, with a new click each time.
        least_area_frac: objects that cover a smaller share of the image are never drawn.
        full_area_frac: objects that cover a smaller share are drawn less often, by the square root of their area.
        ground_share: weight of the ground; a large object has 1.
        most_for_thin: objects that fill little of their bounding box (sticks, rings) are drawn more often, up to this
            many times as often.
        by_shortfall: draw objects with a large shortfall more often, where it was measured.
    """

    count: int
    least_area_frac: float
    full_area_frac: float
    ground_share: float
    most_for_thin: float = 1.0
    by_shortfall: bool = False


def normalise(images: NDArray[np.uint8]) -> Tensor:
    """Turn uint8 images (B, S, S, 3) into the network's input, (B, 3, S, S) float32."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    return ((pixels - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]).contiguous()


def draw_batch(rng: Generator, pool: Pool, n_images: int, choices: Sequence[Choice], hard_share: float = 0.0) -> Batch:
    """Draw scenes, rotate, flip and recolour them, and click objects in them.

    Args:
        rng: random number generator.
        pool: the scenes.
        n_images: B.
        choices: how to choose targets in each image, in this order; P is the sum of their counts.
        hard_share: share of the scenes drawn in proportion to their shortfall.
    """
    images, targets, others, clicks, labels = [], [], [], [], []
    for index in _drawn_scenes(rng, pool, n_images, hard_share):
        image, masks = _augmented(rng, pool.images[index], pool.masks(int(index)))
        shortfall = pool.shortfall_of(int(index))
        labels.append(_innermost(masks))
        images.append(image)
        for mask in np.concatenate([choose_targets(rng, masks, choice, shortfall) for choice in choices]):
            click = _click(rng, mask)
            targets.append(mask)
            clicks.append(click)
            others.append(_other_under(click, mask, masks))
    return Batch(
        images=normalise(np.stack(images)),
        targets=torch.from_numpy(np.stack(targets)),
        others=torch.from_numpy(np.stack(others)),
        clicks_xy=torch.from_numpy(np.stack(clicks)),
        labels=torch.from_numpy(np.stack(labels)),
    )


def _drawn_scenes(rng: Generator, pool: Pool, count: int, hard_share: float) -> NDArray[np.int64]:
    drawn = rng.integers(len(pool), size=count)
    if pool.shortfall is None or hard_share == 0 or not pool.shortfall.any():
        return drawn
    lacking = np.add.reduceat(pool.shortfall.astype(np.float64), pool.first[:-1])
    hard = rng.choice(len(pool), size=count, p=lacking / lacking.sum())
    return np.where(rng.random(count) < hard_share, hard, drawn)


def _other_under(
    click_xy: NDArray[np.float32], target: NDArray[np.bool_], masks: NDArray[np.bool_]
) -> NDArray[np.bool_]:
    """The other mask at a click, empty if none; only wholes and their parts overlap."""
    there = masks[masks[:, int(click_xy[1]), int(click_xy[0])]]
    different = there[(there != target).any((1, 2))]
    return different[0] if len(different) else np.zeros_like(target)


def _click(rng: Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """A click anywhere in a mask, or in its middle, where people click."""
    if rng.random() < _MIDDLE_SHARE:
        return np.array(middle(mask), np.float32) + 0.5
    return click_inside(rng, mask)


def click_inside(rng: Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The centre of a random pixel of a mask, (2,) float32: x, y."""
    inside = np.flatnonzero(mask)
    row, column = divmod(int(inside[rng.integers(len(inside))]), mask.shape[1])
    return np.array([column + 0.5, row + 0.5], np.float32)


def middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The pixel of a mask (x, y) farthest from its border."""
    depth = cv2.distanceTransform(np.pad(mask.astype(np.uint8), 1), cv2.DIST_L2, 5)[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return float(column), float(row)


def _augmented(
    rng: Generator, image: NDArray[np.uint8], masks: NDArray[np.bool_]
) -> tuple[NDArray[np.uint8], NDArray[np.bool_]]:
    turns = int(rng.integers(4))
    image, masks = np.rot90(image, turns), np.rot90(masks, turns, (1, 2))
    if rng.random() < 0.5:
        image, masks = image[:, ::-1], masks[:, :, ::-1]
    return image[..., rng.permutation(3)], masks


def _innermost(masks: NDArray[np.bool_]) -> NDArray[np.int64]:
    labels = np.zeros(masks.shape[1:], np.int64)
    for number, mask in enumerate(masks, start=1):  # parts come after their whole
        labels[mask] = number
    return labels


def choose_targets(
    rng: Generator, masks: NDArray[np.bool_], choice: Choice, shortfall: NDArray[np.float32] | None = None
) -> NDArray[np.bool_]:
    """Draw targets from masks (N, S, S) and the ground; ``shortfall`` (N,) has one value per mask.

    Returns:
        Masks, (count, S, S) bool; the same mask can occur more than once.
    """
    candidates = np.concatenate([masks, ~masks.any(0, keepdims=True)])
    area_frac = candidates.mean((1, 2))
    often = np.minimum(1.0, np.sqrt(area_frac / choice.full_area_frac))
    often *= np.minimum(choice.most_for_thin, 1 / np.maximum(_filled_frac(candidates), 1e-6))
    if choice.by_shortfall and shortfall is not None:
        often[:-1] *= (_LEAST_SHORTFALL + shortfall) / (_LEAST_SHORTFALL + shortfall.mean())
    weight = np.where(area_frac >= choice.least_area_frac, often, 0.0)
    weight[-1] = choice.ground_share if area_frac[-1] > 0.02 else 0.0
    if weight.sum() == 0:
        weight = area_frac
    return np.asarray(candidates[rng.choice(len(candidates), size=choice.count, p=weight / weight.sum())])


def _filled_frac(masks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """The share of its bounding box that each mask (N, S, S) fills, (N,); 0 for empty masks."""
    extent_px = np.multiply(_span_px(np.asarray(masks.any(1))), _span_px(np.asarray(masks.any(2))))
    return np.asarray(masks.sum((1, 2)) / np.maximum(extent_px, 1))


def _span_px(there: NDArray[np.bool_]) -> NDArray[np.int64]:
    """Length from the first to the last true value of each row (N, S), (N,)."""
    length_px = there.shape[1] - there[:, ::-1].argmax(1) - there.argmax(1)
    return np.where(there.any(1), length_px, 0).astype(np.int64)
