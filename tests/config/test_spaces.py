"""One form of sweep for three jobs: the same cases in each space, and ids that do not move."""

from pathlib import Path

import pandas as pd
import pytest

from maskgrid.config.files import load_config, parse_config, save_config
from maskgrid.config.settings import differences, swept_parameters
from maskgrid.config.sweep import called, find
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import make_plan

# By the sweep's key in the config: the parameters a (decimals), b (integers) and c (switch) of the cases below.
NAMES = {
    "sweep": ("mask_threshold", "crop_n_layers", "use_m2m"),
    "prompts.sweep": ("mask_threshold", "refine_rounds", "multimask_output"),
    "tracking.sweep": ("mask_threshold", "min_generate_gap", "use_m2m"),
}
SPACES = pytest.mark.parametrize("key", NAMES)


def renamed(key, written):
    """The case with the space's parameters in the place of a, b and c."""
    names = dict(zip("abc", NAMES[key], strict=True))
    if isinstance(written, list):
        return [renamed(key, one) for one in written]
    if not isinstance(written, dict):
        return written
    return {names.get(name, name): renamed(key, value) for name, value in written.items()}


def configured(key, sweep):
    section = key.partition(".")[0]
    values = {section: sweep} if key == "sweep" else {section: {"source": "demo", "sweep": sweep}}
    return parse_config(values, "test")


def expanded(key, sweep, folder=Path()):
    plan = make_plan(configured(key, renamed(key, sweep)), folder, folder / "results")
    by_key = {
        "sweep": plan.settings,
        "prompts.sweep": plan.prompt_settings,
        "tracking.sweep": plan.track_settings,
    }
    return by_key[key]


def rows(key, settings):
    """The values of a, b and c in each setting but the baseline."""
    values = [setting.parameters() for setting in settings[1:]]
    return [tuple(row[name] for name in NAMES[key]) for row in values]


@SPACES
@pytest.mark.parametrize(
    ("sweep", "expected"),
    [
        (None, []),
        ({"grid": {"a": [1.5, 2.5], "b": 1}}, [(1.5, 1), (2.5, 1)]),
        ({"grid": {"a": {"start": 0.7, "stop": 0.9, "step": 0.1}}}, [(0.7,), (0.8,), (0.9,)]),
        ({"grid": {"b": {"start": 2, "stop": 4, "step": 2}, "a": [1]}}, [(1.0, 2), (1.0, 4)]),
        (
            {"grid": {"b": [1, 2]}, "zip": {"a": [1.5, 2.5], "c": [True, False]}},
            [(1.5, 1, True), (1.5, 2, True), (2.5, 1, False), (2.5, 2, False)],
        ),
        ({"grid": {"a": [1.5, 2.5], "b": [1, 2]}, "exclude": [{"a": 1.5, "b": 2}]}, [(1.5, 1), (2.5, 1), (2.5, 2)]),
        ({"points": [{"name": "one", "a": 1.5}, {"b": 3}]}, [(1.5,), (0.0, 3)]),
        (
            [{"grid": {"a": [1.5]}}, {"grid": {"a": [2.5, 1.5]}}, {"points": [{"name": "p", "b": 3}]}],
            [(1.5,), (2.5,), (0.0, 3)],
        ),
    ],
)
def test_the_same_form_gives_the_same_settings(key, sweep, expected):
    settings = expanded(key, sweep)
    assert settings[0].names == ("baseline",)
    assert [row[: len(want)] for row, want in zip(rows(key, settings), expected, strict=True)] == expected
    assert len({setting.id for setting in settings}) == len(settings)


