"""The check for GPUs: its parts run on the CPU with the demo's model, and whatever a part does, the next one runs."""

import json
import os
import subprocess
import sys
from argparse import Namespace
from importlib import import_module

import pytest
import torch
from gpu import parts, watch
from gpu.check import Check
from gpu.measure import bits, compare
from gpu.parts import PARTS, Part
from gpu.pyav import _EmptyModules
from gpu.trials import TRIALS
from gpu.worker import Worker

from conftest import ROOT

CPU = torch.device("cpu")
# A worker that does what its part's name says.
WORKER = """
import os, sys, time
from pathlib import Path
status, names = sys.argv[sys.argv.index("--worker") + 1], sys.argv[sys.argv.index("--parts") + 1:]
for name in names:
    Path(status).write_text(name)
    with open("ran", "a") as stream:
        stream.write(name + "\\n")
    time.sleep(0.5)
    if name == "crash":
        os.abort()
    if name == "hang":
        time.sleep(60)
    if name == "lost":
        sys.exit(3)
"""


def lines(out):
    return [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]


def run_check(out, *options):
    program = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--out", str(out)]
    done = subprocess.run(
        [*program, "--device", "cpu", "--stand-in", *options], check=True, stdout=subprocess.PIPE, text=True
    )
    log = (out / "log.txt").read_text()
    found = lines(out)
    assert not [line for line in found if "error" in line], log[-5000:]
    assert done.stdout.splitlines()[-1] == f"{len(found)} results, 0 failures"
    return found


def test_cheap_parts(tmp_path):
    names = ["facts", "sweep", "out_of_memory", "trials", "vos_optimized"]
    found = run_check(tmp_path, "--parts", *names, "--repeat", "1")
    assert [line["part"] for line in found if line.get("done")] == names
    assert {line["trial"] for line in found if "trial" in line} == TRIALS.keys()
    compared = [line for line in found if line["part"] == "sweep" and "sam2_s" in line]
    assert [line["differences"] for line in compared] == [0, 0, 0, 0]
    assert all(line["f1"] == 1.0 for line in compared)
    short = [line for line in found if line["part"] == "out_of_memory" and "room_mib" in line]
    assert len(short) == 10
    assert {line["differences"] for line in short} == {0}


@pytest.mark.skipif("MASKGRID_GPU_CHECK" not in os.environ, reason="minutes; make test-gpu-check")
@pytest.mark.timeout(1800)
def test_all_parts(tmp_path):
    found = run_check(tmp_path, "--seconds", "1500")
    assert [line["part"] for line in found if line.get("done")] == list(PARTS)
    assert len(found) > 200
    for line in found:
        if line.get("side") in ("exact", "sam2 again") and line.get("against") != "sam2 float32":
            assert line.get("differences", 0) == 0, line
        if "masks_that_differ" in line and line.get("objects_per_batch", 1) > 1:
            assert line["dtype"] != "float32" or line["iou_lowest"] > 0.99, line
        elif "masks_that_differ" in line and line.get("dtype") == "float32":
            assert line["masks_that_differ"] == 0, line
    assert "fast bfloat16" in (tmp_path / "profiles.txt").read_text()


def test_the_table_names_functions():
    for part in PARTS.values():
        assert callable(getattr(import_module(f"gpu.{part.module}"), part.function))


def test_the_watcher_loads_no_torch():
    code = "import sys, gpu_check; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT / "benchmarks")


@pytest.mark.parametrize(
    ("names", "ran", "errors"),
    [
        (["one", "two"], ["one", "two"], {}),
        (["one", "crash", "two"], ["one", "crash", "two"], {"crash": "the process ended with -6"}),
        (["one", "hang", "two"], ["one", "hang", "two"], {"hang": "ended: took longer than 2 s"}),
        (["lost", "two"], ["lost", "two"], {}),  # the worker has noted why
    ],
)
def test_the_next_part_runs(names, ran, errors, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "PARTS", {name: Part(2, "", "") for name in ("one", "two", "crash", "hang", "lost")})
    arguments = Namespace(out=tmp_path, seconds=60.0, parts=names, stand_in=False)
    watch.watch_all(arguments, [sys.executable, "-c", WORKER])
    assert (tmp_path / "ran").read_text().split() == ran
    found = lines(tmp_path) if errors else []
    assert {line["part"]: line["error"] for line in found} == errors


