"""Masks are painted in their boxes, with the pixels of whole pictures."""

import numpy as np
import pytest

from maskgrid.masks.pictures import paint


def painted_whole(pixels, masks):
    canvas = pixels.astype(np.float32)
    for mask, rgb in sorted(masks, key=lambda entry: -int(entry[0].sum())):
        canvas[mask] += (np.array(rgb, np.float32) - canvas[mask]) * np.float32(0.45)
        padded = np.pad(mask, 1)
        inside = padded[:-2, 1:-1] & padded[2:, 1:-1] & padded[1:-1, :-2] & padded[1:-1, 2:]
        canvas[mask & ~inside] = rgb
    return np.rint(canvas).astype(np.uint8)


def test_a_mask_of_nearly_all_is_only_outlined():
    pixels = np.full((10, 10, 3), 100, np.uint8)
    whole, half = np.ones((10, 10), bool), np.zeros((10, 10), bool)
    half[:5] = True
    red, blue = (255, 0, 0), (0, 0, 255)
    painted = paint(pixels, [(whole, red), (half, blue)], 0.9)
    assert painted[7, 5].tolist() == [100, 100, 100]
    assert painted[9, 5].tolist() == [255, 0, 0]
    assert np.array_equal(painted[:5], paint(pixels, [(half, blue)])[:5])


@pytest.mark.parametrize("density", [0.0, 0.002, 0.3, 1.0])
def test_painting_in_boxes_gives_the_same_pixels(density):
    random = np.random.default_rng(int(1000 * density))
    for height, width in ((40, 31), (1, 9), (9, 1)):
        pixels = random.integers(0, 256, (height, width, 3), np.uint8)
        masks = [(random.random((height, width)) < density, (255, 40 * number, 7)) for number in range(5)]
        block = np.zeros((height, width), bool)
        block[height // 3 :, : width // 2 + 1] = True
        masks.append((block, (1, 2, 3)))
        before = [mask.copy() for mask, _ in masks]
        assert np.array_equal(paint(pixels, masks), painted_whole(pixels, masks))
        assert all(np.array_equal(mask, old) for (mask, _), old in zip(masks, before, strict=True))
