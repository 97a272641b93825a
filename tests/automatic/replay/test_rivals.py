"""The pairs of boxes that drop each other: those of all pairs, however few are compared."""

import numpy as np
import pytest
import torch
from torchvision.ops import box_iou

from maskgrid.automatic.replay import rivals
from maskgrid.automatic.replay.rivals import Rivals


def drawn(n, seed):
    rng = np.random.default_rng(seed)
    corner, side = rng.integers(0, 400, (n, 2)), rng.integers(0, 60, (n, 2))
    side[rng.random(n) < 0.1] *= 8
    half = n // 2
    corner[half : 2 * half] = corner[:half] + rng.integers(-4, 5, (half, 2))
    side[half : 2 * half] = side[:half]
    box_xyxy = np.concatenate([corner, corner + side], axis=1).astype(np.int32)
    return box_xyxy, rng.permutation(n).astype(np.int64), rng.integers(0, 3, n)


@pytest.mark.parametrize("lowest", [0.0, 0.5, 0.9])
@pytest.mark.parametrize("n", [0, 1, 2, 3, 50, 400])
@pytest.mark.parametrize(("few", "block", "others"), [(10**6, 128, 1 << 15), (0, 128, 1 << 15), (0, 4, 7), (0, 1, 1)])
def test_pairs_of_boxes_are_those_of_torchvision(monkeypatch, lowest, n, few, block, others):
    monkeypatch.setattr(rivals, "_FEW", few)
    monkeypatch.setattr(rivals, "_BLOCK", block)
    monkeypatch.setattr(rivals, "_OTHERS", others)
    box_xyxy, order, classes = drawn(n, seed=n)
    found = Rivals.of_boxes(box_xyxy, order, classes, lowest)
    ordered = torch.from_numpy(box_xyxy[order].astype(np.float32)).reshape(-1, 4)
    iou = box_iou(ordered, ordered).numpy()
    expected = [
        (order[place], order[earlier], iou[place, earlier])
        for place in range(n)
        for earlier in range(place)
        if iou[place, earlier] > lowest and classes[order[place]] == classes[order[earlier]]
    ]
    pairs = [(later, found.earlier[at], found.overlap[at]) for later, at in found.later()]
    assert [(later, *one) for later, *rest in pairs for one in zip(*rest, strict=True)] == expected
    assert found.earlier.dtype == np.int64
    assert found.overlap.dtype == np.float64
