"""Where an object's box is expected: the Kalman filter against its equations, and boxes of masks."""

import numpy as np
import pytest
import torch
from plain_kalman import PlainKalman

from maskgrid.tracked.propagation.motion import Motion, boxes_of, overlaps_of


def moved(first, velocity, n, random):
    """Boxes that move and grow evenly, a little off."""
    found = np.array(first) + np.arange(n)[:, None] * np.array(velocity)
    return found + random.normal(0, 0.3, found.shape)


@pytest.mark.parametrize("step", [1, -1])
@pytest.mark.parametrize("seed", range(3))
def test_the_filter_follows_its_equations(step, seed):
    random = np.random.default_rng(seed)
    boxes = moved(random.uniform(20, 60, 4), random.uniform(-2, 2, 4), 12, random)
    plain, motion = PlainKalman(boxes[0]), Motion().after(boxes[0], step)
    for number, box in enumerate(boxes[1:], 2):
        np.testing.assert_allclose(motion.expected(step), plain.expected(step), rtol=1e-9)
        plain.see(box, step)
        motion = motion.after(box, step)
        np.testing.assert_allclose(motion.state, plain.state, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(motion.covariance, plain.covariance, rtol=1e-9, atol=1e-12)
        assert motion.n_seen == number


@pytest.mark.parametrize("step", [1, -1])
def test_an_even_motion_is_expected_to_go_on(step):
    motion, velocity = Motion(), np.array([3.0, -2.0, 0.5, 0.0])
    for frame in range(30):
        motion = motion.after(np.array([50.0, 90.0, 20.0, 30.0]) + frame * velocity, step)
    np.testing.assert_allclose(motion.expected(step), np.array([50.0, 90.0, 20.0, 30.0]) + 30 * velocity, atol=0.3)
    # Velocities are forwards in time, so tracking can turn around.
    np.testing.assert_allclose(motion.expected(-step), np.array([50.0, 90.0, 20.0, 30.0]) + 28 * velocity, atol=0.3)


def test_an_object_that_comes_back_starts_anew():
    box, other = np.array([50.0, 90.0, 20.0, 30.0]), np.array([10.0, 10.0, 5.0, 5.0])
    lost = Motion().after(box, 1).after(box + 1, 1).after(None, 1)
    assert lost.n_seen == 0
    back, fresh = lost.after(other, 1), Motion.begun(other)
    assert back.n_seen == fresh.n_seen == 1
    assert np.array_equal(back.state, fresh.state)
    assert np.array_equal(back.covariance, fresh.covariance)


def drawn(*boxes_xyxy, size_hw=(12, 16)):
    """Logits of a mask made of boxes."""
    logits = torch.full(size_hw, -3.0)
    for left, top, right, bottom in boxes_xyxy:
        logits[top:bottom, left:right] = 2.0
    return logits


@pytest.mark.parametrize(
    ("boxes_xyxy", "expected"),
    [
        ([(3, 2, 7, 10)], [5, 6, 4, 8]),
        ([(0, 0, 16, 12)], [8, 6, 16, 12]),
        ([(15, 11, 16, 12)], [15.5, 11.5, 1, 1]),
        ([(2, 1, 3, 4), (9, 6, 12, 7)], [7, 4, 10, 6]),
        ([], [np.nan] * 4),
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_boxes_of_masks(boxes_xyxy, expected, dtype):
    logits = torch.stack([drawn(*boxes_xyxy), drawn((1, 1, 2, 2))]).to(dtype)
    found = boxes_of(logits[None])
    assert found.shape == (1, 2, 4)
    np.testing.assert_array_equal(found[0], [expected, [1.5, 1.5, 1, 1]])


@pytest.mark.parametrize(
    ("box", "expected", "overlap"),
    [
        ([5, 5, 4, 4], [5, 5, 4, 4], 1),
        ([5, 5, 4, 4], [7, 5, 4, 4], 1 / 3),
        ([5, 5, 4, 4], [5, 5, 2, 2], 1 / 4),
        ([5, 5, 4, 4], [9, 5, 4, 4], 0),
        ([5, 5, 4, 4], [15, 5, 4, 4], 0),
        ([5, 5, 4, 4], [5, 5, -4, 4], 0),  # a box that was expected to shrink on and on
        ([np.nan] * 4, [5, 5, 4, 4], 0),
    ],
)
def test_overlaps_with_the_expected_box(box, expected, overlap):
    found = overlaps_of(np.array([box, box], float), np.array(expected, float))
    np.testing.assert_allclose(found, [overlap] * 2)