@SPACES
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_a_table_has_a_row_for_each_setting(key, suffix, tmp_path):
    a, b, c = NAMES[key]
    table = pd.DataFrame({"name": ["x", None, None], a: [1, None, 2.5], b: [3, 4, None], c: [None, True, False]})
    if suffix == ".parquet":
        table.to_parquet(tmp_path / "settings.parquet")
    else:
        table.to_csv(tmp_path / f"settings{suffix}", index=False, sep="\t" if suffix == ".tsv" else ",")
    settings = expanded(key, f"settings{suffix}", tmp_path)
    default = settings[0].parameters()
    assert rows(key, settings) == [(1.0, 3, default[c]), (0.0, 4, True), (2.5, default[b], False)]
    assert [setting.names for setting in settings] == [("baseline",), ("x",), (), ()]
    assert [setting.in_grid for setting in settings] == [False, True, True, True]
    alone = {a: [2.5], c: [False]}
    assert settings[3].id == expanded(key, {"grid": alone})[1].id  # whatever the other cells of the column are


@SPACES
@pytest.mark.parametrize(
    ("sweep", "message"),
    [
        ({"grid": {"a": [1.5]}, "exclude": [{"a": 1.5}]}, ": the sweep is empty; give it a grid, zip or points"),
        ([{"grid": {"a": [1.5]}}, {}], "[1]: the sweep is empty"),
        ({"grid": {"mask_treshold": [1.5]}}, ".grid.mask_treshold: unknown parameter; did you mean 'mask_threshold'?"),
        ({"points": [{"mask_treshold": 1.5}]}, ".points[0].mask_treshold: unknown parameter; did you mean"),
        ({"grid": {"a": [1.5]}, "exclude": [{"mask_treshold": 1}]}, ".exclude[0].mask_treshold: unknown parameter"),
        ({"grid": {"a": [1.5]}, "exclude": [{"a": 2.5}]}, ".exclude[0]: matches no setting of the sweep"),
        ({"grid": {"c": [1]}}, ".grid.{c}: input should be a valid boolean (got 1)"),
        ({"grid": {"b": [-1]}}, ".grid.{b}: input should be greater than or equal to"),
        ({"zip": {"a": [1.5], "b": [1, 2]}}, ".zip: all lists must have the same length, but {a} has 1, {b} has 2"),
        ({"grid": {"a": [1.5]}, "zip": {"a": [1.5]}}, ": {a} is in both grid and zip; remove one"),
        (
            {"points": [{"name": "x", "a": 1}, {"name": "x", "b": 2}]},
            ".points[1]: the name 'x' is used twice (also at {key}.points[0])",
        ),
        ({"points": [{"name": "x", "a": 1}, {"name": "x", "a": 1}]}, ".points[1]: the name 'x' is used twice"),
        ({"points": [{"name": "baseline", "a": 1}]}, ".points[0].name: 'baseline' cannot be a setting's name"),
        ({"points": [{"name": "../up", "a": 1}]}, ".points[0].name: '../up' cannot be a setting's name"),
        ({"points": [{"name": 3, "a": 1}]}, ".points[0].name: 3 cannot be a setting's name"),
        (
            {"grid": {"a": {"start": 0, "stop": 999, "step": 1}}, "zip": {"c": [True] * 101}},
            ": the sweep has 101,000 settings",
        ),
        ("settings.xlsx", ": settings.xlsx: a table must be a .csv, .tsv or .parquet file"),
        ("settings.csv", ": settings.csv: no such file"),
    ],
)
def test_the_same_mistakes_have_the_same_messages(key, sweep, message, tmp_path):
    with pytest.raises(UserError) as error:
        expanded(key, sweep, tmp_path)
    assert str(error.value).startswith(key + message.format(key=key, **dict(zip("abc", NAMES[key], strict=True))))
    assert "\n" not in str(error.value)


@SPACES
@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("mask_treshold\n1\n", ": row 1.mask_treshold: unknown parameter; did you mean 'mask_threshold'?"),
        ("name,mask_threshold\nx,1\nx,2\n", ": row 2: the name 'x' is used twice"),
        ("mask_threshold\n", ": the sweep is empty; the table has no rows"),
        ("mask_threshold\nhigh\n", ": row 1.mask_threshold: input should be a valid number (got 'high')"),
    ],
)
def test_mistakes_of_a_table_name_the_row(key, content, message, tmp_path):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(UserError) as error:
        expanded(key, "t.csv", tmp_path)
    assert str(error.value).startswith(f"{key}: t.csv{message}")


