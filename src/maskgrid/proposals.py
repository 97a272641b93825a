"""What the network is asked and what it proposes: the crops of an image, and the masks of a batch of prompts."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sam2.utils.amg import batch_iterator, generate_crop_boxes
from torch import Tensor

from maskgrid.passes import Pass


@dataclass(frozen=True, slots=True)
class Crop:
    """One crop of an image: its position in the layer and its box (x0, y0, x1, y1) in image pixels."""

    index: int
    box_xyxy: tuple[int, int, int, int]
    image_size_hw: tuple[int, int]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the crop."""
        x0, y0, x1, y1 = self.box_xyxy
        return y1 - y0, x1 - x0

    def cut(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The crop's pixels."""
        x0, y0, x1, y1 = self.box_xyxy
        return image[y0:y1, x0:x1]


@dataclass(frozen=True, slots=True)
class Proposals:
    """What the decoder made of one batch of prompts: n masks at its own resolution.

    Attributes:
        logits: float32 (n, h, w).
        predicted_iou: (n,), in the network's arithmetic.
        point_xy: float32 (n, 2), prompts in pixels of the crop.
        candidate_id: int64 (n,).
    """

    logits: Tensor
    predicted_iou: Tensor
    point_xy: Tensor
    candidate_id: Tensor

    def keep(self, mask: Tensor) -> "Proposals":
        """The proposals where the mask is true."""
        rows = mask.nonzero()[:, 0]  # a GPU is waited for once
        return Proposals(self.logits[rows], self.predicted_iou[rows], self.point_xy[rows], self.candidate_id[rows])

    def chunks(self, size: int) -> Iterator["Proposals"]:
        """The proposals in parts of at most ``size``."""
        for part in batch_iterator(size, self.logits, self.predicted_iou, self.point_xy, self.candidate_id):
            yield Proposals(*part)


def layer_crops(size_hw: tuple[int, ...], pass_: Pass) -> Iterator[Crop]:
    """The crops of the pass's layer, as sam2 lays them."""
    boxes, layers = generate_crop_boxes(size_hw, pass_.layer, pass_.overlap_ratio or 0.0)
    of_layer = [box for box, layer in zip(boxes, layers, strict=True) if layer == pass_.layer]
    for index, (x0, y0, x1, y1) in enumerate(of_layer):
        yield Crop(index, (x0, y0, max(x0, x1), max(y0, y1)), (int(size_hw[0]), int(size_hw[1])))
