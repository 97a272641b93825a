"""Kills of Snakemake and of ``maskgrid run`` as a whole: the run goes on, and ends with the same bytes."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from killing import hashes
from maskgrid.config.models import Config
from maskgrid.plan.plan import make_plan
from maskgrid.results.verify import verify_results
from soak.kills import CONFIG, OF_THE_RUN, make_inputs, require_same
from soak.trials import Kind, Trial, WrongError
from workflow import ROOT

# Fewer jobs than the kills of stages have: each loads Python, and most of them torch.
SMALLER = {
    "sweep": {"grid": {"pred_iou_thresh": [0.2, 0.5]}},
    "exports": ["card", "polygons", "labels"],
    "tune": {"settings": 10, "folds": 2, "images": 4},
    "tracking": {**CONFIG["tracking"], "exports": ["youtube_vis", "mots"]},
}
ASIDE = OF_THE_RUN | {"config.json"}
SNAKEMAKE = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "2"]
MASKGRID = [sys.executable, "-m", "maskgrid", "run", "--cores", "2"]


def prepare(folder: Path) -> Trial:
    (folder / "inputs").mkdir()
    make_inputs(folder / "inputs")
    config = CONFIG | SMALLER
    (folder / "inputs" / "config.yaml").write_text(json.dumps(config))
    whole = fresh(folder)
    start = time.monotonic()
    finish(whole, SNAKEMAKE)
    duration = time.monotonic() - start
    expected = of_results(whole)

    def trial(chance: random.Random) -> Iterator[str]:
        run = fresh(folder)
        command = chance.choice((SNAKEMAKE, MASKGRID))
        name = "maskgrid run" if command is MASKGRID else "Snakemake"
        for _ in range(chance.randint(2, 8)):
            if killed(run, command, duration, chance):
                yield f"kills of {name}"
        finish(run, command)
        yield f"runs of {name}"
        require_same(name, of_results(run), expected)
        if problems := problems_in(run, config):
            raise WrongError(f"{name}: verify finds {problems}")

    return trial


def fresh(folder: Path) -> Path:
    run = folder / "run"  # always the same place, since tables of this machine's paths name it
    shutil.rmtree(run, ignore_errors=True)
    shutil.copytree(folder / "inputs", run)
    return run


def of_results(run: Path) -> dict[str, str]:
    """The hashes of the results, without what has times in it."""
    times = {"dataset/files.parquet", "tracked/files.parquet", "dataset/archives.parquet"}
    return {name: digest for name, digest in hashes(run / "results").items() if name not in ASIDE | times}


def killed(run: Path, command: list[str], duration: float, chance: random.Random) -> bool:
    """Start a run and end it after up to a third of its time, so that the next kill finds work left too.

    Returns whether it was still at work.
    """
    sign = chance.choice((signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT))
    is_alone = chance.random() < 0.3  # the main process; its jobs go on
    process = start(run, command)
    try:
        process.wait(chance.uniform(0.0, duration / 3))
    except subprocess.TimeoutExpired:
        (os.kill if is_alone else os.killpg)(process.pid, sign)
        process.wait()
        wait_for_group(process.pid)
        return True
    return False


def wait_for_group(group: int) -> None:
    """Wait until the jobs that a killed run left behind have ended."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return
        time.sleep(0.1)
    raise WrongError("the jobs of a killed run never end")


def finish(run: Path, command: list[str]) -> None:
    if command is SNAKEMAKE:
        end(run, [*SNAKEMAKE, "--unlock"])
        end(run, [*SNAKEMAKE, "--rerun-incomplete"])
    else:
        end(run, command)


def end(run: Path, command: list[str]) -> None:
    process = start(run, command)
    try:
        code = process.wait(600)
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
    said = (run / "said.txt").read_text(errors="replace")
    if code != 0 or "Traceback" in said:
        raise WrongError(f"{' '.join(command[2:])} ended with {code}:\n{said[-4000:]}")


def start(run: Path, command: list[str]) -> subprocess.Popen[bytes]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with (run / "said.txt").open("wb") as said:
        return subprocess.Popen(command, cwd=run, env=environment, stdout=said, stderr=said, start_new_session=True)


def problems_in(run: Path, config: dict) -> list[str]:
    here = Path.cwd()
    os.chdir(run)
    try:
        return [str(each) for each in verify_results(make_plan(Config.model_validate(config), Path(), Path("results")))]
    finally:
        os.chdir(here)


KIND = Kind(
    "workflows", prepare, 1_000, 1, 3600.0, None, "runs of Snakemake and maskgrid run, each killed up to 8 times"
)
