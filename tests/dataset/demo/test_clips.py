"""Clips: objects move, hide, leave and return, and the masks follow them."""

import numpy as np
import pytest

from maskgrid.dataset.demo import Clip, draw_clip


@pytest.fixture(scope="module")
def clips() -> list[Clip]:
    return [draw_clip(seed, n_frames=20, size_hw=(96, 96)) for seed in range(16)]


def test_a_seed_draws_the_same_clip(clips):
    again = draw_clip(2, n_frames=20, size_hw=(96, 96))
    assert np.array_equal(again.frames, clips[2].frames)
    assert np.array_equal(again.masks, clips[2].masks)


def test_frames_and_masks_match(clips):
    for clip in clips:
        assert clip.frames.shape == (20, 96, 96, 3)
        assert clip.frames.dtype == np.uint8
        assert clip.masks.shape[0] == 20
        assert clip.masks.shape[2:] == (96, 96)
        assert clip.masks.dtype == np.bool_


def test_every_object_is_visible_in_the_first_frame(clips):
    for clip in clips:
        assert clip.masks[0].any((1, 2)).all()


def test_objects_hide_each_other(clips):
    for clip in clips:
        assert clip.masks.sum(1).max(initial=0) <= 1


def test_a_shorter_clip_is_the_beginning_of_a_longer_one():
    short, long = draw_clip(1, 3, (64, 64)), draw_clip(1, 6, (64, 64))
    assert np.array_equal(short.masks, long.masks[:3])
    assert np.array_equal(short.frames, long.frames[:3])


def test_objects_move_but_do_not_jump(clips):
    moved = []
    for clip in clips:
        for masks in np.moveaxis(clip.masks, 1, 0):
            if masks[:2].any((1, 2)).all():
                centres = [np.argwhere(mask).mean(0) for mask in masks[:2]]
                moved.append(np.hypot(*(centres[1] - centres[0])))
    assert max(moved) > 0.5
    assert np.median(moved) < 0.1 * 96


def test_some_objects_leave_and_some_return(clips):
    left, returned = 0, 0
    for clip in clips:
        for seen in clip.masks.any((2, 3)).T:
            gone = np.flatnonzero(~seen)
            left += gone.size > 0
            returned += gone.size > 0 and seen[gone[0] :].any()
    assert left > 0
    assert returned > 0
