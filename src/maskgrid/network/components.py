"""``max_hole_area``, ``max_sprinkle_area`` and ``fill_hole_area`` of sam2's predictors, the same on every device.

sam2 finds connected components with a CUDA kernel; without it, it warns and returns the masks unchanged. Here OpenCV
finds them, with the same connectivity, areas and fill values.
"""

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

# sam2 sets filled pixels this far above or below the threshold.
_FILL = 10.0
# sam2's video predictor gives filled holes this score.
_HOLE_SCORE = 0.1


def fill_small_components(
    logits: Tensor, mask_threshold: float, max_hole_area: float, max_sprinkle_area: float
) -> Tensor:
    """Fill small holes and remove small islands in mask logits.

    Args:
        logits: float32 (n, h, w), at the decoder's resolution.
        mask_threshold: pixels above it belong to the mask.
        max_hole_area: background components of up to this many pixels (8 neighbours) become mask; 0 for none.
        max_sprinkle_area: mask components of up to this many pixels become background; 0 for none. Both are searched
            in the original logits.

    Returns:
        Logits of the same shape, type and device; the same tensor if there is nothing to do.
    """
    if max_hole_area <= 0 and max_sprinkle_area <= 0:
        return logits
    filled = [
        _fill_plane(plane, mask_threshold, max_hole_area, max_sprinkle_area) for plane in logits.float().cpu().numpy()
    ]
    return torch.from_numpy(np.stack(filled)).to(logits.device) if filled else logits


def fill_holes(mask_scores: Tensor, max_area: int) -> Tensor:
    """Do what ``sam2.utils.misc.fill_holes_in_mask_scores`` does with its CUDA kernel.

    Args:
        mask_scores: float32 (n, 1, h, w).
        max_area: components of scores <= 0 of up to this many pixels (8 neighbours) get a score of 0.1.

    Returns:
        Scores of the same shape, type and device; the same tensor if there is nothing to do.
    """
    if max_area <= 0:
        return mask_scores
    planes = mask_scores.cpu().numpy()
    holes = np.stack([_small(plane[0] <= 0, max_area) for plane in planes])[:, None]
    return torch.where(torch.from_numpy(holes).to(mask_scores.device), _HOLE_SCORE, mask_scores)


def _fill_plane(
    plane: NDArray[np.float32], mask_threshold: float, max_hole_area: float, max_sprinkle_area: float
) -> NDArray[np.float32]:
    filled = plane.copy()
    if max_hole_area > 0:
        filled[_small(plane <= mask_threshold, max_hole_area)] = mask_threshold + _FILL
    if max_sprinkle_area > 0:
        filled[_small(plane > mask_threshold, max_sprinkle_area)] = mask_threshold - _FILL
    return filled


def _small(mask: NDArray[np.bool_], max_area: float) -> NDArray[np.bool_]:
    """The pixels of all components of a mask with at most ``max_area`` pixels."""
    _, labels, stats, _ = cv2.connectedComponentsWithStats(mask.view(np.uint8), connectivity=8)
    is_small = stats[:, cv2.CC_STAT_AREA] <= max_area
    is_small[0] = False  # everything outside the mask
    found: NDArray[np.bool_] = is_small[labels]
    return found