def test_the_time_is_over(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(watch, "PARTS", {name: Part(60, "", "") for name in ("hang", "two")})
    watch.watch_all(
        Namespace(out=tmp_path, seconds=7.0, parts=["hang", "two"], stand_in=False), [sys.executable, "-c", WORKER]
    )
    assert {line["part"]: line["error"] for line in lines(tmp_path)} == {
        "hang": "ended: the time was over",
        "two": "not begun: the time was over",
    }


def test_a_part_that_fails_is_noted(tmp_path, monkeypatch):
    monkeypatch.setitem(parts.PARTS, "missing", Part(1, "facts", "missing"))
    arguments = Namespace(
        **{"device": "cpu", "out": tmp_path, "photo": None, "repeat": 1, "trials": ["extents", "unknown"]},
        **{"stand_in": True, "stand_in_architecture": "demo", "parts": ["missing", "trials"]},
        worker=tmp_path / "status",
    )
    assert Worker(arguments).run() == 0
    found = lines(tmp_path)
    assert [line["part"] for line in found] == ["missing", "trials", "trials", "trials"]
    assert "missing" in found[0]["error"]
    assert found[1]["trial"] == "extents"
    assert found[2]["error"].startswith("there is no such trial; there are extents, ")
    assert found[3]["done"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a device")
def test_without_a_device_it_ends_at_once(tmp_path):
    program = [sys.executable, str(ROOT / "benchmarks" / "gpu_check.py"), "--out", str(tmp_path)]
    subprocess.run(program, check=True, stdout=subprocess.DEVNULL)
    assert [(line["part"], line["error"][:28]) for line in lines(tmp_path)] == [
        ("start", "there is no CUDA device here")
    ]


def test_discs_of_a_second_model_are_drawn_once_and_the_demo_has_none(tmp_path):
    first, second = (Check(CPU, tmp_path, stand_in="tiny") for _ in range(2))
    first.points = second.points = 2
    with torch.no_grad():
        for check, name in ((first, "large"), (second, "large"), (second, "demo")):
            batch = check.batch(name)
            assert bits(batch.ours(batch.decoding("exact")), batch.sam2())["equal"] == [True, True]
            apart = bits(batch.ours(batch.decoding("fast")), batch.sam2())["largest"]
            # On one core, a rounding of 1e-6 moves a disc by up to a pixel, and its logits by 4 a pixel.
            assert apart[0] < (0.01 if name == "demo" else 4.0)


def test_masks_are_compared():
    def mask(counts, **more):
        return {"segmentation": {"size": [4, 4], "counts": counts}, "area": 1, **more}

    one, other = mask("04<"), mask("44")  # the first column, and none but the last
    assert compare([one], [one], agreement=True) == {
        **{"n_ours": 1, "n_theirs": 1, "differences": 0, "fields": {}, "n_same_pixels": 1},
        **{"f1": 1.0, "iou_mean": 1.0},
    }
    found = compare([one, one], [other], agreement=False)
    assert found == {"n_ours": 2, "n_theirs": 1, "differences": 2, "fields": {"segmentation": 1}, "n_same_pixels": 0}
    assert compare([], [], agreement=True)["f1"] == 1.0


def test_without_pyav():
    code = (
        "import sys; from gpu.pyav import _EmptyModules; sys.meta_path.insert(0, _EmptyModules()); "
        "import maskgrid.tracked.propagation.tracker, av; assert not hasattr(av, '__file__')"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(ROOT / "benchmarks")])}
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, env=environment)
    assert _EmptyModules().find_spec("average") is None
