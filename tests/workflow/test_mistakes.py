"""Mistakes end the workflow with one line, before any work; the config's two names and the command line's values."""

import shutil

import numpy as np
import PIL.Image
import pytest

from maskgrid.cli.main import main
from maskgrid.network.checkpoints import resolve_checkpoint
from workflow import snakemake

GOOD = {"dataset": {"source": "images"}, "generator": {"points_per_side": 1}}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    write_images(tmp_path / "images", 2)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def write_images(folder, n_images):
    folder.mkdir()
    for number in range(n_images):
        PIL.Image.fromarray(np.full((8, 8, 3), 40 * number, np.uint8)).save(folder / f"{number}.png")


def said(run):
    """The lines about a mistake: everything after Snakemake's own introduction."""
    lines = run.output.partition("Config MD5:")[2] or run.output
    return [line for line in lines.splitlines()[1:] if line and line != "Building DAG of jobs..."]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"dataset": {"source": "nowhere"}}, "dataset.source: there is no file or folder"),
        ({"dataset": {"source": "empty"}}, "dataset.source: "),
        ({"model": {"checkpoint": "gone.pt", "config": "own.yaml"}}, "model.checkpoint: there is no file"),
        ({"model": {"checkpoint": "empty.pt", "config": "own.yaml"}}, "empty.pt is empty"),
        ({"model": {"checkpoint": "own.pt"}}, "model.config is missing"),
        ({"model": {"checkpoint": "own.pt", "config": "own.yaml"}}, "allow_unverified"),
        ({"sweep": {"grid": {"checkpoint": ["gone.pt"]}}}, "model.checkpoint: there is no file"),
        ({"tracking": {"source": "nowhere"}}, "tracking.source: "),
        ({"generator": {"points_per_sid": 1}}, "generator.points_per_sid: unknown key"),
    ],
)
@pytest.mark.parametrize("options", [["-n"], []], ids=["dry", "run"])
def test_a_mistake_is_one_line_before_any_work(folder, changes, words, options):
    (folder / "empty").mkdir()
    (folder / "empty.pt").touch()
    demo = resolve_checkpoint("demo", None)
    shutil.copy(demo.path, "own.pt")
    shutil.copy(demo.config, "own.yaml")
    run = snakemake(folder, {**GOOD, **changes}, *options)
    assert run.code != 0
    (line,) = said(run)
    assert line.startswith("maskgrid: ")
    assert words in line
    assert not (folder / "results").exists()
    if "tracking" not in changes:
        assert main(["plan"]) == 2


def test_a_config_is_found_by_either_name(folder, capsys):
    snakemake(folder, GOOD, "-n")
    (folder / "config.yaml").rename("config.yml")
    assert snakemake(folder, None, "-n").planned["generate"] == 0
    assert "Listing and checking the images of images" in snakemake(folder, None, "-n").output
    assert main(["plan"]) == 0
    assert "maskgrid plan for images" in capsys.readouterr().out
    shutil.copy("config.yml", "config.yaml")
    run = snakemake(folder, None, "-n")
    assert run.code != 0
    (line,) = [line for line in run.output.splitlines() if line.startswith("maskgrid: ")]
    assert line.startswith("maskgrid: config.yaml and config.yml are both there: keep one")
    assert main(["plan"]) == 2
    assert main(["plan", "--config", "config.yml"]) == 0
    assert snakemake(folder, None, "-n", "--configfile", "config.yml").code == 0


def test_a_folder_can_have_a_number_for_its_name(folder):
    (folder / "images").rename("2024")
    run = snakemake(folder, GOOD, "-n", "--config", 'dataset={source: "2024"}', "baseline=1234567890")
    assert "baseline: no setting is called '1234567890'" in run.output
    run = snakemake(folder, GOOD, "-n", "--config", 'dataset={source: "2024"}')
    assert run.code == 0, run.output
    assert "Listing and checking the images of 2024" in run.output
