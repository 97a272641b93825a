"""Values that no file, table or name can hold, and configs that only some readers of YAML read: each is one line."""

import json

import pandas as pd
import pytest

from maskgrid.cli.main import main
from maskgrid.cli.overrides import overridden
from maskgrid.cli.workflow_config import refuse_unreadable, typed
from maskgrid.config.files import load_config, parse_config, save_config
from maskgrid.config.models import Config
from maskgrid.config.sweep_table import read_rows
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import make_plan

GOOD = {"dataset": {"source": "demo"}, "model": {"checkpoint": "demo"}}
LONG = "x" * 300


@pytest.mark.parametrize(
    ("sections", "where", "words"),
    [
        ({"generator": {"points_per_batch": 2**63}}, "generator.points_per_batch: ", "64 bits"),
        ({"tune": {"seed": 10**400}}, "tune.seed: ", "64 bits"),
        (
            {"sweep": {"grid": {"crop_n_points_downscale_factor": [1, 2**64]}}},
            "sweep.grid.crop_n_points_downscale_factor: ",
            "64 bits",
        ),
        ({"dataset": {"source": LONG}}, "dataset.source: ", "255 bytes"),
        ({"tracking": {"source": f"clips/{LONG}"}}, "tracking.source: ", "255 bytes"),
        ({"model": {"checkpoint": f"{LONG}.pt"}}, "model.checkpoint: ", "255 bytes"),
        ({"dataset": {"source": "a\nb"}}, "dataset.source: ", "'a\\nb' has a line break"),
        ({"model": {"checkpoint": "a\0.pt"}}, "model.checkpoint: ", "NUL"),
        ({"model": "a\nb"}, "model: ", "line break"),
    ],
)
def test_what_cannot_be_written_is_refused_by_its_key(tmp_path, monkeypatch, capsys, sections, where, words):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "config.yaml").write_text(json.dumps({**GOOD, **sections}))
    assert main(["plan"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert where in line
    assert words in line


def test_the_largest_number_and_a_long_url_are_written_and_read(tmp_path):
    values = {**GOOD, "tune": {"seed": 2**63 - 1}, "dataset": {"source": f"https://example.org/{LONG}.json"}}
    save_config(parse_config(values), tmp_path / "jobs.json")
    assert load_config(tmp_path / "jobs.json").tune.seed == 2**63 - 1


@pytest.mark.parametrize("text", ["baseline: 2024-13-01\n", "sweep: {points: [{name: 2024-02-30}]}\n"])
def test_a_name_that_is_nearly_a_date(tmp_path, text):
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(UserError, match="cannot be read: "):
        load_config(tmp_path / "config.yaml")


def test_a_name_that_is_nearly_a_date_on_the_command_line():
    config = parse_config(GOOD)
    assert overridden(config, ["baseline=2024-13-01"]).baseline == "2024-13-01"
    assert typed({"dataset": {"source": "2024-13-01"}})["dataset"]["source"] == "2024-13-01"


def test_the_workflow_refuses_a_mapping_as_a_key(tmp_path):
    path = tmp_path / "config.yaml"
    path.write_text("? {a: 1}\n: 2\n")
    with pytest.raises(UserError, match=r"config\.yaml, line 1: "):
        refuse_unreadable(path)


def test_a_table_of_settings_has_lists(tmp_path):
    grids = [[[[0.5, 0.5]]], [[[0.25, 0.5], [0.75, 0.5]]]]
    pd.DataFrame({"name": ["one", "two"], "point_grids": grids}).to_parquet(tmp_path / "s.parquet")
    assert [row["point_grids"] for row in read_rows(tmp_path / "s.parquet", "sweep")] == grids
    config = Config.model_validate(
        {"generator": {"points_per_side": None, "point_grids": grids[0]}, "sweep": "s.parquet"}
    )
    plan = make_plan(config, tmp_path, tmp_path / "results")
    assert [len(setting.generator.point_grids[0]) for setting in plan.settings] == [1, 2]


@pytest.mark.parametrize("content", [b"PAR1\0\0\0\0PAR1", b"a,b\n1,2\n1,2,3\n"])
def test_a_damaged_table_of_settings_is_one_line(tmp_path, content):
    path = tmp_path / ("s.parquet" if content.startswith(b"PAR1") else "s.csv")
    path.write_bytes(content)
    with pytest.raises(UserError, match="sweep: cannot be read as a table: ") as caught:
        read_rows(path, "sweep")
    assert "\n" not in str(caught.value)
