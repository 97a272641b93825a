"""The config's filters keep what a plain implementation over decoded masks keeps, for any settings."""

import pytest
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from drawn_filters import IMAGES, LOOSE, REGION, filters
from maskgrid.automatic.replay.drops import DROPS
from maskgrid.automatic.replay.filters import Replay
from maskgrid.config.filters import FILTERS, NO_FILTERS, FilterConfig, filters_on, is_off
from maskgrid.io.errors import UserError
from plain_filters import plain_filters
from synthetic import GENERATOR, make_images, setting


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
