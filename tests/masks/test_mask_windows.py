"""What is done with the part of an image around a mask is what is done with the whole."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from maskgrid.automatic.replay.regions import redraw, redraw_code
from maskgrid.masks.rle import decode, encode, from_runs
from maskgrid.masks.windows import decode_window

MASKS = arrays(np.bool_, array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=12))


@given(mask=MASKS, margin_px=st.integers(0, 5))
@settings(max_examples=300, deadline=None)
def test_a_window_holds_the_mask(mask, margin_px):
    window, (top, left) = decode_window(encode(mask), mask.shape, margin_px)
    whole = np.zeros_like(mask)
    whole[top : top + window.shape[0], left : left + window.shape[1]] = window
    np.testing.assert_array_equal(whole, mask)
    assert window.dtype == np.bool_
    assert window.flags.c_contiguous
    if mask.any():
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        bottom, right = min(mask.shape[0], rows[-1] + 1 + margin_px), min(mask.shape[1], columns[-1] + 1 + margin_px)
        assert (top, left) == (max(0, rows[0] - margin_px), max(0, columns[0] - margin_px))
        assert window.shape == (bottom - top, right - left)
    else:
        assert window.shape == (1, 1)


@pytest.mark.parametrize("runs", [[0, 3, 0, 2, 7], [2, 0, 3, 4, 0, 3], [0, 12], [12], [5, 4, 0, 3], [3, 3, 0, 0, 6]])
def test_runs_without_pixels_change_nothing(runs):
    code = from_runs(runs, (4, 3))
    window, (top, left) = decode_window(code, (4, 3), 12)
    assert (top, left) == (0, 0) or not decode(code, (4, 3)).any()
    if decode(code, (4, 3)).any():
        np.testing.assert_array_equal(window, decode(code, (4, 3)))


def test_a_code_of_another_size_is_refused():
    with pytest.raises(ValueError, match="add up to 12"):
        decode_window(encode(np.ones((3, 4), np.bool_)), (5, 5))


def test_a_small_mask_in_a_huge_image_takes_no_memory():
    size_hw = (40_000, 50_000)
    code = from_runs([40_000 * 30_000 + 7, 3, 40_000 - 3, 3, 2_000_000_000 - 40_000 * 30_001 - 10], size_hw)
    window, corner = decode_window(code, size_hw, 2)
    assert (window.shape, corner, int(window.sum())) == ((7, 6), (5, 29_998), 6)


@given(mask=MASKS, room=st.tuples(*[st.integers(0, 9)] * 4), min_area_px=st.integers(1, 40))
@settings(max_examples=400, deadline=None)
def test_small_regions_are_those_of_the_whole_image(mask, room, min_area_px):
    mask = np.pad(mask, (room[:2], room[2:]))
    if not mask.any():
        return
    whole, found = redraw(mask, min_area_px), redraw_code(encode(mask), mask.shape, min_area_px)
    assert (whole is None) == (found is None)
    if whole is not None:
        assert (whole.counts, whole.area_px) == (found.counts, found.area_px)
        assert whole.box_xyxy.tolist() == found.box_xyxy.tolist()
