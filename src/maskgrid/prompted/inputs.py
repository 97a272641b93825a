"""Prompts as arrays for sam2's ``predict``: from checked prompts in batches, or from a person's own arguments."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from maskgrid.dataset.objects import BadPromptError, Prompt, read_box, read_points
from maskgrid.io.errors import UserError
from maskgrid.masks.rle import decode

# How sam2 turns a mask into logits (SAM2Base._use_mask_as_output): 1 to 10 and 0 to -10.
_SCALE, _BIAS = 20.0, -10.0


@dataclass(frozen=True, slots=True)
class Inputs:
    """A batch of prompts of one kind.

    Attributes:
        point_coords: (b, n, 2), x and y.
        point_labels: int32 (b, n), 1 for a point on the object and 0 for one beside it.
        box_xyxy: (b, 4).
        mask_logits: (b, 1, h, w), of the size of the model's mask input; or b = 1 for all prompts.
        normalized: whether points and boxes are in 0..1 of the image instead of pixels.
    """

    point_coords: NDArray[Any] | None
    point_labels: NDArray[Any] | None
    box_xyxy: NDArray[Any] | None
    mask_logits: NDArray[Any] | None
    normalized: bool


def batches(prompts: Sequence[Prompt], prompts_per_batch: int) -> Iterator[list[int]]:
    """Positions of prompts that the decoder can take together: of one kind, with as many points.

    sam2 tells a batch by its points or boxes; masks alone it takes one by one.
    """
    groups: dict[object, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault((prompt.kind, prompt.n_points, prompt.normalized), []).append(index)
    for members in groups.values():
        size = 1 if prompts[members[0]].kind == "mask" else prompts_per_batch
        for start in range(0, len(members), size):
            yield members[start : start + size]


def inputs_of(prompts: Sequence[Prompt], size_hw: tuple[int, int], side_hw: tuple[int, int]) -> Inputs:
    """A batch (see :func:`batches`) of an image of ``size_hw``, for a model whose mask input has ``side_hw``."""
    codes = [prompt.mask_counts for prompt in prompts if prompt.mask_counts is not None]
    return Inputs(
        _stack([prompt.point_coords for prompt in prompts]),
        _stack([prompt.point_labels for prompt in prompts]),
        _stack([prompt.box_xyxy for prompt in prompts]),
        _stack([mask_logits(decode(code, size_hw), side_hw) for code in codes]),
        prompts[0].normalized,
    )


def inputs_from_arguments(
    point_coords: ArrayLike | None,
    point_labels: ArrayLike | None,
    box: ArrayLike | None,
    mask_input: ArrayLike | None,
    normalized: bool,
    size_hw: tuple[int, int],
    side_hw: tuple[int, int],
) -> Inputs:
    """The arguments of :meth:`maskgrid.Prompter.predict`, checked as the prompts of a table are.

    Raises:
        UserError: no prompt, or one that cannot be used.
    """
    if all(part is None for part in (point_coords, point_labels, box, mask_input)):
        raise UserError("predict needs a prompt: give point_coords with point_labels, box or mask_input")
    extent_wh = (1.0, 1.0) if normalized else (float(size_hw[1]), float(size_hw[0]))
    try:
        coords, labels = _points(point_coords, point_labels, extent_wh)
        boxes = None if box is None else np.stack([read_box(one, "xyxy", extent_wh) for one in _rows(box, 2)])
    except BadPromptError as error:
        raise UserError(error.message) from None
    if coords is not None and boxes is not None and len(coords) != len(boxes):
        raise UserError(f"point_coords and box: {len(coords)} prompts have points, and {len(boxes)} a box")
    logits = None if mask_input is None else _logits(np.asarray(mask_input), size_hw, side_hw)
    return Inputs(coords, labels, boxes, logits, normalized)


def mask_logits(mask: NDArray[np.bool_], side_hw: tuple[int, int]) -> NDArray[np.float32]:
    """A mask as the logits that ``predict`` takes for ``mask_input``.

    ``predict`` is made for the logits of an earlier prediction and says nothing of masks from elsewhere. They are
    turned into logits as sam2's video predictor does: 10 and -10, brought to the size by bilinear interpolation with
    antialiasing.

    Args:
        mask: bool (H, W).
        side_hw: the size of the model's mask input; (256, 256) for the official checkpoints.

    Returns:
        float32 (1, h, w).
    """
    planes = torch.from_numpy(mask.astype(np.float32))[None, None] * _SCALE + _BIAS
    resized = F.interpolate(planes, side_hw, mode="bilinear", align_corners=False, antialias=True)
    logits: NDArray[np.float32] = resized[0].numpy()
    return logits


def _points(
    point_coords: ArrayLike | None, point_labels: ArrayLike | None, extent_wh: tuple[float, float]
) -> tuple[NDArray[Any] | None, NDArray[Any] | None]:
    if point_coords is None and point_labels is None:
        return None, None
    coords = [] if point_coords is None else _rows(point_coords, 3)
    labels = [] if point_labels is None else _rows(point_labels, 2)
    if len(coords) != len(labels):
        raise UserError("point_coords and point_labels: each point needs a label, 1 or 0")
    points = [read_points(*one, extent_wh) for one in zip(coords, labels, strict=True)]
    return np.stack([one[0] for one in points]), np.stack([one[1] for one in points])


def _logits(mask: NDArray[Any], size_hw: tuple[int, int], side_hw: tuple[int, int]) -> NDArray[Any]:
    """A mask of the image, or the logits of an earlier prediction, as (b, 1, h, w)."""
    if mask.dtype == np.bool_ and mask.shape == size_hw:
        return mask_logits(mask, side_hw)[None]
    if mask.dtype != np.bool_ and mask.shape[-3:] == (1, *side_hw) and mask.ndim in (3, 4):
        return mask.reshape(-1, 1, *side_hw)
    raise UserError(
        f"mask_input: either logits that predict has returned, one mask a prompt (1, {side_hw[0]}, {side_hw[1]}), or a "
        f"boolean mask of the image {size_hw}; not {mask.dtype} of shape {mask.shape}"
    )


def _rows(values: ArrayLike, ndim: int) -> list[Any]:
    """What each prompt of a batch has, as plain values; a single prompt may come without the batch's dimension."""
    try:
        array = np.asarray(values)
        rows: list[Any] = array.reshape(-1, *array.shape[1 - ndim :]).tolist()
    except ValueError:
        raise UserError(f"points, labels and boxes are arrays of numbers, not {values!r}") from None
    return rows


def _stack(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """One part of a batch's prompts as one array; None if they have none."""
    given = [array for array in arrays if array is not None]
    return np.stack(given) if given else None