@SPACES
def test_a_name_must_not_be_the_id_of_another_setting(key):
    grid = {"grid": {"a": [1.5]}}
    name = expanded(key, grid)[1].id
    with pytest.raises(UserError, match=f"the name '{name}' is the id of another setting"):
        expanded(key, {**grid, "points": [{"name": name, "a": 2.5}]})


@SPACES
def test_words_about_settings_are_the_same_for_all_jobs(key):
    a, b, _ = NAMES[key]
    settings = expanded(key, {"grid": {"a": [2.5, -1.5]}, "points": [{"name": "other", "b": 3}]})
    default = settings[0].parameters()
    swept = swept_parameters(settings)
    assert swept == {a: [-1.5, 0.0, 2.5], b: sorted({default[b], 3})}
    assert list(swept) == [name for name in default if name in swept]
    assert [differences(setting, settings[0]) for setting in settings] == [
        "the baseline's values",
        f"{a} 2.5",
        f"{a} -1.5",
        f"{b} 3",
    ]
    assert find(settings, "other", key) is settings[3]
    assert called(settings, "other", key) == settings[3]
    assert find(settings, settings[1].id, key) is settings[1]
    with pytest.raises(UserError, match=f"{key}: no setting is called 'othr'; did you mean 'other'?"):
        find(settings, "othr", key)


def test_ids_are_those_of_results_that_exist():
    settings = expanded("sweep", {"grid": {"pred_iou_thresh": [0.7, 1], "checkpoint": ["demo", "sam2.1_hiera_tiny"]}})
    assert [one.id for one in settings] == ["9fef0555ef", "0fbc9f2423", "43d86a39ff", "df4274abae", "ce8cca075f"]
    settings = expanded("prompts.sweep", {"grid": {"mask_threshold": [0, -1.5], "refine_rounds": [2]}})
    assert [one.id for one in settings] == ["9fe53cc968", "8469247089", "399e040da1"]


@pytest.mark.parametrize(
    ("sweep", "labels"),
    [
        (
            {
                "grid": {"generate_every": [2, 3], "pred_iou_thresh": [0.7, 0.8]},
                "points": [{"name": "parts", "join_containment_thresh": 1.0}],
            },
            ["dc0b58c1", "589a3e24", "c6308c1e", "20c68604", "parts"],
        ),
        (  # numbers count as they are written
            {"grid": {"generate_every": [2, None], "join_containment_thresh": [1, 1.0], "use_m2m": [True]}},
            ["15e5e96c", "d814ca29", "901f9d04", "eeb74114"],
        ),
        ({"points": [{"name": "all"}, {"name": "same"}, {"name": "A-1._b"}]}, ["all", "same", "A-1._b"]),
    ],
)
def test_settings_of_tracking_are_called_as_files_of_results_that_exist(sweep, labels):
    settings = expanded("tracking.sweep", sweep)
    assert [setting.label for setting in settings] == ["baseline", *labels]


@pytest.mark.parametrize("name", ["with space", "ä", ".x", "-x", "x" * 65, "a@b", ""])
def test_names_of_tracking_are_parts_of_files_names(name):
    with pytest.raises(UserError, match="cannot be a setting's name: it becomes part of file names, so use up to 64"):
        expanded("tracking.sweep", {"points": [{"name": name}]})


