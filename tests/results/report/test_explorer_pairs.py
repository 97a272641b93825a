"""The explorer has the pairs of masks that overlap by more than its floors; higher floors if there are too many."""

from itertools import combinations

import numpy as np
import pytest

from maskgrid.masks import rle
from maskgrid.results.report.explorer_pairs import Floors, pairs_data

SIZE_HW = (8, 9)


def made_masks(seed):
    """Masks of which some are empty, and some occur twice or three times."""
    random = np.random.default_rng(seed)
    masks = [random.random(SIZE_HW) < random.choice([0.0, 0.3, 0.8]) for _ in range(12)]
    return [*masks, *masks[:4], *masks[:2]]


def plain_pairs(masks, iou, of_smaller):
    found = {}
    for (a, one), (b, other) in combinations(enumerate(masks), 2):
        common = int((one & other).sum())
        if common and (common / (one | other).sum() > iou or common / min(one.sum(), other.sum()) > of_smaller):
            found[a, b] = common
    return found


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("floors", [(0.1, 0.2), (0.3, 0.5), (0.5, 0.9)])
def test_pairs_are_those_of_the_decoded_masks(seed, floors):
    masks = made_masks(seed)
    codes = [rle.encode(mask) for mask in masks]
    found = pairs_data(codes, np.zeros(len(codes)), SIZE_HW, Floors(*floors))
    pairs = zip(found["one"], found["other"], found["common"], strict=True)
    assert {(min(a, b), max(a, b)): common for a, b, common in pairs} == plain_pairs(masks, *floors)


def test_an_image_with_too_many_pairs_has_higher_floors():
    masks = made_masks(1)
    codes, level = [rle.encode(mask) for mask in masks], np.zeros(len(masks))
    for at, floors in enumerate(higher := [(0.3, 0.5), (0.5, 0.7), (0.7, 0.8), (0.8, 0.9), (0.9, 0.95)]):
        n_pairs = len(plain_pairs(masks, *floors))
        found = pairs_data(codes, level, SIZE_HW, Floors(0.3, 0.5, max_pairs=n_pairs))
        first = next(one for one in higher[: at + 1] if len(plain_pairs(masks, *one)) <= n_pairs)
        assert tuple(found["floors"].values()) == first
    assert pairs_data(codes, level, SIZE_HW, Floors(0.3, 0.5, max_pairs=n_pairs - 1)) is None
