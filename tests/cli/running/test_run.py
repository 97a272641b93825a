"""maskgrid run as people use it: in a process of its own, with Snakemake below it."""

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
import yaml

from maskgrid.cli.main import main
from maskgrid.cli.pages import changed_config_line
from maskgrid.network.checkpoints import resolve_checkpoint
from warm import client
from workflow import ROOT, snakemake

MASKGRID = [sys.executable, "-m", "maskgrid"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "COLUMNS": "110"}
THRESHOLDS = {"pred_iou_thresh": [0.01, 0.02, 0.03, 0.04, 0.05], "stability_score_thresh": [0.0, 0.1, 0.2, 0.3, 0.4]}
CONFIG = {
    "dataset": {"source": "photos", "max_failed_fraction": 0.2},
    "model": {"checkpoint": "demo"},
    "generator": {"points_per_side": 1, "pred_iou_thresh": 0.01, "stability_score_thresh": 0.0},
    "sweep": {"grid": THRESHOLDS},
}


def started(folder, *words, **how):
    return subprocess.Popen([*MASKGRID, "run", *words], cwd=folder, env=ENVIRONMENT, text=True, **how)


def done(folder, *words):
    """The exit code, stdout and stderr of a run."""
    command = [client(), "-m", "maskgrid", "run", *words]
    run = subprocess.run(command, cwd=folder, env=ENVIRONMENT, text=True, capture_output=True, timeout=500, check=False)
    return run.returncode, run.stdout, run.stderr


def make_folder(folder, n_images=8, side=24):
    (folder / "photos").mkdir()
    for number in range(n_images):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), np.uint8)
        PIL.Image.fromarray(pixels).save(folder / "photos" / f"{number}.png")
    (folder / "config.yaml").write_text(yaml.safe_dump(CONFIG))
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """A folder with eight images and a broken file, and what the first run printed."""
    folder = make_folder(tmp_path_factory.mktemp("run"))
    (folder / "photos/broken.jpg").write_bytes(b"no image")
    return folder, done(folder, "--cores", "2")


def test_a_run_of_eight_images_fits_on_a_screen(first):
    _, (code, out, err) = first
    assert code == 0, err
    # On a busy machine a stage may last for 30 seconds, and say so.
    lines = [line for line in (err + out).splitlines() if not re.search(r" \d+/\d+ ", line)]
    assert len(lines) <= 30, "\n".join(lines)
    assert max(map(len, lines)) <= 120
    assert re.search(r"^  generate +running the network +8 images +\d", err, re.MULTILINE)
    assert err.splitlines()[1].startswith("  index ")
    assert "not used: broken.jpg: " in err
    assert "Snakemake runs it" in err
    assert "jobid" not in err


def test_it_ends_with_the_table_the_paths_and_what_to_do_next(first):
    folder, (_, out, _) = first
    assert "> baseline" in out
    assert "maskgrid recommend" in out
    paths = re.findall(r"results/\S+$", out, re.MULTILINE)
    assert {"results/report/index.html", "results/annotations/baseline.json"} <= set(paths)
    assert all((folder / path).is_file() for path in paths)


# The tests below run in this order: each starts from the state that the one before left.


def test_nothing_changed_is_said_in_one_line(first):
    code, _, err = done(first[0])
    assert code == 0
    assert "nothing to do: all results are there and up to date" in err


def test_bad_files_are_named_by_a_later_run_too(first):
    _, out, _ = done(first[0])
    (line,) = re.findall(r"^not used .*", out, re.MULTILINE)
    assert re.fullmatch(
        r"not used +1 of 9 images: broken\.jpg \(\w+\); reasons in results/dataset/images\.parquet", line
    )


def test_a_dry_run_lists_what_an_override_would_run(first):
    code, out, _ = done(first[0], "-n", "generator.pred_iou_thresh=0.06")
    assert code == 0
    assert out.startswith("would run: ")
    assert {"replay", "statistics"} <= set(re.findall(r"\w+", out))
    assert "generate" not in out


def test_an_override_reaches_the_jobs_between_options(first):
    code, _, err = done(first[0], "--cores", "1", "generator.pred_iou_thresh=0.06", "--", "--until", "statistics")
    assert code == 0, err
    config = json.loads((first[0] / "results/config.json").read_text())
    assert config["generator"]["pred_iou_thresh"] == 0.06
    assert config["dataset"]["source"] == "photos"


def test_after_a_run_with_nothing_to_do_the_results_are_of_the_present_config(first):
    code, _, err = done(first[0])
    assert code == 0, err
    assert json.loads((first[0] / "results/config.json").read_text())["dataset"]["max_failed_fraction"] == 0.2
    assert changed_config_line(first[0] / "results") is None
    (first[0] / "config.yaml").write_text(yaml.safe_dump(CONFIG | {"model": {"checkpoint": "demo", "device": "cpu"}}))
    assert "config.yaml differs from the config of these results in model.device; " in changed_config_line(
        first[0] / "results"
    )
    code, _, err = done(first[0])
    assert "nothing to do" in err
    assert changed_config_line(first[0] / "results") is None
    (first[0] / "config.yaml").write_text(yaml.safe_dump(CONFIG))


