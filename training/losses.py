"""The training losses: masks, their predicted IoU, and an embedding that groups the pixels of each object."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.prompts import extents

_FOCAL_WEIGHT, _DICE_WEIGHT, _WINDOW_WEIGHT = 20.0, 1.0, 1.0
_WINDOW_DICE_WEIGHT = 2.0  # with cross entropy alone, objects located only to a pixel or two get empty masks
_WINDOW_SAMPLES = 48  # along each side of the window around an object
_WINDOW_MARGIN = 0.2  # added on each side, as a share of the object's extent, plus this many cells of the logits:
_WINDOW_MARGIN_CELLS = 2
_EMBEDDED_PIXELS = 256


@dataclass(frozen=True, slots=True)
class MaskLoss:
    """Losses of one round of prompts and the true IoU of each mask, (N, 4) float32."""

    masks: Tensor
    iou: Tensor
    true_iou: Tensor


def mask_loss(
    logits: Tensor,
    predicted_iou: Tensor,
    targets: Tensor,
    best_share: float,
    three: float,
    others: Tensor | None = None,
) -> MaskLoss:
    """SAM's loss (weights: focal 20, dice 1, IoU 1), plus cross entropy and dice in a window around the object.

    Args:
        logits: (N, 4, h, w): the single mask, then the three for an ambiguous prompt.
        predicted_iou: (N, 4), from the IoU head.
        targets: (N, S, S) float32, 0 or 1.
        best_share: 1 trains only the best of the three masks, 0 all three equally.
        three: weight of the three masks; at 1, for ambiguous prompts, the single mask has weight 0.5.
        others: the other object that each prompt may mean, shaped like ``targets``; empty masks where there is none.
            Two of the three masks are then trained, one for each object.
    """
    each = _each_mask(logits, targets)
    true_iou = drawn_iou(logits.detach(), targets)
    iou_error = _iou_entropy(predicted_iou, true_iou)
    best = each[:, 1:].min(1).values
    if others is not None:
        rows = torch.nonzero(others.flatten(1).any(1))[:, 0]
        best = best.index_copy(0, rows, _best_pair(each[rows, 1:], _each_mask(logits[rows, 1:], others[rows])))
    ambiguous = best_share * best.mean() + (1 - best_share) * each[:, 1:].mean()
    loss = (1 - 0.5 * three) * each[:, 0].mean() + three * ambiguous
    return MaskLoss(loss, iou_error.mean(), true_iou)


def _best_pair(one: Tensor, other: Tensor) -> Tensor:
    """Smallest mean, (n,), of ``one`` (n, 3) at one mask and ``other`` (n, 3) at a different mask."""
    pairs = (one[:, :, None] + other[:, None]) / 2
    same = torch.eye(one.shape[1], dtype=torch.bool, device=one.device)
    return pairs.masked_fill(same, torch.inf).flatten(1).min(1).values


def tracking_loss(logits: Tensor, predicted_iou: Tensor, targets: Tensor) -> MaskLoss:
    """The same loss for tracked objects' three masks, logits (N, 3, h, w); only the best mask is trained."""
    each = _each_mask(logits, targets)
    true_iou = drawn_iou(logits.detach(), targets)
    return MaskLoss(each.min(1).values.mean(), _iou_entropy(predicted_iou, true_iou).mean(), true_iou)


def _each_mask(logits: Tensor, targets: Tensor) -> Tensor:
    coarse = area_means(targets, logits.shape[-1])
    entropy = F.binary_cross_entropy_with_logits(logits, coarse.expand_as(logits), reduction="none")
    focal = (entropy * (1 - torch.exp(-entropy)) ** 2).mean((2, 3))
    return _FOCAL_WEIGHT * focal + _DICE_WEIGHT * _dice(logits, coarse) + _WINDOW_WEIGHT * _in_window(logits, targets)


