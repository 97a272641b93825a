"""Extents: up-sampling only a part gives the same bits as up-sampling the whole."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from maskgrid.network.predictor import Extent, interpolate


@st.composite
def frames(draw: st.DrawFn) -> tuple[int, tuple[int, int]]:
    """A side of logits, a power of two or not, and a target size: any, or close to a multiple of the side."""
    side = draw(st.sampled_from([8, 48, 64, 80, 100, 192, 256]))
    near = st.builds(lambda factor, more: factor * side + more, st.integers(1, 3), st.integers(-1, 1))
    height, width = (draw(st.one_of(st.integers(1, 500), near)) for _ in range(2))
    return side, (height, width)


def blob(side: int, seed: int) -> torch.Tensor:
    """Logits of one disc anywhere on a noisy ground."""
    random = torch.Generator().manual_seed(seed)
    centre, radius = torch.rand(2, generator=random) * side, torch.rand(1, generator=random) * side / 3
    y, x = torch.arange(side)[:, None], torch.arange(side)[None]
    distance = torch.sqrt((y - centre[0]) ** 2 + (x - centre[1]) ** 2)
    return (radius - distance + torch.randn(side, side, generator=random))[None]


@pytest.mark.parametrize("threads", [1, 2])
@settings(max_examples=150, deadline=None)
@given(drawn=frames(), seed=st.integers(0, 10**6))
def test_the_part_equals_that_of_the_whole_and_has_all_pixels_above_the_level(threads, drawn, seed):
    side, size_hw = drawn
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        logits = blob(side, seed)
        whole = F.interpolate(logits[None], size_hw, mode="bilinear", align_corners=False)[0]
        extent = Extent.above(logits, 0.5, size_hw)
        part = interpolate(logits, extent)
    finally:
        torch.set_num_threads(before)
    x0, y0, x1, y1 = extent.box_xyxy
    assert torch.equal(part, whole[:, y0:y1, x0:x1])
    whole[:, y0:y1, x0:x1] = -1.0
    assert not bool((whole > 0.5).any())


@pytest.mark.parametrize("side", [80, 192, 256])
def test_a_small_mask_needs_a_small_part(side):
    logits = torch.full((1, side, side), -5.0)
    logits[:, side // 13 : side // 7, side // 9 : side // 6] = 5.0
    extent = Extent.above(logits, 0.0, (1200, 1800))
    x0, y0, x1, y1 = extent.box_xyxy
    assert (y1 - y0) * (x1 - x0) < 0.02 * 1200 * 1800
    assert y1 <= extent.drawn_hw[0] < 300


def test_an_extent_without_pixels_above_the_level_has_one_pixel():
    extent = Extent.above(torch.full((2, 64, 64), -5.0), 0.0, (300, 400))
    assert interpolate(torch.zeros(2, 64, 64), extent).shape == (2, 1, 1)


def test_nan_logits_give_the_full_extent():
    logits = torch.full((1, 64, 64), float("nan"))
    assert Extent.above(logits, 0.0, (300, 400)).box_xyxy == (0, 0, 400, 300)
