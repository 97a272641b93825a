"""The sweep: which settings it expands to, and that their ids are stable."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from maskgrid.config.files import parse_config
from maskgrid.config.models import Config
from maskgrid.config.settings import make_setting
from maskgrid.config.spaces import generator_space
from maskgrid.config.sweep import expand, find, values_of
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import make_plan


def settings_of(sweep, tmp_path=None, **sections):
    return expand(generator_space(parse_config({**sections, "sweep": sweep}, "test")), tmp_path)


def column(settings, name):
    return [setting.parameters()[name] for setting in settings]


def test_without_a_sweep_there_is_only_the_baseline():
    (only,) = settings_of(None)
    assert only.names == ("baseline",)
    assert only.label == "baseline"


def test_grid_gives_every_combination_with_the_first_key_slowest():
    settings = settings_of({"grid": {"pred_iou_thresh": [0.5, 0.6], "box_nms_thresh": [0.3, 0.4]}})[1:]
    assert column(settings, "pred_iou_thresh") == [0.5, 0.5, 0.6, 0.6]
    assert column(settings, "box_nms_thresh") == [0.3, 0.4, 0.3, 0.4]


def test_zip_pairs_values_and_is_crossed_with_grid():
    settings = settings_of(
        {"grid": {"pred_iou_thresh": [0.5, 0.6]}, "zip": {"points_per_side": [8, 16], "crop_n_layers": [0, 1]}}
    )[1:]
    assert column(settings, "points_per_side") == [8, 8, 16, 16]
    assert column(settings, "crop_n_layers") == [0, 0, 1, 1]
    assert column(settings, "pred_iou_thresh") == [0.5, 0.6, 0.5, 0.6]


@pytest.mark.parametrize(
    ("start", "stop", "step", "expected"),
    [
        (0.85, 0.95, 0.05, [0.85, 0.9, 0.95]),
        (0.5, 0.95, 0.05, [0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]),
        (0.7, 0.84, 0.1, [0.7, 0.8]),
        (8, 32, 8, [8, 16, 24, 32]),
        (0.5, 0.5, 0.1, [0.5]),
    ],
)
def test_ranges_include_the_stop_in_decimal_arithmetic(start, stop, step, expected):
    name = "points_per_side" if isinstance(start, int) else "pred_iou_thresh"
    config = parse_config({"sweep": {"grid": {name: {"start": start, "stop": stop, "step": step}}}}, "test")
    assert values_of(config.sweep.grid[name]) == expected


def test_points_have_names_and_exclude_removes_partial_matches():
    settings = settings_of(
        {
            "grid": {"pred_iou_thresh": [0.7, 0.9], "stability_score_thresh": [0.85, 0.95]},
            "points": [{"name": "sa1b", "pred_iou_thresh": 0.88}],
            "exclude": [{"pred_iou_thresh": 0.9, "stability_score_thresh": 0.85}],
        }
    )
    assert [setting.label for setting in settings if setting.names] == ["baseline", "sa1b"]
    assert (0.9, 0.85) not in zip(
        column(settings, "pred_iou_thresh"), column(settings, "stability_score_thresh"), strict=True
    )
    assert len(settings) == 1 + 3 + 1


def test_blocks_are_a_union_without_repetitions():
    settings = settings_of(
        [{"grid": {"pred_iou_thresh": [0.5, 0.6]}}, {"grid": {"pred_iou_thresh": [0.6, 0.8], "use_m2m": False}}]
    )
    assert column(settings, "pred_iou_thresh") == [0.8, 0.5, 0.6]


def test_checkpoint_is_swept_like_any_parameter():
    settings = settings_of({"grid": {"checkpoint": ["demo", "sam2.1_hiera_tiny"]}})
    assert column(settings, "checkpoint") == ["demo", "sam2.1_hiera_tiny"]


def test_a_table_has_a_row_for_each_setting(tmp_path):
    pd.DataFrame(
        {"name": ["a", None], "pred_iou_thresh": [0.5, None], "points_per_side": [8, None], "use_m2m": [True, None]}
    ).to_csv(tmp_path / "settings.csv", index=False)
    pd.DataFrame({"point_grids": [[[[0.5, 0.5]]]], "points_per_side": [None]}).to_parquet(tmp_path / "grids.parquet")
    settings = settings_of("settings.csv", tmp_path)
    assert [setting.names for setting in settings] == [("baseline",), ("a",)]
    assert column(settings, "points_per_side") == [32, 8]
    assert column(settings, "use_m2m") == [False, True]


@pytest.mark.parametrize("form", ["csv", "tsv", "parquet", "named index", "index without a name"])
def test_every_name_in_a_table_is_kept(tmp_path, form):
    names = ["NA", "null", "nan", "None", "#NA", "<NA>", "007", "1.0", "True", "a b"]
    table = pd.DataFrame({"name": names, "pred_iou_thresh": [at / 100 for at in range(len(names))]})
    suffix = form if form in ("csv", "tsv") else "parquet"
    path = tmp_path / f"settings.{suffix}"
    if form in ("csv", "tsv"):
        table.to_csv(path, index=False, sep="," if form == "csv" else "\t")
    else:
        indexed = table.set_index("name") if "index" in form else table
        (indexed.rename_axis(None) if form == "index without a name" else indexed).to_parquet(path)
    settings = settings_of(path.name, tmp_path)
    assert [setting.names for setting in settings] == [("baseline",), *((name,) for name in names)]


def test_empty_cells_of_a_table_are_not_parameters(tmp_path):
    (tmp_path / "settings.csv").write_text("name,pred_iou_thresh,points_per_side,checkpoint\n,0.5,,\nb,NA,8,demo\n")
    settings = settings_of("settings.csv", tmp_path)
    assert [setting.names for setting in settings] == [("baseline",), (), ("b",)]
    assert column(settings, "points_per_side") == [32, 32, 8]


@pytest.mark.parametrize("name", ["a" * 240, "ü" * 120, "a" * 241, "ü" * 121])
def test_a_name_leaves_room_for_the_rest_of_a_files_name(name):
    sweep = {"points": [{"name": name, "pred_iou_thresh": 0.5}]}
    if len(name.encode()) <= 240:
        assert settings_of(sweep)[1].names == (name,)
    else:
        with pytest.raises(UserError, match=r"sweep.points\[0\].name: .* has more than 240 bytes"):
            settings_of(sweep)


@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({}, "sweep: the sweep is empty"),
        ({"grid": {}}, "sweep: the sweep is empty"),
        ({"grid": {"pred_iou": [0.5]}}, "sweep.grid.pred_iou: unknown parameter; did you mean 'pred_iou_thresh'?"),
        ({"grid": {"pred_iou_thresh": [0.5, 1.5]}}, "sweep.grid.pred_iou_thresh: input should be less than"),
        ({"grid": {"points_per_batch": [16, 64]}}, "sweep.grid.points_per_batch: changes no mask"),
        ({"grid": {"checkpoint": [3]}}, "sweep.grid.checkpoint: 3 is not the name or path of a checkpoint"),
        ({"zip": {"points_per_side": [8], "crop_n_layers": [0, 1]}}, "sweep.zip: all lists must have the same length"),
        (
            {"grid": {"use_m2m": [True]}, "zip": {"use_m2m": [True]}},
            "sweep: use_m2m is in both grid and zip",
        ),
        ({"points": [{"name": "x", "use_m2m": True}, {"name": "x"}]}, "sweep.points[1]: the name 'x' is used twice"),
        ({"points": [{"name": "baseline"}]}, "sweep.points[0].name: 'baseline' cannot be a setting's name"),
        ({"points": [{"name": "../up"}]}, "sweep.points[0].name: '../up' cannot be a setting's name"),
        ({"points": [{"name": "a/b"}]}, "sweep.points[0].name: 'a/b' cannot be a setting's name"),
        (
            {"grid": {"use_m2m": [True]}, "exclude": [{"use_m2m": True}]},
            "sweep: the sweep is empty",
        ),
        (
            {"grid": {"use_m2m": [True]}, "exclude": [{"use_m2m": False}]},
            "sweep.exclude[0]: matches no setting",
        ),
        (
            [{"grid": {"use_m2m": [True]}}, {"grid": {"points_per_side": [1], "crop_n_points_downscale_factor": [2]}}],
            None,
        ),
        (
            {"grid": {"points_per_side": [1, 8], "crop_n_layers": [1], "crop_n_points_downscale_factor": [2]}},
            "sweep: at points_per_side: 1, crop_n_layers: 1, crop_n_points_downscale_factor: 2: "
            "crop_n_points_downscale_factor: 2 reduces",
        ),
        (
            {
                "grid": {
                    "pred_iou_thresh": {"start": 0, "stop": 1, "step": 1e-3},
                    "box_nms_thresh": [i / 200 for i in range(200)],
                }
            },
            "sweep: the sweep has 200,200 settings, but at most 100,000 are allowed",
        ),
        ("settings.xlsx", "sweep: settings.xlsx: a table must be a .csv, .tsv or .parquet file"),
        ("settings.csv", "sweep: settings.csv: no such file"),
    ],
)
def test_mistakes_are_one_line_errors_with_the_key(sweep, message, tmp_path):
    if message is None:
        assert len(settings_of(sweep, tmp_path)) == 3
        return
    with pytest.raises(UserError) as error:
        settings_of(sweep, tmp_path)
    assert str(error.value).startswith(message)
    assert "\n" not in str(error.value)


def test_find_suggests_the_nearest_name():
    settings = settings_of({"points": [{"name": "sa1b", "use_m2m": True}]})
    assert find(settings, "sa1b", "baseline") is settings[1]
    assert find(settings, settings[1].id, "baseline") is settings[1]
    with pytest.raises(UserError, match=r"annotations\[0\]: no setting is called 'sa1'; did you mean 'sa1b'\?"):
        find(settings, "sa1", "annotations[0]")


VALUES = st.lists(st.integers(0, 100).map(lambda n: n / 100), min_size=1, max_size=4, unique=True)


@given(VALUES, VALUES, st.integers(0, 100).map(lambda n: n / 100))
def test_the_size_is_the_product_and_an_added_value_changes_no_id(iou, nms, more):
    before = settings_of({"grid": {"pred_iou_thresh": iou, "box_nms_thresh": nms}})
    after = settings_of({"grid": {"pred_iou_thresh": [*iou, more], "box_nms_thresh": nms}})
    assert len({setting.id for setting in before}) == len(before)
    assert len(before) == len(iou) * len(nms) + (0.8 not in iou or 0.7 not in nms)
    ids = {setting.id: setting for setting in after}
    assert all(setting.generator == ids[setting.id].generator for setting in before)


def test_ids_depend_on_values_not_on_how_they_are_written():
    one = parse_config({"generator": {"stability_score_offset": 1}}, "test").generator
    assert make_setting("demo", one).id == make_setting("demo", parse_config({}, "test").generator).id
    batch = parse_config({"generator": {"points_per_batch": 8, "output_mode": "binary_mask"}}, "test").generator
    assert make_setting("demo", one).id == make_setting("demo", batch).id


def test_a_setting_is_exported_under_the_requested_name(tmp_path):
    points = [{"name": name, "pred_iou_thresh": 0.6} for name in ("a", "b")] + [{"name": "mine"}]
    config = Config.model_validate({"sweep": {"points": points}, "annotations": ["b", "mine", "a", "b"]})
    plan = make_plan(config, tmp_path, tmp_path / "results")
    assert [setting.label for setting in plan.exported()] == ["b", "mine", "a"]
    assert [setting.label for setting in plan.settings] == ["baseline", "a"]
    assert plan.exported()[1].id == plan.baseline.id