def test_a_failed_job_is_one_line_with_its_log_and_the_results_are_shown(first):
    code, out, err = done(first[0], "dataset.max_failed_fraction=0.01")
    assert code == 1
    told = [line for line in err.splitlines() if line.startswith("maskgrid: ")]
    assert re.fullmatch(r"maskgrid: accept failed: 1 of 9 images .* \(log: logs/accept.log\)", told[0])
    assert "RuleException" not in err
    assert "> baseline" in out
    assert "earlier run" not in err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["generator.points_per_sid=1"], "unknown key; did you mean 'points_per_side'?"),
        (["--profile", "slrm"], "did you mean 'slurm'?"),
        (["--config", "none.yaml"], "there is no none.yaml here: write one with maskgrid init --source"),
    ],
)
def test_mistakes_are_one_line(first, monkeypatch, capsys, words, message):
    monkeypatch.chdir(first[0])
    assert main(["run", *words]) == 2
    assert message in (error := capsys.readouterr().err)
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [(["nonsense"], "No rule to produce nonsense"), (["dataset.source=nowhere"], "dataset.source: there is no ")],
)
def test_what_snakemake_finds_wrong_is_one_line(first, words, message):
    code, _, err = done(first[0], *words)
    assert code == 1
    assert err.splitlines()[1].startswith(f"maskgrid: {message}")
    assert len(err.splitlines()) == 2


def test_after_a_failure_in_the_middle_results_may_be_an_earlier_runs(first):
    demo = resolve_checkpoint("demo", None)
    torch.save({"model": {"other": torch.zeros(1)}}, first[0] / "other.pt")
    code, out, err = done(
        first[0], "model.checkpoint=other.pt", f"model.config={demo.config}", "model.allow_unverified=true"
    )
    assert code == 1
    told = [line for line in err.splitlines() if line.startswith("maskgrid: ")]
    assert re.fullmatch(r"maskgrid: generate failed: .*other\.pt .*", told[0])
    assert (
        told[-1] == "maskgrid: what follows is there, but some of it may be an earlier run's; maskgrid verify names it"
    )
    assert "results/statistics/summary.parquet has other settings than the config" in out
    assert "results/annotations/baseline.json" in out


def test_another_results_folder_holds_all_that_a_run_writes(first):
    folder = first[0]
    before = {
        path: path.stat().st_mtime_ns for path in folder.rglob("*") if "results" in path.parts or "logs" in path.parts
    }
    code, out, err = done(folder, "--results", "./other one/", "generator.pred_iou_thresh=0.03")
    assert code == 0, err
    assert "other one/report/index.html" in out
    assert "maskgrid recommend generator.pred_iou_thresh=0.03 --results 'other one'" in out
    assert {path.name for path in (folder / "other one").iterdir()} >= {"report", "annotations", "logs", "benchmarks"}
    made = json.loads((folder / "other one/config.json").read_text())
    assert made["generator"]["pred_iou_thresh"] == 0.03
    assert {path: path.stat().st_mtime_ns for path in before} == before
    verify = subprocess.run(
        [*MASKGRID, "verify", "--results", "other one", "generator.pred_iou_thresh=0.03"],
        cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert verify.returncode == 0, verify.stdout + verify.stderr
    again = done(folder, "--results", "other one", "generator.pred_iou_thresh=0.03")
    assert "nothing to do" in again[2]


def test_snakemake_in_a_folder_without_a_config_offers_init(tmp_path):
    run = snakemake(tmp_path, None, "-n")
    assert run.code != 0
    assert "maskgrid init --source" in run.output


def test_on_a_terminal_a_bar_is_alive(tmp_path):
    folder = make_folder(tmp_path, n_images=2)
    master, slave = pty.openpty()
    process = started(folder, "--", "--until", "statistics", stdout=slave, stderr=slave, stdin=slave)
    os.close(slave)
    shown = b""
    while chunk := _read(master):
        shown += chunk
    assert process.wait() == 0
    assert re.search(rb"generate +running the network.*\d/2 images", shown)


def _read(descriptor):
    try:
        return os.read(descriptor, 65536)
    except OSError:  # the other end is closed
        return b""


@pytest.fixture
def slow(tmp_path):
    """A folder whose network pass takes long enough to be stopped."""
    return make_folder(tmp_path, n_images=40, side=300)


def wait_for_the_network(folder, process):
    deadline = time.monotonic() + 300
    while not any(folder.glob("results/candidates/*/*/.*.journal/*.1.arrow")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.05)


def jobs_of(folder):
    """The processes that work in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            found += [process.name] if (process / "cwd").readlink() == folder else []
        except OSError:
            continue
    return found


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_stopping_is_one_line_and_leaves_nothing_running(slow, number, code):
    process = started(slow, "generator.points_per_side=8", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wait_for_the_network(slow, process)
    process.send_signal(number)
    _, err = process.communicate(timeout=100)
    assert process.returncode == code
    told = [line for line in err.splitlines() if line.startswith("maskgrid: ")]
    words = "stopped; finished work is kept, image by image. Go on with: maskgrid run generator.points_per_side=8"
    assert told == [f"maskgrid: {words}"]
    assert "Error" not in err
    assert jobs_of(slow) == []


def test_a_killed_run_ends_its_jobs_and_the_next_one_goes_on(slow):
    with (slow / "said.txt").open("w") as said:
        process = started(slow, stdout=said, stderr=said, stdin=subprocess.DEVNULL)
        wait_for_the_network(slow, process)
        process.kill()
        process.wait()
    code, _, err = done(slow, "--", "--until", "generate")
    assert code == 0, err
    assert jobs_of(slow) == []
