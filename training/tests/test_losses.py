"""The mask losses."""

import itertools
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from maskgrid.dataset.demo import EASY
from training.batches import Choice, draw_batch
from training.losses import area_means, drawn_iou, mask_loss
from training.pool import drawn_pool

SIDE = 64


def square(top: int, left: int, side: int) -> torch.Tensor:
    mask = torch.zeros(1, SIDE, SIDE)
    mask[0, top : top + side, left : left + side] = 1
    return mask


def logits_of(*masks: torch.Tensor) -> torch.Tensor:
    """Confident logits for masks (1, S, S), at a quarter of their size: (1, M, S / 4, S / 4)."""
    return 20 * (F.avg_pool2d(torch.stack(masks, 1), 4) - 0.5)


def loss(logits: torch.Tensor, target: torch.Tensor, other: torch.Tensor | None = None) -> float:
    predicted = torch.full(logits.shape[:2], 0.5)
    return float(mask_loss(logits, predicted, target, best_share=1.0, three=1.0, others=other).masks)


WHOLE, PART, ELSEWHERE = square(8, 8, 40), square(16, 16, 16), square(52, 52, 8)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_an_ambiguous_click_needs_the_part_and_the_whole_among_the_three_masks(order):
    both = [WHOLE, PART, ELSEWHERE]
    three = [both[index] for index in order]
    twice = [[WHOLE, WHOLE, ELSEWHERE][index] for index in order]
    assert loss(logits_of(WHOLE, *three), WHOLE, PART) < 0.1
    assert loss(logits_of(WHOLE, *twice), WHOLE, PART) > 0.5
    assert loss(logits_of(WHOLE, *twice), WHOLE) < 0.1


def test_empty_others_do_not_change_the_loss():
    logits = logits_of(WHOLE, PART, WHOLE, ELSEWHERE)
    assert loss(logits, PART, torch.zeros_like(PART)) == loss(logits, PART)


@pytest.mark.parametrize("side", [4, 8, 32])
def test_a_missed_object_costs_about_the_same_at_every_size(side):
    target = square(8, 8, side)
    missed = loss(logits_of(*[ELSEWHERE] * 4), target)
    found = loss(logits_of(*[target] * 4), target)
    assert missed - found > 5.0


def test_an_empty_target_has_a_finite_loss():
    assert np.isfinite(loss(logits_of(*[WHOLE] * 4), torch.zeros(1, SIDE, SIDE)))


def test_the_iou_of_a_right_mask_is_one():
    iou = drawn_iou(logits_of(WHOLE, PART, ELSEWHERE, WHOLE), WHOLE)[0].tolist()
    assert iou == pytest.approx([1.0, 256 / 1600, 0.0, 1.0], abs=0.05)


@pytest.mark.parametrize("side", [16, 20, 24, 64])
def test_cells_hold_the_means_of_the_areas_they_cover(side):
    masks = torch.from_numpy(np.random.default_rng(0).random((2, SIDE, SIDE)) < 0.3).float()
    common = math.lcm(side, SIDE)
    fine = masks[:, None].repeat_interleave(common // SIDE, 2).repeat_interleave(common // SIDE, 3)
    assert torch.allclose(area_means(masks, side), F.avg_pool2d(fine, common // side), atol=1e-5)


def test_others_lie_under_the_click_and_differ_from_the_target(tmp_path):
    pool = drawn_pool(tmp_path / "easy.npz", range(40), SIDE, EASY, workers=1)
    batch = draw_batch(np.random.default_rng(0), pool, 40, (Choice(6, 0.001, 0.004, 0.2), Choice(2, 0.0, 0.001, 0.0)))
    assert len(batch.targets) == len(batch.others) == len(batch.clicks_xy) == 40 * 8
    ambiguous = 0
    for target, other, (x, y) in zip(batch.targets, batch.others, batch.clicks_xy.long().tolist(), strict=True):
        assert target[y, x]
        if other.any():
            ambiguous += 1
            assert other[y, x]
            assert (target & ~other).any() != (other & ~target).any(), "one lies within the other"
    assert ambiguous > 5
