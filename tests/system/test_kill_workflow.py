"""Kill the workflow itself with all its jobs in the middle of several stages."""

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import PIL.Image
import pytest

from corpus import scene
from killing import RememberingNetwork, hashes, run_all, tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.config.files import save_config
from workflow import ROOT

ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
# Files with times and places of the run, and outputs of stages that the library's run here leaves out.
ASIDE = ("config.json", "outputs.json", "provenance.json", "report/")


@pytest.fixture(scope="module")
def whole(demo_model, tmp_path_factory):
    """The source, and the hashes of an undisturbed run by the library."""
    folder = tmp_path_factory.mktemp("whole")
    (folder / "source").mkdir()
    for number in range(4):
        PIL.Image.fromarray(scene(40, 56 + number, seed=number)).save(folder / "source" / f"{number}.png")
    plan = tiny_plan(folder / "source", folder / "results")
    run_all(plan, RememberingNetwork(Proposer(demo_model)))
    return folder / "source", outputs(folder / "results")


def outputs(results: Path) -> dict[str, str]:
    return {name: digest for name, digest in hashes(results).items() if not name.startswith(ASIDE)}


@pytest.mark.timeout(1200)  # seconds on an idle machine, minutes on a busy one
def test_the_workflow_killed_in_several_stages_ends_with_the_same_bytes(whole, tmp_path):
    source, expected = whole
    save_config(tiny_plan(source, tmp_path / "results").config, tmp_path / "config.json")
    results, chance = tmp_path / "results", random.Random(3)
    moments = {
        "in the first image's journal": lambda: any(results.glob("candidates/*/*/.*.journal/*.1.arrow")),
        "in or after the replay": lambda: any(results.glob("selections/*.counts.parquet")),
    }
    for moment, has_come in moments.items():
        workflow = start(tmp_path)
        try:
            wait_for(has_come, workflow, moment)
            time.sleep(chance.uniform(0.0, 0.3))
        finally:
            os.killpg(workflow.pid, signal.SIGKILL)
            workflow.wait()
        subprocess.run(command(tmp_path, "--unlock"), check=True, capture_output=True, env=ENVIRONMENT)
    assert start(tmp_path).wait(timeout=400) == 0, said(tmp_path)
    assert outputs(results) == expected


def start(folder: Path) -> subprocess.Popen[bytes]:
    with (folder / "said.txt").open("ab") as stream:
        arguments = command(folder, "--rerun-incomplete")
        return subprocess.Popen(arguments, env=ENVIRONMENT, stdout=stream, stderr=stream, start_new_session=True)


def said(folder: Path) -> str:
    return (folder / "said.txt").read_text()[-3000:]


def command(folder: Path, *options: str) -> list[str]:
    snakefile, config = str(ROOT / "Snakefile"), str(folder / "config.json")
    fixed = ["-s", snakefile, "--configfile", config, "--directory", str(folder), "--cores", "2"]
    profile = ["--profile", str(ROOT / "profiles" / "default")]
    return [sys.executable, "-m", "snakemake", *fixed, *profile, *options]


def wait_for(has_come: Callable[[], bool], workflow: subprocess.Popen[bytes], moment: str) -> None:
    deadline = time.monotonic() + 400
    while not has_come():
        assert workflow.poll() is None, f"the workflow ended before it was killed {moment}"
        assert time.monotonic() < deadline, f"never came {moment}"
        time.sleep(0.05)
