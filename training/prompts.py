"""Prompts as the decoder takes them: clicks, boxes, masks, and corrections of what went wrong."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

IN, OUT, BOX_FROM, BOX_TO = 1, 0, 2, 3  # SAM's labels of points


@dataclass(frozen=True, slots=True)
class Prompts:
    """N prompts of the same kind.

    Attributes:
        points_frac_xy: (N, K, 2) float32, as shares of the image's width and height.
        labels: (N, K) int32, see the constants of this module.
        logits: a first mask to start from, (N, 1, h, w) float32, or None.
    """

    points_frac_xy: Tensor
    labels: Tensor
    logits: Tensor | None = None


def click_prompts(clicks_xy: Tensor, side_px: int) -> Prompts:
    """One click in each object; clicks (N, 2) in pixels of images of this width and height."""
    labels = torch.full((len(clicks_xy), 1), IN, dtype=torch.int32, device=clicks_xy.device)
    return Prompts(clicks_xy[:, None] / side_px, labels)


def extents(targets: Tensor) -> tuple[Tensor, Tensor]:
    """The upper left and lower right corners of targets (N, S, S) bool, each (N, 2) float32, x then y, in pixels.

    An empty target has the extent of the image.
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
    """The box of each target (N, S, S) bool; every other one's corners, by chance, off by up to a tenth of its size.

    Boxes that people draw are loose, those of annotations and detectors exact, and a stick is found by its corners.
    """
    side = targets.shape[-1]
    low, high = extents(targets)
    corners = torch.stack([low, high], 1)
    off = torch.rand(corners.shape, generator=generator) * 0.2 - 0.1
    loose = torch.rand(len(corners), 1, 1, generator=generator) < 0.5
    off = (off * loose).to(targets.device)
    return _boxes((corners + off * (high - low)[:, None]).clamp(0, side), side)


def with_mask(prompts: Prompts, logits: Tensor) -> Prompts:
    """The same points, starting from the masks of an earlier round; logits (N, 1, h, w)."""
    return Prompts(prompts.points_frac_xy, prompts.labels, logits)


def corrected(prompts: Prompts, logits: Tensor, targets: Tensor, generator: torch.Generator) -> Prompts:
    """Add a click where each mask is wrong, and start from the mask.

    Args:
        prompts: the prompts so far.
        logits: their masks, (N, 1, h, w).
        targets: what they should have been, (N, S, S) bool.
        generator: draws the click among the wrong pixels; a right mask is clicked at random.
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
