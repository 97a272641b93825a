"""The command line beyond the stages themselves."""

import argparse
import inspect
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from maskgrid.cli.main import COMMANDS, main, make_parser
from workflow import snakemake


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    for number in range(3):
        PIL.Image.fromarray(np.full((20, 30, 3), 40 * number, np.uint8)).save(tmp_path / "photos" / f"{number}.png")
    (tmp_path / "config.yaml").write_text(
        json.dumps({"dataset": {"source": "photos"}, "model": {"checkpoint": "demo"}})
    )
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command.name)
def test_a_command_has_its_function_and_the_function_takes_its_options(command):
    commands = argparse.ArgumentParser().add_subparsers()
    command.add_to(commands)
    names = commands.choices[command.name].get_default("start").args[0]
    inspect.signature(command.function()).bind(*["plan"] * command.reads_config, *names)


def test_the_overview_keeps_names_and_words_apart():
    said = make_parser().format_help()
    assert all(re.search(rf"^  {command.name} +{re.escape(command.help)}$", said, re.M) for command in COMMANDS)


def test_commands_that_run_a_network_keep_freed_memory(folder, monkeypatch):
    kept = []
    monkeypatch.setattr("maskgrid.cli.command.keep_freed_memory", lambda: kept.append(True))
    (folder / "config.yaml").unlink()
    assert main(["replay", "--shard", "s"]) == 2
    assert not kept
    assert main(["generate", "--checkpoint", "demo", "--pass", "p", "--shard", "s"]) == 2
    assert main(["prompt", "--shard", "s"]) == main(["track", "--run", "v"]) == 2
    assert len(kept) == 3


def test_a_closed_pipe_ends_the_command_quietly(folder):
    """As with ``| head``: no traceback, and the exit code of a program ended by a closed pipe."""
    command = f"{shlex.quote(sys.executable)} -m maskgrid plan | true; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 141  # the reader closes the pipe long before Python has started


def test_the_plan_counts_changes_of_the_source(folder, capsys):
    assert main(["plan"]) == 0
    assert "files, not indexed yet" in capsys.readouterr().out
    assert main(["index"]) == 0
    assert main(["plan"]) == 0
    assert "since the index" not in capsys.readouterr().out
    (folder / "photos/0.png").unlink()
    os.utime(folder / "photos/1.png", (1, 1))
    for name in ("x.png", "y.png"):
        (folder / "photos" / name).write_bytes(b"x")
    assert main(["plan"]) == 0
    assert (
        "2 new, 0 changed and 1 gone since the index; 1 with another time or place and the same content"
        in capsys.readouterr().out
    )
    (folder / "config.yaml").write_text(json.dumps({"dataset": {"source": "phots"}, "model": {"checkpoint": "demo"}}))
    assert main(["plan"]) == 2
    assert "phots" in capsys.readouterr().err


def test_values_on_snakemake_s_command_line_have_types(folder):
    given = ['generator={"points_per_side": 4, "use_m2m": true}', "sweep={grid: {pred_iou_thresh: [0.5, 0.6]}}"]
    run = snakemake(folder, None, "--config", *given, "--until", "index")
    assert run.code == 0, run.output
    config = json.loads((folder / "results/config.json").read_text())
    assert (config["generator"]["points_per_side"], config["generator"]["use_m2m"]) == (4, True)
    assert config["sweep"]["grid"]["pred_iou_thresh"] == [0.5, 0.6]


def test_a_repeated_key_stops_the_workflow(folder):
    (folder / "config.yaml").write_text("sweep: {grid: {use_m2m: [true]}}\nsweep: {}\n")
    run = snakemake(folder, None, "-n")
    assert run.code != 0
    assert "line 2: the key 'sweep' is repeated" in run.output


def test_a_config_that_cannot_be_written_is_a_one_line_error(folder):
    Path("results/config.json").mkdir(parents=True)  # not even root can overwrite it with a file
    run = snakemake(folder, None)
    assert run.code != 0
    assert "results/config.json: cannot be written: Is a directory" in run.output
    assert "Traceback" not in run.output


def test_a_torchvision_of_another_build_is_a_one_line_error(monkeypatch, capsys):
    def fails(message):
        def run(*_, **__):
            raise RuntimeError(message)

        monkeypatch.setattr("maskgrid.cli.main.fetch", run)

    fails("operator torchvision::nms does not exist")
    assert main(["fetch", "sam2.1_hiera_tiny"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1
    assert re.fullmatch(
        r"maskgrid: torchvision \S+ does not load beside torch \S+, .*: install both from one place", said[0]
    )
    fails("a bug")
    with pytest.raises(RuntimeError, match="a bug"):
        main(["fetch", "sam2.1_hiera_tiny"])