@pytest.mark.parametrize(
    ("sweep", "dumped"),
    [
        (None, {"grid": {}, "points": []}),
        ({}, {"grid": {}, "points": []}),
        ({"grid": {"end_after": [3]}}, {"grid": {"end_after": [3]}, "points": []}),
        (
            {"zip": {"end_after": [3]}, "exclude": [{"end_after": 4}]},
            {"grid": {}, "zip": {"end_after": [3]}, "points": [], "exclude": [{"end_after": 4}]},
        ),
        (
            [{"grid": {"end_after": {"start": 1, "stop": 2, "step": 1}}}],
            [{"grid": {"end_after": {"start": 1, "stop": 2, "step": 1}}, "zip": {}, "points": [], "exclude": []}],
        ),
        ("table.csv", "table.csv"),
    ],
)
def test_trackings_sweep_is_dumped_as_results_that_exist_hold_it(sweep, dumped, tmp_path):
    config = configured("tracking.sweep", sweep)
    assert config.tracking.model_dump(mode="json")["sweep"] == dumped
    save_config(config, tmp_path / "config.json")
    loaded = load_config(tmp_path / "config.json")
    assert (loaded.tracking, loaded.is_automatic) == (config.tracking, config.is_automatic)
    assert (config.tracking.sweep is None) == (not sweep)


GRIDS = [[[0.5, 0.5], [0.25, 0.75]]]


@pytest.mark.parametrize(
    "values",
    [
        {"generator": {"points_per_side": None, "point_grids": GRIDS}},
        {"sweep": {"grid": {"points_per_side": [None], "point_grids": [GRIDS]}}},
        {"sweep": {"zip": {"points_per_side": [8, None], "point_grids": [None, GRIDS]}}},
        {"sweep": {"points": [{"name": "own", "points_per_side": None, "point_grids": GRIDS}]}},
        {"sweep": [{"points": [{"name": "own", "points_per_side": None, "point_grids": GRIDS}]}]},
    ],
)
def test_a_list_as_a_value_is_frozen_wherever_it_stands(values):
    tracking = {"source": "demo", "sweep": values.get("sweep")}
    config = parse_config({**values, "annotations": ["all"], "tracking": tracking}, "test")
    plan = make_plan(config, Path(), Path("results"))
    setting = next(one for one in plan.exported() if one.generator.point_grids)
    assert setting.generator.point_grids == (((0.5, 0.5), (0.25, 0.75)),)
    assert setting.id == "1c984130f9"
    assert {setting: "hashable"}[setting]
    for one in plan.track_settings:
        assert {one: "hashable"}[one]


def test_exclude_compares_lists_by_value():
    sweep = {
        "grid": {"points_per_side": [None], "point_grids": [GRIDS, [[[0.1, 0.1]]]]},
        "exclude": [{"point_grids": GRIDS}],
    }
    assert [one.generator.point_grids for one in expanded("sweep", sweep)[1:]] == [(((0.1, 0.1),),)]


@pytest.mark.parametrize(
    ("sweep", "n_others"),
    [
        ({"grid": {"generate_every": [2, 3]}}, 1),
        ({"grid": {"generate_every": [2, 3], "mask_threshold": [0, 1]}}, 3),
        ({"zip": {"generate_every": [2, 2], "max_objects": [4, None]}}, 1),
        ({"grid": {"generate_every": 2}}, 0),
        ({"grid": {"rejoin_iou_thresh": [0.2, 0.3]}}, 0),  # off: rejoin_within is null
        ({"points": [{"name": "same", "generate_every": 2}]}, 1),  # files are named by it
        ([{"grid": {"generate_every": 3}}, {"grid": {"generate_every": [2, 4]}}], 2),
    ],
)
def test_a_grid_s_point_with_the_baseline_s_values_is_the_baseline(sweep, n_others):
    tracking = {"source": "demo", "automatic": {"generate_every": 2}, "sweep": sweep}
    settings = make_plan(parse_config({"tracking": tracking}, "test"), Path(), Path("results")).track_settings
    assert settings[0].label == "baseline"
    assert len(settings) == 1 + n_others
    has_point = n_others == 0 or "points" not in sweep
    assert settings[0].in_grid == has_point


def test_an_unnamed_row_of_a_table_with_the_baseline_s_values_is_the_baseline(tmp_path):
    pd.DataFrame({"generate_every": [10, 4]}).to_csv(tmp_path / "settings.csv", index=False)
    settings = expanded("tracking.sweep", "settings.csv", tmp_path)
    assert [setting.parameters()["generate_every"] for setting in settings] == [10, 4]
