"""Convert prompts to arrays for sam2's ``predict``: checked prompts in batches, or the arguments of a call."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import ArrayLike, NDArray

from maskgrid.dataset.annotations.objects import BadPromptError, Prompt, read_box, read_points
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
        mask_logits: (b, 1, h, w), at the size of the model's mask input; b = 1 means one mask for all prompts.
        normalized: whether points and boxes are in 0..1 of the image instead of pixels.
    """

    point_coords: NDArray[Any] | None
    point_labels: NDArray[Any] | None
    box_xyxy: NDArray[Any] | None
    mask_logits: NDArray[Any] | None
    normalized: bool


def batches(prompts: Sequence[Prompt], prompts_per_batch: int) -> Iterator[list[int]]:
    """Yield positions of prompts that the decoder can take together: of one kind, with equally many points.

    sam2 infers the batch size from points or boxes, so prompts with only a mask go one by one.
    """
    groups: dict[object, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault((prompt.kind, prompt.n_points, prompt.normalized), []).append(index)
    for members in groups.values():
        size = 1 if prompts[members[0]].kind == "mask" else prompts_per_batch
        for start in range(0, len(members), size):
            yield members[start : start + size]


def inputs_of(prompts: Sequence[Prompt], size_hw: tuple[int, int], side_hw: tuple[int, int]) -> Inputs:
    """Stack a batch (see :func:`batches`) on an image of ``size_hw``, for a model with mask inputs of ``side_hw``."""
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
    """Check the arguments of :meth:`maskgrid.Prompter.predict` like the prompts of a table.

    Raises:
        UserError: there is no prompt, or an unusable one.
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
    """Convert a mask to the logits that ``predict`` takes as ``mask_input``.

    ``predict`` expects the logits of an earlier prediction and has no rule for other masks. This follows sam2's video
    predictor: 10 and -10, resized by bilinear interpolation with antialiasing.

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
    """Split an array into plain values per prompt; a single prompt may lack the batch dimension."""
    try:
        array = np.asarray(values)
        rows: list[Any] = array.reshape(-1, *array.shape[1 - ndim :]).tolist()
    except ValueError:
        raise UserError(f"points, labels and boxes are arrays of numbers, not {values!r}") from None
    return rows


def _stack(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [array for array in arrays if array is not None]
    return np.stack(present) if present else None
