"""A config as Snakemake reads it, before it is checked; the rest is in tests/config."""

import pytest

from maskgrid.cli.workflow_config import refuse_repeated_keys, typed
from maskgrid.io.errors import UserError


@pytest.mark.parametrize(
    "text", ["sweep: {grid: {use_m2m: [true]}}\nsweep: {}\n", "generator:\n  use_m2m: true\n  use_m2m: false\n"]
)
def test_a_key_that_stands_twice_is_refused(tmp_path, text):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"config\.yaml: .*the key '(sweep|use_m2m)' is repeated"):
        refuse_repeated_keys(path)
    path.write_text("a: &x {b: 1}\nc: {<<: *x, b: 2}\n")
    refuse_repeated_keys(path)


def test_text_of_the_command_line_gets_its_type_back():
    given = {"generator": {"points_per_side": "10", "use_m2m": "true", "pred_iou_thresh": "0.5", "point_grids": "null"}}
    assert typed(given) == {
        "generator": {"points_per_side": 10, "use_m2m": True, "pred_iou_thresh": 0.5, "point_grids": None}
    }
    assert typed({"grid": {"checkpoint": ["demo", "a: b"]}, "device": "cuda:1", "n": 3, "date": "2020-01-01"}) == {
        "grid": {"checkpoint": ["demo", "a: b"]},
        "device": "cuda:1",
        "n": 3,
        "date": "2020-01-01",
    }
