"""A config as Snakemake reads it, before it is checked; the rest is in tests/config."""

import pytest

from maskgrid.cli.workflow_config import refuse_unreadable, typed
from maskgrid.io.errors import UserError


@pytest.mark.parametrize(
    "text", ["sweep: {grid: {use_m2m: [true]}}\nsweep: {}\n", "generator:\n  use_m2m: true\n  use_m2m: false\n"]
)
def test_a_key_that_stands_twice_is_refused(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml: .*the key '(sweep|use_m2m)' is repeated"):
        refuse_unreadable(path)
    path.write_text("a: &x {b: 1}\nc: {<<: *x, b: 2}\n")
    refuse_unreadable(path)


@pytest.mark.parametrize("text", ["model:\n  device: !pu\n", "model:\n  device: !!python/tuple [1]\n"])
def test_a_tag_is_refused_by_its_line_whether_or_not_snakemake_knows_it(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml, line 2: .*the tag"):
        refuse_unreadable(path)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (
            {
                "generator": {
                    "points_per_side": "10",
                    "use_m2m": "true",
                    "pred_iou_thresh": "0.5",
                    "point_grids": "null",
                }
            },
            {"generator": {"points_per_side": 10, "use_m2m": True, "pred_iou_thresh": 0.5, "point_grids": None}},
        ),
        ({"dataset": {"source": "2024"}}, {"dataset": {"source": "2024"}}),
        ({"dataset": {"source": "true", "shard_size": "8"}}, {"dataset": {"source": "true", "shard_size": 8}}),
        ({"dataset": {"ground_truth": "null"}}, {"dataset": {"ground_truth": None}}),
        ({"dataset": {"ground_truth": "1e5"}}, {"dataset": {"ground_truth": "1e5"}}),
        ({"dataset": {"source": "2020-01-01"}}, {"dataset": {"source": "2020-01-01"}}),
        ({"model": {"device": "cuda:1", "dtype": "float32"}}, {"model": {"device": "cuda:1", "dtype": "float32"}}),
        ({"annotations": ["2024", "all"], "exports": ["card"]}, {"annotations": ["2024", "all"], "exports": ["card"]}),
        ({"prompts": {"source": "7.csv", "keep": "all"}}, {"prompts": {"source": "7.csv", "keep": "all"}}),
        ({"prompts": "null"}, {"prompts": None}),
        (
            {"tracking": {"source": "1", "stop": "5", "automatic": {"end_after": "null", "max_objects": "3"}}},
            {"tracking": {"source": "1", "stop": 5, "automatic": {"end_after": None, "max_objects": 3}}},
        ),
        (
            {"sweep": {"grid": {"checkpoint": ["1.pt", "2"], "mask_threshold": ["0", "1e-3"]}}},
            {"sweep": {"grid": {"checkpoint": ["1.pt", "2"], "mask_threshold": [0, 0.001]}}},
        ),
        (
            {"sweep": [{"points": [{"name": "88", "use_m2m": "false", "points_per_side": "null"}]}]},
            {"sweep": [{"points": [{"name": "88", "use_m2m": False, "points_per_side": None}]}]},
        ),
        (
            {"sweep": {"grid": {"pred_iou_thresh": {"start": "0.7", "stop": "0.9", "step": "0.1"}}}},
            {"sweep": {"grid": {"pred_iou_thresh": {"start": 0.7, "stop": 0.9, "step": 0.1}}}},
        ),
        (
            {"generator": {"point_grids": [[["0.5", "0.25"]]], "points_per_side": "null"}},
            {"generator": {"point_grids": [[[0.5, 0.25]]], "points_per_side": None}},
        ),
        ({"record": {"mask_thresholds": ["0", "1.5"]}}, {"record": {"mask_thresholds": [0, 1.5]}}),
        ({"unknown": {"n": "3"}}, {"unknown": {"n": 3}}),
    ],
)
def test_text_of_the_command_line_gets_the_type_of_its_field(given, expected):
    assert typed(given) == expected


@pytest.mark.parametrize("value", ["4829104857", "12e3456789", "007"])
def test_a_number_on_the_command_line_is_text_where_text_is_wanted(value):
    """Snakemake has made a number of it; an id can look like one."""
    number = float(value) if "e" in value else int(value)
    assert typed({"baseline": number}, [f"baseline={value}"]) == {"baseline": value}
