"""J and F of masks simple enough to check by hand; tests/tracked/accuracy compares them with davis2017-evaluation."""

import numpy as np
import pytest

from maskgrid.masks.contours import contour_accuracy, region_similarity


def square(top: int, left: int, side: int, size: int = 40) -> np.ndarray:
    mask = np.zeros((size, size), np.bool_)
    mask[top : top + side, left : left + side] = True
    return mask


@pytest.mark.parametrize(
    ("moved_px", "j", "f"),
    [
        (0, 1, 1),
        (1, 14 / 16, 1),  # the tolerance is 0.8 % of the diagonal, rounded up: a pixel
        (2, 13 / 17, 32 / 60),  # of 60 pixels each, 28 are on an edge that moved and not at its ends
        (20, 0, 0),
    ],
)
def test_a_border_may_be_off_by_a_pixel_but_not_by_more(moved_px, j, f):
    mask, truth = square(10, 2 + moved_px, 15), square(10, 2, 15)
    assert region_similarity(mask, truth) == pytest.approx(j)
    assert contour_accuracy(mask, truth) == pytest.approx(f)
