"""The measures, on masks simple enough to check by hand."""

import numpy as np
import pytest

from training.measures import pairwise_iou, recalls


def square(top: int, left: int, side: int, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


def test_iou_of_overlapping_squares():
    iou = pairwise_iou(np.stack([square(0, 0, 10), square(20, 20, 5)]), np.stack([square(0, 5, 10)]))
    assert iou == pytest.approx(np.array([[50 / 150], [0.0]]))


def test_one_mask_counts_for_one_object_only():
    iou = np.array([[0.9], [0.8]])
    assert recalls(iou)[0] == 0.5


def test_recall_takes_the_best_assignment_and_falls_with_the_threshold():
    iou = np.array([[0.9, 0.6], [0.8, 0.0]])
    found = recalls(iou)
    assert found[0] == 1.0  # at 0.5 the first object takes its worse mask, so that the second gets one too
    assert found[-1] == 0.0
    assert (np.diff(found) <= 0).all()


def test_no_masks_no_recall():
    assert recalls(np.zeros((3, 0))).max() == 0
