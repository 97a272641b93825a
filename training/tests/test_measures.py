"""The measures, on masks simple enough to check by hand."""

import numpy as np
import pytest

from training.measures import contour_accuracy, pairwise_iou, recalls, region_similarity


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


def test_an_empty_mask_is_right_only_if_the_object_is_gone():
    nothing = np.zeros((40, 40), np.bool_)
    assert region_similarity(nothing, nothing) == 1.0
    assert contour_accuracy(nothing, nothing) == 1.0
    assert region_similarity(square(0, 0, 5), nothing) == 0.0
    assert contour_accuracy(square(0, 0, 5), nothing) == 0.0


def test_a_border_may_be_off_by_a_pixel_but_not_by_many():
    truth = square(10, 10, 15)
    assert contour_accuracy(truth, truth) == 1.0
    assert contour_accuracy(square(10, 11, 15), truth) == 1.0
    assert contour_accuracy(square(10, 18, 15), truth) < 0.6
