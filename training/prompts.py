"""Prompts in the decoder's form: clicks, boxes, masks, and corrections of wrong masks."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

IN, OUT, BOX_FROM, BOX_TO = 1, 0, 2, 3  # SAM's point labels


@dataclass(frozen=True, slots=True)
class Prompts:
    """N prompts of the same kind.

    Attributes:
        points_frac_xy: (N, K, 2) float32, as fractions of the image's width and height.
        labels: (N, K) int32, see the constants of this module.
        logits: mask prompts, (N, 1, h, w) float32, or None.
    """

    points_frac_xy: Tensor
    labels: Tensor
    logits: Tensor | None = None


def click_prompts(clicks_xy: Tensor, side_px: int) -> Prompts:
    """One click per object; clicks (N, 2) are in pixels of an image ``side_px`` wide and high."""
    labels = torch.full((len(clicks_xy), 1), IN, dtype=torch.int32, device=clicks_xy.device)
    return Prompts(clicks_xy[:, None] / side_px, labels)


def extents(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Upper left and lower right corners of targets (N, S, S) bool, each (N, 2) float32, x then y, in pixels.

    An empty target gets the corners of the image.
    """
    rows, columns = targets.any(2).float(), targets.any(1).float()
    side = targets.shape[-1]
    low = torch.stack([columns.argmax(1), rows.argmax(1)], 1).float()
    high = side - torch.stack([columns.flip(1).argmax(1), rows.flip(1).argmax(1)], 1).float()
    return low, high


def exact_boxes(targets: Tensor) -> Prompts:
    """The box of each target (N, S, S) bool."""
    return _boxes(torch.stack(extents(targets), 1), targets.shape[-1])


def _boxes(corners_xy: Tensor, side_px: int) -> Prompts:
    labels = torch.tensor([BOX_FROM, BOX_TO], dtype=torch.int32, device=corners_xy.device)
    return Prompts(corners_xy / side_px, labels.expand(len(corners_xy), 2))


def box_prompts(targets: Tensor, generator: torch.Generator) -> Prompts:
    """The box of each target (N, S, S) bool; a random half are loose, with corners off by up to a tenth of the size.

    Boxes that people draw are loose, those of annotations and detectors are exact, and exact corners locate a stick.
    """
    side = targets.shape[-1]
    low, high = extents(targets)
    corners = torch.stack([low, high], 1)
    off = torch.rand(corners.shape, generator=generator) * 0.2 - 0.1
    loose = torch.rand(len(corners), 1, 1, generator=generator) < 0.5
    off = (off * loose).to(targets.device)
    return _boxes((corners + off * (high - low)[:, None]).clamp(0, side), side)


def with_mask(prompts: Prompts, logits: Tensor) -> Prompts:
    """The same points plus the masks of an earlier round, logits (N, 1, h, w)."""
    return Prompts(prompts.points_frac_xy, prompts.labels, logits)


def corrected(prompts: Prompts, logits: Tensor, targets: Tensor, generator: torch.Generator) -> Prompts:
    """Add a click where each mask is wrong, and the mask itself as a prompt.

    Args:
        prompts: the prompts so far.
        logits: the masks that they gave, (N, 1, h, w).
        targets: the right masks, (N, S, S) bool.
        generator: picks a wrong pixel to click, or any pixel if the mask is right.
    """
    masks = F.interpolate(logits, size=targets.shape[-2:], mode="bilinear", align_corners=False)[:, 0] > 0
    wrong = (masks ^ targets).flatten(1).float()
    wrong = torch.where(wrong.sum(1, keepdim=True) > 0, wrong, torch.ones_like(wrong))
    noise = torch.rand(wrong.shape, generator=generator).to(wrong.device)
    place = (wrong * noise).argmax(1)
    side = targets.shape[-1]
    click = torch.stack([place % side + 0.5, place.div(side, rounding_mode="floor") + 0.5], 1) / side
    inside = torch.gather(targets.flatten(1), 1, place[:, None])
    labels = torch.where(inside, IN, OUT).to(torch.int32)
    points = torch.cat([prompts.points_frac_xy, click[:, None]], 1)
    return Prompts(points, torch.cat([prompts.labels, labels], 1), logits)