def _in_window(logits: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy and dice in a window around each object, (N, M), so that small objects count like large ones.

    Logits are sampled bilinearly, as when masks are enlarged to the image, so that borders get finer than a cell.
    """
    places = _window(targets, targets.shape[-1] / logits.shape[-1] * _WINDOW_MARGIN_CELLS)
    seen = F.grid_sample(logits, places, padding_mode="border", align_corners=False)
    wanted = F.grid_sample(targets[:, None], places, mode="nearest", align_corners=False)
    entropy = F.binary_cross_entropy_with_logits(seen, wanted.expand_as(seen), reduction="none").mean((2, 3))
    return entropy + _WINDOW_DICE_WEIGHT * _dice(seen, wanted)


def _window(targets: Tensor, margin_px: float) -> Tensor:
    """Grid of sampling positions around each target (N, S, S), in grid_sample's form: (N, K, K, 2), x then y."""
    low, high = extents(targets > 0)
    margin = _WINDOW_MARGIN * (high - low) + margin_px
    side = targets.shape[-1]
    low, high = (low - margin).clamp(min=0), (high + margin).clamp(max=side)
    steps = (torch.arange(_WINDOW_SAMPLES, device=targets.device) + 0.5) / _WINDOW_SAMPLES
    along = (low[:, None] + (high - low)[:, None] * steps[None, :, None]) * 2 / side - 1
    x, y = along[..., 0], along[..., 1]
    return torch.stack([x[:, None].expand(-1, len(steps), -1), y[:, :, None].expand(-1, -1, len(steps))], -1)


def _iou_entropy(predicted: Tensor, true: Tensor) -> Tensor:
    """Cross entropy, minimal where the prediction equals the true IoU.

    With the absolute error, the head's final sigmoid would get stuck at 0, since all masks are bad at first.
    """
    return F.binary_cross_entropy(predicted.clamp(1e-6, 1 - 1e-6), true, reduction="none")


def drawn_iou(logits: Tensor, targets: Tensor) -> Tensor:
    """IoU of masks drawn at half the image's size, (N, M) for logits (N, M, h, w) and targets (N, S, S).

    Logits are coarser than the image, and users get them enlarged; at their own size, small objects would be measured
    too coarsely. Half the image's size is close enough, at a quarter of the cost.
    """
    with torch.no_grad():
        side = targets.shape[-1] // 2
        drawn = F.interpolate(logits, size=(side, side), mode="bilinear", align_corners=False)
        flat = (drawn > 0).flatten(2).float()
        wanted = (F.avg_pool2d(targets[:, None], 2) > 0.5).flatten(2).float()
        common = (flat @ wanted.transpose(1, 2))[..., 0]
        return common / (flat.sum(2) + wanted.sum(2) - common).clamp(min=1)


def area_means(masks: Tensor, side: int) -> Tensor:
    """Average masks (N, S, S) float32 over the area of each of ``side`` x ``side`` cells: (N, 1, side, side)."""
    size = masks.shape[-1]
    edges = torch.arange(side + 1, device=masks.device, dtype=masks.dtype) * size / side
    pixels = torch.arange(size, device=masks.device, dtype=masks.dtype)
    shared = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    weights = shared.clamp(min=0) * side / size
    return (weights @ masks @ weights.T)[:, None]


def _dice(logits: Tensor, wanted: Tensor) -> Tensor:
    share = logits.sigmoid()
    return 1 - (2 * (share * wanted).sum((2, 3)) + 1) / (share.sum((2, 3)) + wanted.sum((2, 3)) + 1)


class PixelEmbedding(nn.Module):
    """Embed each pixel's features from all levels so that pixels of one object lie close together.

    It helps the encoder during training and is not part of the model.
    """

    def __init__(self, channels: int, width: int = 16) -> None:
        super().__init__()
        self.project = nn.Conv2d(channels, width, 1)

    def forward(self, levels: list[Tensor], labels: Tensor, generator: torch.Generator) -> Tensor:
        """Loss of telling whether two random pixels belong to one object.

        Args:
            levels: feature maps, finest first, each (B, C, h, w).
            labels: the object of each pixel, (B, S, S) int64.
            generator: draws the pixels.
        """
        count, side = len(labels), labels.shape[-1]
        chosen = torch.randint(0, side * side, (count, 1, _EMBEDDED_PIXELS), generator=generator).to(labels.device)
        places = torch.stack([chosen % side, chosen.div(side, rounding_mode="floor")], -1)
        places = (2 * places + 1) / side - 1
        points = torch.cat([F.grid_sample(level, places, align_corners=False) for level in levels], 1)
        objects = torch.gather(labels.flatten(1), 1, chosen[:, 0])
        return _same_object_loss(self.project(points)[:, :, 0].transpose(1, 2), objects)


def _same_object_loss(points: Tensor, objects: Tensor) -> Tensor:
    """Cross entropy of "both pixels are of one object", with yes and no weighted equally."""
    squares = points.pow(2).sum(2)
    distance = squares[:, :, None] + squares[:, None] - 2 * points @ points.transpose(1, 2)
    near = (2 / (1 + torch.exp(distance.clamp(0, 30)))).clamp(1e-5, 1 - 1e-5)
    same = (objects[:, :, None] == objects[:, None]).float()
    share = same.mean()
    weight = torch.where(same > 0, 0.5 / share, 0.5 / (1 - share).clamp(min=0.05))
    return (F.binary_cross_entropy(near, same, reduction="none") * weight).mean()
