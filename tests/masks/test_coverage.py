from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskgrid.automatic.replay import stage as replaying
from maskgrid.automatic.replay.filters import replay
from maskgrid.masks import coverage
from maskgrid.masks.coverage import Coverage, Depths
from maskgrid.masks.rle import encode
from synthetic import make_images, measure, setting


def oracle(masks: np.ndarray, member: np.ndarray) -> tuple[int, int]:
    depth = masks[member].sum(axis=0)
    return int((depth >= 1).sum()), int((depth >= 2).sum())


@given(
    masks=arrays(np.bool_, array_shapes(min_dims=3, max_dims=3, min_side=1, max_side=9)),
    seed=st.integers(0, 1000),
)
@settings(max_examples=150, deadline=None)
def test_counts_equal_numpys(masks, seed):
    codes = [encode(mask) for mask in masks]
    measured, along = Coverage.of(codes, masks.shape[1:]), Depths(codes, masks.shape[1:])
    for member in np.random.default_rng(seed).random((5, len(masks))) < [[0.1], [0.4], [0.7], [1.0], [0.0]]:
        assert measured.measure(member) == along.measure(member) == oracle(masks, member)


@pytest.mark.parametrize("n_masks", [63, 64, 65, 200])
@pytest.mark.parametrize("chunk", [1, 7, 1 << 16])
def test_word_and_chunk_boundaries_do_not_matter(monkeypatch, n_masks, chunk):
    monkeypatch.setattr(coverage, "_CHUNK", chunk)
    random = np.random.default_rng(n_masks)
    masks = random.random((n_masks, 11, 13)) < random.random((n_masks, 1, 1)) * 0.3
    measured = Coverage.of([encode(mask) for mask in masks], (11, 13))
    for member in random.random((20, n_masks)) < 0.2:
        assert measured.measure(member) == oracle(masks, member)


def test_a_mask_given_twice_overlaps_itself():
    mask = np.zeros((4, 5), np.bool_)
    mask[1:3, 2:4] = True
    measured = Coverage.of([encode(mask)] * 2, (4, 5))
    assert measured.measure(np.array([True, False])) == (4, 0)
    assert measured.measure(np.array([True, True])) == (4, 4)


def test_equal_masks_of_two_candidates_overlap():
    """At a threshold of 1, NMS keeps both of two equal masks, and each covers the other."""
    image = make_images(1)[0]
    doubled = [replace(part, rows=part.rows.take(np.repeat(np.arange(len(part.rows)), 2))) for part in image.candidates]
    everything = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0, "crop_nms_thresh": 1.0}
    wanted = setting("all", **everything)
    ((covered, overlapped),) = replaying._coverage([(wanted, replay(doubled, wanted.generator))])
    assert covered == overlapped == measure(image.select(wanted))[0] > 0


def test_colliding_hashes_change_no_count(monkeypatch):
    monkeypatch.setattr(coverage, "_hash", lambda words: np.zeros(len(words), np.uint64))
    masks = np.random.default_rng(1).random((5, 8, 8)) < 0.5
    measured = Coverage.of([encode(mask) for mask in masks], (8, 8))
    member = np.array([True, True, False, True, False])
    assert measured.measure(member) == oracle(masks, member)


def test_no_masks_cover_nothing():
    assert Coverage.of([], (4, 5)).measure(np.zeros(0, np.bool_)) == (0, 0)


def test_a_choice_of_the_wrong_length_is_refused():
    measured = Coverage.of([encode(np.ones((2, 2), np.bool_))], (2, 2))
    with pytest.raises(ValueError, match="there are 1 masks"):
        measured.measure(np.ones(2, np.bool_))


def test_masks_of_another_image_are_refused():
    with pytest.raises(ValueError, match="add up to 4 and not to 6"):
        Coverage.of([encode(np.ones((2, 2), np.bool_))], (2, 3))
