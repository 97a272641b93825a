"""Where an object's box is expected on the next frame: a Kalman filter with constant velocity over (x, y, w, h)."""

from dataclasses import dataclass, field
from typing import Self

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Box = NDArray[np.float64]  # x and y of the middle, width, height

# How far measurements and predictions are off: deviations as shares of the box's width (x, w) and height (y, h), as in
# DeepSORT (Wojke et al., arXiv:1703.07402) and the trackers after it.
_OF_PLACE, _OF_VELOCITY = 1 / 20, 1 / 160
_FIRST_OF_PLACE, _FIRST_OF_VELOCITY = 2, 10  # times as far for an object that was seen once


@dataclass(frozen=True, slots=True, eq=False)
class Motion:
    """What is known of an object's motion after a frame.

    Attributes:
        state: (8,), the box and its change per frame, forwards in time; in pixels of the decoder's masks.
        covariance: (8, 8).
        n_seen: number of frames in a row, up to this one, on which the object was seen; with 0 nothing is known.
    """

    state: NDArray[np.float64] = field(default_factory=lambda: np.zeros(8))
    covariance: NDArray[np.float64] = field(default_factory=lambda: np.zeros((8, 8)))
    n_seen: int = 0

    @classmethod
    def begun(cls, box: Box) -> Self:
        """The motion of an object that was seen once."""
        return cls(np.concatenate([box, np.zeros(4)]), _noise(box, _FIRST_OF_PLACE, _FIRST_OF_VELOCITY), 1)

    def expected(self, step: int) -> Box:
        """The box expected ``step`` frames on: 1, or -1 when tracking backwards."""
        return np.asarray(self._filter(step).predict()[:4, 0])

    def after(self, box: Box | None, step: int) -> "Motion":
        """The motion after the next frame, with the box seen there; None if the object was out of sight.

        An object that comes back starts anew: its way there is unknown.
        """
        if box is None:
            return Motion()
        if self.n_seen == 0:
            return Motion.begun(box)
        tracked = self._filter(step)
        tracked.predict()
        tracked.correct(box[:, None])
        state, covariance = (np.array(part, np.float64) for part in (tracked.statePost[:, 0], tracked.errorCovPost))
        return Motion(state, covariance, self.n_seen + 1)

    def _filter(self, step: int) -> cv2.KalmanFilter:
        tracked = cv2.KalmanFilter(8, 4, 0, cv2.CV_64F)
        tracked.transitionMatrix = np.eye(8) + step * np.eye(8, k=4)
        tracked.measurementMatrix = np.eye(4, 8)
        tracked.processNoiseCov = _noise(self.state, 1, 1)
        tracked.measurementNoiseCov = np.ascontiguousarray(_noise(self.state, 1, 1)[:4, :4])
        tracked.statePost, tracked.errorCovPost = self.state[:, None].copy(), self.covariance.copy()
        return tracked


def boxes_of(logits: Tensor) -> NDArray[np.float64]:
    """The boxes of masks (..., H, W), shape (..., 4); NaN for an empty mask. The device is asked once."""
    masks = logits > 0
    ends = []
    for inside in (masks.any(-2), masks.any(-1)):  # columns, rows
        low = inside.byte().argmax(-1)
        high = inside.shape[-1] - inside.flip(-1).byte().argmax(-1)
        ends.append(torch.stack([low + high, 2 * (high - low)], -1) / 2)
    boxes = torch.cat([torch.stack(part, -1) for part in zip(*(end.unbind(-1) for end in ends), strict=True)], -1)
    boxes = torch.where(masks.any(-1).any(-1)[..., None], boxes, torch.nan)
    return boxes.cpu().double().numpy()


def overlaps_of(boxes: NDArray[np.float64], expected: Box) -> NDArray[np.float64]:
    """IoU (n,) of boxes (n, 4) with the expected one; 0 for no box (NaN)."""
    size = np.maximum(expected[2:], 0)
    low = np.maximum(boxes[:, :2] - boxes[:, 2:] / 2, expected[:2] - size / 2)
    high = np.minimum(boxes[:, :2] + boxes[:, 2:] / 2, expected[:2] + size / 2)
    common = np.clip(high - low, 0, None).prod(1)
    return np.asarray(np.nan_to_num(common / (boxes[:, 2:].prod(1) + size.prod() - common)))


def _noise(state: NDArray[np.float64], of_place: float, of_velocity: float) -> NDArray[np.float64]:
    size = np.tile(np.maximum(state[2:4], 1.0), 2)
    return np.diag(np.concatenate([of_place * _OF_PLACE * size, of_velocity * _OF_VELOCITY * size]) ** 2)
