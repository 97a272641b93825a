"""Where prompts lie, and which objects get them."""

import numpy as np
import pytest
import torch

from training.batches import Choice, choose_targets, click_inside
from training.prompts import IN, OUT, box_prompts, click_prompts, corrected


def squares() -> torch.Tensor:
    targets = torch.zeros(2, 64, 64, dtype=torch.bool)
    targets[0, 10:30, 20:40] = True
    targets[1, 40:60, 5:15] = True
    return targets


def test_clicks_lie_inside():
    rng = np.random.default_rng(0)
    mask = squares()[1].numpy()
    for _ in range(50):
        x, y = click_inside(rng, mask)
        assert mask[int(y), int(x)]


def test_half_of_the_boxes_are_exact_and_half_loose():
    targets = squares().repeat(200, 1, 1)
    prompts = box_prompts(targets, torch.Generator().manual_seed(0))
    off = 64 * prompts.points_frac_xy - torch.tensor(
        [[[20.0, 10.0], [40.0, 30.0]], [[5.0, 40.0], [15.0, 60.0]]]
    ).repeat(200, 1, 1)
    assert 1.5 < off.abs().max() <= 2.0
    assert 150 < (off == 0).flatten(1).all(1).sum() < 250  # half are exact
    assert prompts.labels.tolist() == [[2, 3]] * 400


def test_a_correction_clicks_missing_and_extra_pixels():
    targets = squares()
    nothing = torch.full((1, 1, 16, 16), -5.0)
    everything = torch.full((1, 1, 16, 16), 5.0)
    first = click_prompts(torch.tensor([[30.0, 20.0], [10.0, 50.0]]), 64)
    prompts = corrected(first, torch.cat([nothing, everything]), targets, torch.Generator().manual_seed(0))
    (x0, y0), (x1, y1) = (64 * prompts.points_frac_xy[:, 1]).long().tolist()
    assert targets[0, y0, x0]
    assert not targets[1, y1, x1]
    assert prompts.labels.tolist() == [[IN, IN], [IN, OUT]]


def test_targets_exclude_objects_that_are_too_small():
    masks = np.zeros((2, 64, 64), np.bool_)
    masks[0, :2, :2] = True
    masks[1, 20:50, 20:50] = True
    chosen = choose_targets(np.random.default_rng(0), masks, Choice(60, 0.01, 0.004, ground_share=0.5))
    areas = set(chosen.sum((1, 2)).tolist())
    assert areas == {900, 64 * 64 - 900 - 4}


def test_thin_objects_are_drawn_more_often():
    masks = np.zeros((3, 40, 40), np.bool_)
    masks[0, 0:10, 0:10] = True
    masks[1, 20:30, 20:30] = np.eye(10, dtype=np.bool_)  # fills a tenth of its box
    masks[2, 32:40, 32:40] = True
    masks[2, 33:39, 33:39] = False  # fills 28 of 64 pixels
    choice = Choice(6000, 0.0, 1e-6, ground_share=0.0, most_for_thin=5.0)
    chosen = choose_targets(np.random.default_rng(0), masks, choice)
    times = [int((chosen == mask).all((1, 2)).sum()) for mask in masks]
    assert sum(times) == 6000
    assert times[1] / times[0] == pytest.approx(5.0, rel=0.15)
    assert times[2] / times[0] == pytest.approx(64 / 28, rel=0.15)
