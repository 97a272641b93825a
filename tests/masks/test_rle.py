"""Run-length codes survive a round trip, agree with pycocotools, and are never decoded if malformed."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as coco_mask

from maskgrid.masks import rle

sizes = st.tuples(st.integers(1, 12), st.integers(1, 12))


@st.composite
def masks(draw) -> np.ndarray:
    height, width = draw(sizes)
    bits = draw(st.lists(st.booleans(), min_size=height * width, max_size=height * width))
    return np.array(bits, np.bool_).reshape(height, width)


@st.composite
def codes(draw) -> tuple[list[int], bytes]:
    """Valid and invalid runs, and their code."""
    pixels = draw(st.integers(1, 144))
    some = st.one_of(st.integers(0, pixels), st.integers(-3, 3), st.sampled_from([2**31, 2**32 - 1, 2**32, 2**58]))
    runs = draw(st.lists(some, max_size=8))
    rest = pixels - sum(runs)
    if draw(st.booleans()) and rest >= 0:
        runs.append(rest)
    return runs, code_of(runs)


def code_of(runs: list[int]) -> bytes:
    """COCO's code for any runs, implemented independently after maskApi.c, rleToString."""
    characters = bytearray()
    for index, run in enumerate(runs):
        value = run - runs[index - 2] if index > 2 else run
        while True:
            digit, value = value & 31, value >> 5
            more = value != (-1 if digit & 16 else 0)
            characters.append(48 + digit + 32 * more)
            if not more:
                break
    return bytes(characters)


@given(masks())
def test_round_trip_and_pycocotools(mask):
    code = rle.encode(mask)
    assert code == coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))["counts"]
    assert np.array_equal(rle.decode(code, mask.shape), mask)
    assert rle.area_px(code, mask.shape) == mask.sum()
    runs = rle.uncompressed(code, mask.shape)
    assert sum(runs["counts"]) == mask.size
    assert coco_mask.frPyObjects(runs, *mask.shape)["counts"] == code
    assert rle.from_runs(runs["counts"], mask.shape) == code
    assert code_of(runs["counts"]) == code


@given(sizes, st.integers(0, 4), st.randoms(use_true_random=False))
def test_planes_are_encoded_one_by_one(size_hw, n_masks, chance):
    planes = np.array([[[chance.random() < 0.5 for _ in range(size_hw[1])] for _ in range(size_hw[0])]] * n_masks)
    planes = planes.reshape(n_masks, *size_hw).astype(np.bool_)
    assert rle.encode_planes(torch.from_numpy(planes)) == [rle.encode(plane) for plane in planes]


@given(codes(), sizes)
def test_codes_are_decoded_only_if_their_runs_fill_the_image(code, size_hw):
    runs, counts = code
    assert rle.run_lengths(counts).tolist() == runs
    if sum(runs) == size_hw[0] * size_hw[1] and min(runs) >= 0:
        bits = [index % 2 for index, run in enumerate(runs) for _ in range(run)]
        assert np.array_equal(rle.decode(counts, size_hw), np.array(bits).reshape(size_hw[::-1]).T)
    else:
        with pytest.raises(ValueError):
            rle.decode(counts, size_hw)


@given(st.binary(max_size=20), sizes)
def test_any_bytes_are_either_refused_or_decoded_to_their_runs(counts, size_hw):
    try:
        mask = rle.decode(counts, size_hw)
    except ValueError:
        return
    runs = rle.run_lengths(counts)
    assert runs.sum() == mask.size
    assert mask.sum() == runs[1::2].sum()


@given(masks().filter(lambda mask: mask.any() and not mask.all()), st.data())
def test_a_truncated_code_is_refused(mask, data):
    code = rle.encode(mask)
    length = data.draw(st.integers(0, len(code) - 1))
    runs = None if length and code[length - 1] & 32 and code[length - 1] >= 80 else rle.run_lengths(code[:length])
    if runs is None or runs.sum() != mask.size:
        with pytest.raises(ValueError):
            rle.decode(code[:length], mask.shape)


def test_runs_whose_sum_wraps_around_are_refused():
    # 64 runs of 2**58 add up to 2**64, which is 0 in 64 bits; the last run fills the image.
    runs = [2**58] * 64 + [12]
    assert rle.run_lengths(code_of(runs)).sum() == 12
    with pytest.raises(ValueError):
        rle.check(code_of(runs), (3, 4))


@given(masks(), st.tuples(*[st.integers(0, 3)] * 4))
def test_a_window_is_encoded_like_the_whole_image(mask, room):
    above, below, left, right = room
    image = np.pad(mask, ((above, below), (left, right)))
    assert rle.encode_window(mask, (above, left), image.shape) == rle.encode(image)


@given(masks(), st.integers(0, 4), st.tuples(*[st.integers(0, 3)] * 4), st.randoms(use_true_random=False))
def test_windows_together_are_encoded_as_one_by_one(mask, n_masks, room, chance):
    above, below, left, right = room
    size_hw = (mask.shape[0] + above + below, mask.shape[1] + left + right)
    others = [np.array([chance.random() < 0.5 for _ in range(mask.size)]).reshape(mask.shape) for _ in range(n_masks)]
    for several in ([mask, *others], others):
        tensor = torch.from_numpy(np.array(several, np.bool_).reshape(-1, *mask.shape))
        codes = [rle.encode_window(each, (above, left), size_hw) for each in several]
        assert rle.encode_windows(tensor, (above, left), size_hw) == codes
        assert rle.encode_together(tensor, (above, left), size_hw) == codes


def test_overlaps_are_counted_in_pixels():
    random = np.random.default_rng(0)
    masks = [random.random((9, 7)) < share for share in (0.0, 0.2, 0.5, 0.8, 1.0)]
    codes, size_hw = [rle.encode(mask) for mask in masks], (9, 7)
    common = np.array([[(a & b).sum() for b in masks] for a in masks], np.float64)
    union = np.array([[(a | b).sum() for b in masks] for a in masks], np.float64)
    areas = np.array([[mask.sum()] for mask in masks], np.float64)
    assert np.allclose(rle.pairwise_iou(codes, codes, size_hw), common / np.maximum(union, 1))
    assert np.allclose(rle.containment(codes, codes, size_hw), common / np.maximum(areas, 1))
    assert rle.pairwise_iou(codes, [], size_hw).shape == (5, 0)
    assert rle.areas_px(codes, size_hw).tolist() == areas.ravel().tolist()
    assert rle.areas_px([], size_hw).shape == (0,)
    assert rle.merge(codes[1:3], size_hw) == rle.encode(masks[1] | masks[2])
    assert rle.union_area_px(codes[1:3], size_hw) == (masks[1] | masks[2]).sum()
    assert rle.union_area_px([], size_hw) == 0


@pytest.mark.parametrize("n_masks", [1, 255, 256, 300, 511])
def test_any_number_of_masks_has_areas(n_masks):
    masks = np.arange(12)[None, :] < (np.arange(n_masks) % 13)[:, None]
    codes = [rle.encode(mask.reshape(3, 4)) for mask in masks]
    assert rle.areas_px(codes, (3, 4)).tolist() == (np.arange(n_masks) % 13).tolist()


def test_polygons_are_drawn_as_one_mask():
    drawn = rle.decode(rle.from_polygons([[1, 1, 4, 1, 4, 3, 1, 3], [6, 0, 8, 0, 8, 2, 6, 2]], (5, 9)), (5, 9))
    wanted = np.zeros((5, 9), np.bool_)
    wanted[1:3, 1:4] = wanted[0:2, 6:8] = True
    assert np.array_equal(drawn, wanted)
