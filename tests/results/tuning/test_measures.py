"""The measures of many settings equal those of one setting, and plain NumPy over decoded masks."""

import numpy as np
import pytest

from maskgrid.masks import rle
from maskgrid.results.accuracy.image_truth import ImageTruth, TrueObjects
from maskgrid.results.tuning.measures import Covered, Found, Panoptic
from maskgrid.results.tuning.spans import Spans

SIZE_HW = (90, 110)


def made(seed):
    """Objects, some of them crowds or nested, masks that are shifted copies, scores with ties, and 60 settings."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]

    def disc(centre, radius):
        return (y - centre[0]) ** 2 + (x - centre[1]) ** 2 <= radius**2

    centres, radii = random.uniform(0, SIZE_HW, (9, 2)), random.uniform(2, 30, 9)
    objects = [disc(*one) for one in zip(centres, radii, strict=True)]
    source = random.integers(0, 9, 70)
    masks = [
        disc(centres[at] + random.normal(0, 2, 2), max(1.0, radii[at] * random.uniform(0.6, 1.3))) for at in source
    ]
    masks = [mask for mask in masks if mask.any()]
    truth = TrueObjects(tuple(map(rle.encode, objects)), random.random(9) < 0.2)
    scores = np.round(random.random(len(masks)), 1).astype(np.float32)
    alive = random.random((len(masks), 60)) < random.random(60)
    alive[:, 0], alive[:, 1] = False, True
    return truth, masks, scores, alive, np.argsort(-scores, kind="stable")


@pytest.mark.parametrize("seed", range(8))
def test_objects_found_are_those_of_the_accuracy_tables(seed):
    truth, masks, scores, alive, by_score = made(seed)
    image = ImageTruth.of(truth, [rle.encode(mask) for mask in masks], SIZE_HW)
    f1 = Found.prepare(image.matcher, by_score, is_recall=False).of(alive)
    recall = Found.prepare(image.matcher, by_score, is_recall=True).of(alive)
    for place in range(alive.shape[1]):
        kept = np.flatnonzero(alive[:, place])
        row = image.measure(kept, scores[kept])
        assert f1[place, 1] == row["n_masks"] - row["n_ignored_50"] + row["n_truth"]
        assert f1[place, 0] == 2 * row["n_found_50"]
        assert recall[place, 0] / recall[place, 1] == pytest.approx(row["ar_1000"], abs=1e-12)


def test_average_recall_looks_at_1000_masks():
    one = np.zeros(SIZE_HW, np.bool_)
    one[:5, :5] = True
    masks, scores = [~one] * 1000 + [one], np.linspace(1, 0, 1001, dtype=np.float32)
    image = ImageTruth.of(TrueObjects((rle.encode(one),), np.zeros(1, bool)), [rle.encode(m) for m in masks], SIZE_HW)
    alive = np.ones((1001, 2), np.bool_)
    alive[0, 1] = False
    found = Found.prepare(image.matcher, np.argsort(-scores, kind="stable"), is_recall=True).of(alive)
    assert found.tolist() == [[0.0, 10.0], [10.0, 10.0]]


@pytest.mark.parametrize("seed", range(4))
def test_coverage_is_the_union(seed):
    _, masks, _, alive, _ = made(seed)
    found = Covered(Spans.of([rle.encode(mask) for mask in masks]), SIZE_HW[0] * SIZE_HW[1]).of(alive)
    stacked = np.stack(masks)
    expected = [stacked[member].any(axis=0).mean() for member in alive.T]
    assert found[:, 0].tolist() == expected
    assert (found[:, 1] == 1).all()


def plain_panoptic(truth, masks, order):
    """Paint the masks from the worst to the best, then match."""
    owner = np.full(SIZE_HW, -1)
    for mask in reversed(order):
        owner[masks[mask]] = mask
    objects = [rle.decode(code, SIZE_HW) for code in truth.counts]
    above, n_match, n_alone = 0.0, 0, 0
    for mask in order:
        shown = owner == mask
        if not shown.any():
            continue
        ious = [(shown & one).sum() / (shown | one).sum() for one in objects]
        inside = [(shown & one).sum() / shown.sum() for one in objects]
        ious = [iou for iou, is_crowd in zip(ious, truth.is_crowd, strict=True) if not is_crowd]
        inside = [share for share, is_crowd in zip(inside, truth.is_crowd, strict=True) if is_crowd]
        if max(ious, default=0.0) > 0.5:
            above, n_match = above + max(ious), n_match + 1
        elif max(inside, default=0.0) <= 0.5:
            n_alone += 1
    n_lost = int((~truth.is_crowd).sum()) - n_match
    return above, n_match + (n_alone + n_lost) / 2


@pytest.mark.parametrize("seed", range(6))
def test_panoptic_quality_is_that_of_painted_masks(seed):
    truth, masks, _, alive, by_score = made(seed)
    found = Panoptic.prepare([rle.encode(mask) for mask in masks], by_score, truth, SIZE_HW).of(alive)
    for place in range(alive.shape[1]):
        order = [mask for mask in by_score.tolist() if alive[mask, place]]
        assert found[place].tolist() == pytest.approx(plain_panoptic(truth, masks, order))


def test_an_image_without_masks_or_objects():
    nothing = TrueObjects((), np.zeros(0, bool))
    empty = np.zeros((0, 3), np.bool_)
    order = np.zeros(0, np.int64)
    assert Panoptic.prepare([], order, nothing, SIZE_HW).of(empty).tolist() == [[0.0, 0.0]] * 3
    assert Covered(Spans.of([]), 100).of(empty).tolist() == [[0.0, 1.0]] * 3
    image = ImageTruth.of(nothing, [], SIZE_HW)
    assert Found.prepare(image.matcher, order, is_recall=False).of(empty).tolist() == [[0.0, 0.0]] * 3
