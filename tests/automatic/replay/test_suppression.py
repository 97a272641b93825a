"""Suppression in NumPy against torchvision's: the same positions in the same order."""

import itertools

import numpy as np
import pytest
import torch
from torchvision.ops.boxes import batched_nms

from maskgrid.automatic.replay.suppression import kept_by_nms
from maskgrid.automatic.replay.thresholds import rounded


def by_torchvision(box_xyxy, scores, iou_threshold):
    boxes = torch.from_numpy(box_xyxy)
    return batched_nms(boxes, torch.from_numpy(scores), torch.zeros(len(boxes), dtype=torch.int64), iou_threshold)


def random_boxes(random, n_boxes, side_px, least_px):
    corner = random.integers(0, side_px, (n_boxes, 2))
    size = random.integers(least_px, max(least_px + 1, side_px // 3), (n_boxes, 2))
    return np.concatenate([corner, corner + size], axis=1).astype(np.float32)


SCORES = {
    "distinct": lambda random, n: random.random(n, np.float32),
    "tied": lambda random, n: random.integers(0, 4, n).astype(np.float32) / 3,
    "equal": lambda _random, n: np.ones(n, np.float32),
}


@pytest.mark.parametrize("kind", SCORES)
@pytest.mark.parametrize("side_px", [6, 40, 300, 5000, 9000])  # areas above 2**24 are rounded
def test_the_same_as_torchvision(kind, side_px):
    random = np.random.default_rng([side_px, len(kind)])
    for n_boxes, least_px, threshold in itertools.product(
        (0, 1, 2, 100, 127, 128, 129, 400, 1000, 1001, 2500), (0, 1), (0.0, 0.1, 1 / 3, 0.5, 0.7, 0.95, 1.0)
    ):
        boxes, scores = random_boxes(random, n_boxes, side_px, least_px), SCORES[kind](random, n_boxes)
        expected = by_torchvision(boxes, scores, threshold).numpy()
        np.testing.assert_array_equal(kept_by_nms(boxes, scores, threshold), expected)


def test_an_iou_at_the_threshold_is_compared_as_in_torchvision():
    pairs = np.array([(width, width + more) for width in range(1, 60) for more in range(12)], np.float32)
    for width, longer in pairs:
        boxes = np.array([[0, 0, longer, 7], [0, 0, width, 7]], np.float32)
        scores, iou = np.array([1, 0.5], np.float32), float(width) / float(longer)
        for threshold in (iou, float(np.float32(iou)), np.nextafter(iou, 0), np.nextafter(iou, 1)):
            expected = by_torchvision(boxes, scores, float(threshold)).numpy()
            np.testing.assert_array_equal(kept_by_nms(boxes, scores, float(threshold)), expected)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_thresholds_are_rounded_as_torch_rounds_them(dtype):
    random = np.random.default_rng(1)
    exact = np.linspace(0, 1, 1025)
    values = np.concatenate([random.random(5000), exact, (exact[1:] + exact[:-1]) / 2, np.arange(0, 1.005, 0.01)])
    for value in [-np.inf, *values.tolist()]:
        assert rounded(np.array([value]), dtype)[0] == torch.tensor(value, dtype=getattr(torch, dtype)).item()
