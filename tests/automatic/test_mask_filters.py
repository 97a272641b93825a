"""The config's filters keep what a plain implementation over decoded masks keeps, for any settings."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from maskgrid.automatic.drops import DROPS
from maskgrid.automatic.filters import Replay
from maskgrid.config.filters import FILTERS, NO_FILTERS, FilterConfig, filters_on, is_off
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from plain_filters import plain_filters
from synthetic import GENERATOR, make_images, setting

# Loose thresholds, so that many masks are left for the filters, some of them equal; scores have ties.
LOOSE = {"pred_iou_thresh": 0.1, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0, "crop_nms_thresh": 1.0}
REGION = "regions"


def _with_ties(part):
    # Every fourth mask is another's twin.
    rows = part.rows
    counts, area, box = rows.counts.copy(), rows.area_px.copy(), rows.box_xyxy.copy()
    for at in range(4, len(rows), 8):
        if counts[at] is not None and counts[at - 4] is not None:
            counts[at], area[at], box[at] = counts[at - 4], area[at - 4], box[at - 4]
    scores = np.round(rows.predicted_iou, 1).astype(np.float32)
    rows = dataclasses.replace(rows, predicted_iou=scores, counts=counts, area_px=area, box_xyxy=box)
    return dataclasses.replace(part, rows=rows, proposed_iou=np.sort(scores[::2]))


def _replay(image, seed):
    height, width = image.size_hw
    region = np.zeros(image.size_hw, np.bool_)
    region[height // 4 :, : 2 * width // 3] = True
    region &= np.random.default_rng(seed).random(image.size_hw) < 0.8
    parts = {part.pass_.name: _with_ties(part) for part in image.candidates}
    return Replay(parts, {REGION: rle.encode(region)}), region


IMAGES = [
    _replay(image, seed)
    for seed in range(4)
    for image in make_images(2, n_points=25, seed=seed)
    if image.status == "ok"
]


def optional(values):
    return st.one_of(st.none(), values)


def fractions(*often):
    return st.one_of(st.sampled_from([0.0, 0.25, 0.5, 1 / 3, 1.0, *often]), st.floats(0.0, 1.0))


@st.composite
def filters(draw) -> FilterConfig:
    """Any combination; each filter is off in half of the draws, so that later ones have masks to drop."""
    values = {
        "min_area_px": draw(st.integers(0, 60)),
        "max_area_px": draw(optional(st.integers(60, 600))),
        "min_area_frac": draw(st.floats(0.0, 0.1)),
        "max_area_frac": draw(st.floats(0.1, 1.0)),
        "border": draw(optional(st.integers(0, 4))),
        "min_fill_frac": draw(fractions()),
        "max_aspect_ratio": draw(optional(st.one_of(st.sampled_from([1.0, 1.5, 2.0]), st.floats(1.0, 4.0)))),
        "region": REGION,
        "min_region_frac": draw(optional(fractions())),
        "mask_nms_thresh": draw(fractions(0.1, 0.7)),
        "max_containment_frac": draw(fractions(0.9)),
        "containment_keeps": draw(st.sampled_from(["larger", "smaller"])),
        "max_masks": draw(optional(st.integers(0, 30))),
    }
    on = draw(st.sets(st.sampled_from(FILTERS), max_size=6))
    return FilterConfig(**{name: value for name, value in values.items() if name in on})


@hypothesis_settings(deadline=None, max_examples=300)
@given(st.sampled_from(IMAGES), filters(), st.sampled_from([0, 5]))
def test_no_mask_differs_from_the_plain_implementation(made, wanted, region_area):
    replay, region = made
    generator = GENERATOR.model_copy(update={**LOOSE, "min_mask_region_area": region_area})
    before, after = replay.select(generator), replay.select(generator, wanted)
    left, dropped = plain_filters(before, wanted, region)
    assert ids(after) == [ids(before)[at] for at in left]
    if filters_on(wanted):
        assert {name: after.dropped[name] for name in DROPS.values()} == dropped
    assert sum(after.dropped.values()) + len(after) == after.n_proposed


def ids(selection):
    return list(zip(selection.layer.tolist(), selection.row.tolist(), strict=True))


ON = {
    "min_area_px": 30,
    "max_area_px": 200,
    "min_area_frac": 0.05,
    "max_area_frac": 0.2,
    "border": 0,
    "min_fill_frac": 0.6,
    "max_aspect_ratio": 1.2,
    "region": REGION,
    "mask_nms_thresh": 0.5,
    "max_containment_frac": 0.5,
    "max_masks": 5,
}


@pytest.mark.parametrize("key", DROPS)
def test_each_filter_drops_masks_and_its_column_counts_them(key):
    replay, _ = IMAGES[0]
    generator = GENERATOR.model_copy(update=LOOSE)
    before, after = replay.select(generator), replay.select(generator, FilterConfig(**{key: ON[key]}))
    assert 0 < len(before) - len(after) == after.dropped[DROPS[key]]
    assert all(n == 0 for name, n in after.dropped.items() if name in set(DROPS.values()) - {DROPS[key]})


def test_every_filter_is_off_by_default_and_has_a_column_or_belongs_to_one_that_has():
    assert filters_on(NO_FILTERS) == {}
    assert set(FILTERS) - set(DROPS) == {"min_region_frac", "containment_keeps"}
    assert [key for key in FILTERS if key in DROPS] == list(DROPS)
    assert is_off(FilterConfig(containment_keeps="smaller", min_region_frac=0.5), "containment_keeps")


def test_the_ids_of_settings_without_filters_are_those_of_before():
    assert setting().id == "d217907b15"


@pytest.mark.parametrize(
    ("values", "same"),
    [
        ({"containment_keeps": "smaller"}, {}),
        ({"min_region_frac": 0.5}, {}),
        ({"max_aspect_ratio": 2}, {"max_aspect_ratio": 2.0}),
        ({"min_area_frac": 0}, {}),
    ],
)
def test_values_that_change_nothing_give_the_same_setting(values, same):
    assert filters_on(FilterConfig(**values)) == filters_on(FilterConfig(**same))


def test_a_region_that_is_not_given_is_an_error():
    image = make_images(1)[0]
    with pytest.raises(UserError, match="region"):
        Replay({part.pass_.name: part for part in image.candidates}).select(GENERATOR, FilterConfig(region="other"))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"min_area_px": 9, "max_area_px": 8}, "min_area_px: 9 is above max_area_px: 8"),
        ({"min_area_frac": 0.5, "max_area_frac": 0.25}, "min_area_frac: 0.5 is above max_area_frac: 0.25"),
    ],
)
def test_limits_that_no_mask_can_meet_are_refused(values, words):
    with pytest.raises(ValueError, match=words):
        FilterConfig(**values)
