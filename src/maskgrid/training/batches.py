"""Batches of images with clicked targets, drawn from a pool."""

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.random import Generator
from numpy.typing import NDArray
from torch import Tensor

from maskgrid.training.pool import Pool

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_MIDDLE_SHARE = 0.4  # of the clicks


@dataclass(frozen=True, slots=True)
class Batch:
    """Images and the objects to be segmented in them; B images with P targets each.

    Attributes:
        images: normalised as sam2 does, (B, 3, S, S) float32.
        targets: full masks, (B * P, S, S) bool, image after image.
        clicks_xy: one click in each target, (B * P, 2) float32, pixel centres.
        labels: the innermost object of each pixel, (B, S, S) int64, 0 for the ground.
    """

    images: Tensor
    targets: Tensor
    clicks_xy: Tensor
    labels: Tensor

    def to(self, device: torch.device) -> "Batch":
        """The same batch on a device."""
        return Batch(self.images.to(device), self.targets.to(device), self.clicks_xy.to(device), self.labels.to(device))

    def part(self, chosen: slice) -> "Batch":
        """The same images with some of the targets of each."""
        side = self.targets.shape[-1]
        targets = self.targets.view(len(self.images), -1, side, side)[:, chosen].flatten(0, 1)
        clicks = self.clicks_xy.view(len(self.images), -1, 2)[:, chosen].flatten(0, 1)
        return Batch(self.images, targets, clicks, self.labels)


def normalise(images: NDArray[np.uint8]) -> Tensor:
    """Take uint8 images (B, S, S, 3) to what the network wants, (B, 3, S, S) float32."""
    pixels = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).float() / 255
    return ((pixels - torch.tensor(_MEAN)[:, None, None]) / torch.tensor(_STD)[:, None, None]).contiguous()


def draw_batch(
    rng: Generator, pool: Pool, n_images: int, n_targets: int, least_area_frac: float, ground_share: float
) -> Batch:
    """Draw scenes, turn and tint them, and click objects in them.

    Args:
        rng: the source of chance.
        pool: where the scenes come from.
        n_images: B.
        n_targets: P, targets in each image; an object can be drawn more than once, with another click.
        least_area_frac: objects under this share of the image are not clicked.
        ground_share: weight of the ground among the targets, where a large object has 1.
    """
    images, targets, clicks, labels = [], [], [], []
    for index in rng.integers(len(pool), size=n_images):
        image, masks = _augmented(rng, pool.images[index], pool.masks(int(index)))
        labels.append(_innermost(masks))
        chosen = choose_targets(rng, masks, n_targets, least_area_frac, ground_share)
        images.append(image)
        targets.append(chosen)
        clicks.append(np.stack([_click(rng, mask) for mask in chosen]))
    return Batch(
        images=normalise(np.stack(images)),
        targets=torch.from_numpy(np.concatenate(targets)),
        clicks_xy=torch.from_numpy(np.concatenate(clicks)),
        labels=torch.from_numpy(np.stack(labels)),
    )


def _click(rng: Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Anywhere in a mask, or in its middle, where people click."""
    if rng.random() < _MIDDLE_SHARE:
        return np.array(middle(mask), np.float32) + 0.5
    return click_inside(rng, mask)


def click_inside(rng: Generator, mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The centre of a random pixel of a mask, (2,) float32: x, y."""
    inside = np.flatnonzero(mask)
    row, column = divmod(int(inside[rng.integers(len(inside))]), mask.shape[1])
    return np.array([column + 0.5, row + 0.5], np.float32)


def middle(mask: NDArray[np.bool_]) -> tuple[float, float]:
    """The pixel of a mask (x, y) that lies farthest from its border."""
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
    rng: Generator, masks: NDArray[np.bool_], count: int, least_area_frac: float, ground_share: float
) -> NDArray[np.bool_]:
    """Draw targets among masks (N, S, S) and the ground, large and small alike, but tiny ones less often.

    Returns:
        Masks, (count, S, S) bool; one can come more than once.
    """
    candidates = np.concatenate([masks, ~masks.any(0, keepdims=True)])
    area_frac = candidates.mean((1, 2))
    weight = np.where(area_frac >= least_area_frac, np.minimum(1.0, np.sqrt(area_frac / 0.004)), 0.0)
    weight[-1] = ground_share if area_frac[-1] > 0.02 else 0.0
    if weight.sum() == 0:
        weight = area_frac
    return np.asarray(candidates[rng.choice(len(candidates), size=count, p=weight / weight.sum())])
