"""Readable labels: of what a grid sweeps, unique, file names, found again."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgrid.config.files import parse_config
from maskgrid.config.labels import SHORT_NAMES
from maskgrid.config.settings import PROMPT_SWEEPABLE, SWEEPABLE
from maskgrid.config.sweep import called, find
from maskgrid.plan.plan import make_plan


def settings_of(sweep, **sections):
    config = {"dataset": {"source": "demo"}, "sweep": sweep, **sections}
    return make_plan(parse_config(config, "test"), Path(), Path("results")).settings


@pytest.mark.parametrize(
    ("sweep", "labels"),
    [
        (
            {"grid": {"points_per_side": [8, 16], "pred_iou_thresh": [0.7, 0.85]}},
            ["p8_iou0.7", "p8_iou0.85", "p16_iou0.7", "p16_iou0.85"],
        ),
        # One value, but not the baseline's.
        ({"grid": {"pred_iou_thresh": [0.7]}}, ["iou0.7"]),
        # A point has its name; what it alone changes is in no label.
        ({"grid": {"pred_iou_thresh": [0.7]}, "points": [{"name": "crops", "crop_n_layers": 1}]}, ["iou0.7", "crops"]),
        ({"points": [{"crop_n_layers": 1}]}, ["layers1"]),
        ({"grid": {"use_m2m": [True], "multimask_output": [True, False]}}, ["m2m1_multi1", "m2m1_multi0"]),
        ({"grid": {"max_masks": [None, 20], "min_area_px": [64]}}, ["minpx64_bestnone", "minpx64_best20"]),
        ({"grid": {"checkpoint": ["sam2.1_hiera_small", "weights/mine v2.pt"]}}, ["small", "mine-v2"]),
        ({"grid": {"box_nms_thresh": [1, 0.123456789]}}, ["nms1", "nms0.123456789"]),
        ({"grid": {"mask_threshold": [-0.5, 1e-07]}}, ["level-0.5", "level1e-07"]),
        ({"grid": {"stability_score_offset": [0.5]}, "zip": {"crop_nms_thresh": [0.2]}}, ["offset0.5_cropnms0.2"]),
    ],
)
def test_settings_without_a_name_are_called_by_what_is_swept(sweep, labels):
    assert [setting.label for setting in settings_of(sweep)[1:]] == labels


def test_grids_of_points_differ_in_their_labels():
    grids = [[[[0.5, 0.5]]], [[[0.25, 0.5]]]]
    first, second = (
        setting.label for setting in settings_of({"grid": {"points_per_side": [None], "point_grids": grids}})[1:]
    )
    assert first != second
    assert first.startswith("pnone_grids")


@pytest.mark.parametrize(
    ("sweep", "n_ids"),
    [
        # Two checkpoints of one file name.
        ({"grid": {"checkpoint": ["a/best.pt", "b/best.pt"]}}, 2),
        # A label that is another setting's name.
        ({"grid": {"pred_iou_thresh": [0.7]}, "points": [{"name": "iou0.7", "box_nms_thresh": 0.5}]}, 1),
    ],
)
def test_a_label_that_is_not_a_settings_own_gives_way_to_the_id(sweep, n_ids):
    settings = settings_of(sweep)
    assert sum(setting.label == setting.id for setting in settings) == n_ids
    assert len({setting.label for setting in settings}) == len(settings)


VALUES = {
    "points_per_side": st.integers(1, 64),
    "pred_iou_thresh": st.floats(0, 1),
    "mask_threshold": st.floats(-10, 10),
    "min_mask_region_area": st.integers(0, 10_000),
    "checkpoint": st.text("ab/. -_ä", min_size=1, max_size=8),
    "max_masks": st.none() | st.integers(1, 100),
}


@given(
    st.sets(st.sampled_from(sorted(VALUES)), min_size=1).flatmap(
        lambda names: st.fixed_dictionaries(
            {name: st.lists(VALUES[name], min_size=1, max_size=3, unique=True) for name in names}
        )
    )
)
def test_labels_are_unique_and_found_and_file_names(grid):
    settings = settings_of({"grid": grid})
    assert len({setting.label for setting in settings}) == len(settings)
    for setting in settings:
        assert find(settings, setting.label, "baseline").id == setting.id
        assert find(settings, setting.id, "baseline").id == setting.id
        assert called(settings, setting.label, "annotations").label == setting.label
        assert "/" not in setting.label
        assert not setting.label.startswith((".", "-"))


def test_a_setting_asked_for_by_its_id_is_called_so():
    (_, setting) = settings_of({"grid": {"pred_iou_thresh": [0.7]}})
    assert called([setting], setting.id, "annotations").label == setting.id


def test_every_parameter_that_can_be_swept_has_a_short_name():
    assert set(SHORT_NAMES) == {*SWEEPABLE, *PROMPT_SWEEPABLE}
    assert len(set(SHORT_NAMES.values())) == len(SHORT_NAMES)
