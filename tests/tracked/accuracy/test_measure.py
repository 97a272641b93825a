"""J, F, HOTA and IDF1 are those of davis2017-evaluation and TrackEval, on made masklets.

``official_figures.json`` has what the tools themselves say; scripts/official_figures.py remakes it.
"""

import json
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
from made_masklets import SIZE_HW, cases, disc, nothing

from maskgrid.masks import rle
from maskgrid.masks.contours import contour_accuracy, region_similarity
from maskgrid.tracked.accuracy.identities import IdentityCounts
from maskgrid.tracked.accuracy.measure import MeasuredFrame, measure

OFFICIAL = json.loads((Path(__file__).parents[1] / "official_figures.json").read_text())
CASES = cases()
CLOSE = {"rel": 0, "abs": 1e-12}


def codes(masks):
    return {number: rle.encode(np.ascontiguousarray(mask)) for number, mask in enumerate(masks)}


def measured(case, pairs=None, ends=False):
    last, n_truth = len(case.truth) - 1, case.truth.shape[1]
    frames = [
        MeasuredFrame(
            codes(case.truth[t]),
            codes(case.masks[t]),
            () if case.void is None or pairs is not None else (rle.encode(case.void[t]),),
            frozenset(range(n_truth)) if ends and t in (0, last) else frozenset(),
        )
        for t in range(last + 1)
    ]
    return measure(frames, SIZE_HW, n_truth, case.masks.shape[1], pairs)


def by_number(case):
    return measured(case, np.eye(case.truth.shape[1], case.masks.shape[1], dtype=np.bool_), ends=True)


@pytest.mark.parametrize("name", CASES)
def test_j_and_f_by_number_are_davis_semi_supervised(name):
    found, official = by_number(CASES[name]).objects, OFFICIAL["cases"][name]
    assert [one.j for one in found] == pytest.approx(official["by_number_j"], **CLOSE)
    assert [one.f for one in found] == pytest.approx(official["by_number_f"], **CLOSE)


@pytest.mark.parametrize("name", CASES)
def test_j_and_f_by_the_best_match_are_davis_unsupervised(name):
    found, official = measured(CASES[name]).objects, OFFICIAL["cases"][name]
    # The tool gives them in the order of the masklets, not of the objects.
    expected = sorted(zip(official["best_j"], official["best_f"], strict=True))
    assert np.array(sorted((one.j, one.f) for one in found)) == pytest.approx(np.array(expected), **CLOSE)


def figures(counts):
    return {name: getattr(counts, name) for name in ("hota", "det_a", "ass_a", "idf1")}


@pytest.mark.parametrize("name", CASES)
def test_hota_and_idf1_are_trackevals(name):
    official = {key: OFFICIAL["cases"][name][key] for key in ("hota", "det_a", "ass_a", "idf1")}
    assert figures(measured(CASES[name]).identities) == pytest.approx(official, **CLOSE)


def test_hota_and_idf1_of_several_videos_are_trackevals():
    together = IdentityCounts.total(measured(case).identities for case in CASES.values())
    assert figures(together) == pytest.approx(OFFICIAL["together"], **CLOSE)


@pytest.mark.parametrize("order", list(permutations(range(3)))[1:])
def test_the_order_of_objects_and_masklets_changes_nothing(order):
    case, plain = CASES["swapped"], measured(CASES["swapped"])
    other = measured(type(case)(case.truth[:, order], case.masks[:, order[::-1]]))
    assert figures(other.identities) == pytest.approx(figures(plain.identities), **CLOSE)
    assert [one.j for one in other.objects] == [plain.objects[number].j for number in order]
    assert [one.f for one in other.objects] == [plain.objects[number].f for number in order]


@pytest.mark.parametrize(
    ("mask", "truth", "j", "f"),
    [
        (nothing(), nothing(), 1, 1),
        (disc(20, 20, 5), nothing(), 0, 0),
        (nothing(), disc(20, 20, 5), 0, 0),
        (disc(20, 20, 5), disc(20, 20, 5), 1, 1),
        (disc(20, 20, 5), disc(40, 60, 5), 0, 0),
        (disc(20, 21, 9), disc(20, 20, 9), 234 / 272, 1),  # within the tolerance of one pixel
        (~nothing(), nothing(), 0, 1),  # a full mask has no contour, which davis2017-evaluation counts as a match
    ],
)
def test_conventions_of_empty_and_full_masks(mask, truth, j, f):
    assert region_similarity(mask, truth) == pytest.approx(j)
    assert contour_accuracy(mask, truth) == f


def test_an_object_counts_only_where_its_truth_is_known():
    truth, other = codes([disc(20, 20, 5)])[0], codes([disc(40, 60, 5)])[0]
    frames = [
        MeasuredFrame({0: truth, 1: other}, {0: truth, 1: other}),
        MeasuredFrame({1: other}, {1: other}),  # nobody knows where 0 is
        MeasuredFrame({}, {0: truth, 1: truth}),
    ]
    found = measure(frames, SIZE_HW, 2, 2)
    assert [(one.n_frames, one.j, one.f) for one in found.objects] == [(1, 1, 1), (2, 1, 1)]
    assert (found.n_frames, found.identities.hota) == (1, 1)


def test_without_frames_nothing_is_measured():
    found = measure([], SIZE_HW, 1, 1)
    assert [(one.masklet, one.n_frames, one.j, one.f) for one in found.objects] == [(None, 0, None, None)]


def test_a_masklet_that_overlaps_no_object_is_nobodys():
    found = measured(CASES["never there"]).objects
    assert [one.masklet for one in found] == [None] * 3
    assert [one.masklet for one in measured(CASES["shifted"]).objects] == [0, 1, 2]
