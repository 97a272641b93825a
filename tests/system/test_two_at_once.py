"""Two at once in one folder or cache: the second is refused in a line, or both end with the right bytes."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
import traceback
import warnings

import PIL.Image
import pytest

from corpus import scene
from killing import RememberingNetwork, hashes, stages, tiny_plan, write_images
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.cli.main import main
from maskgrid.cli.running import lock
from workflow import ROOT, snakemake

CONFIG = {
    "dataset": {"source": "photos"},
    "model": {"checkpoint": "demo"},
    "generator": {"points_per_side": 1},
    "exports": [],
}
TIMES = ("provenance.json", "report/provenance.js")
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
COMMANDS = {
    "maskgrid run": ["-m", "maskgrid", "run", "--cores", "1"],
    "snakemake": ["-m", "snakemake", "-s", str(ROOT / "Snakefile"), "--cores", "1"],
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    PIL.Image.fromarray(scene()).save(tmp_path / "photos" / "a.png")
    # A dry run writes the config, and takes no lock.
    assert snakemake(tmp_path, CONFIG, "-n").code == 0
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def first(folder, request):
    """A run that is halted as soon as it has Snakemake's lock, and so at work for as long as the test takes."""
    command = [sys.executable, *COMMANDS[request.param]]
    nowhere = subprocess.DEVNULL
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=nowhere, stderr=nowhere, start_new_session=True)
    try:
        deadline = time.monotonic() + 300
        while sum(path.stat().st_size > 0 for path in (folder / ".snakemake/locks").glob("*.lock")) < 2:
            assert process.poll() is None, "the run ended before it had the lock"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        os.killpg(process.pid, signal.SIGSTOP)
        yield request.param
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", ["maskgrid run"], indirect=True)
def test_beside_maskgrid_run(folder, first, monkeypatch, capfd):
    monkeypatch.setattr(lock, "_PATIENCE_S", 0.0)
    assert main(["run"]) == 2
    said = "another maskgrid run works in this folder; wait until it has ended, or stop it"
    assert capfd.readouterr().err == f"maskgrid: {said}\n"
    second = snakemake(folder, None)
    assert second.code != 0
    assert "Directory cannot be locked" in second.output


@pytest.mark.timeout(900)
@pytest.mark.parametrize("first", ["snakemake"], indirect=True)
def test_maskgrid_run_beside_snakemake(folder, first):
    command = [sys.executable, *COMMANDS["maskgrid run"]]
    second = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert second.returncode == 1
    assert "maskgrid: Snakemake works in this folder already, or was killed here;" in second.stderr


@pytest.fixture(scope="module")
def whole(demo_model, tmp_path_factory):
    """An undisturbed run by the library: its folder, its stages by name, and the hashes after each."""
    folder = tmp_path_factory.mktemp("whole")
    write_images(folder / "source")
    plan = tiny_plan(folder / "source", folder / "results")
    states = []
    for name, stage in stages(plan, RememberingNetwork(Proposer(demo_model))):
        before = folder / f"before-{name.replace('/', '_').replace(' ', '_')}"
        if plan.layout.root.exists():
            shutil.copytree(plan.layout.root, before)
        stage(plan)
        states.append((name, stage, before, hashes(plan.layout.root)))
    return folder, states


def test_two_processes_at_the_same_stage_of_the_same_shard(whole, tmp_path):
    folder, states = whole
    for name, stage, before, after in states:
        results = tmp_path / "results"
        shutil.rmtree(results, ignore_errors=True)
        if before.exists():
            shutil.copytree(before, results)
        plan = tiny_plan(folder / "source", results)
        codes = at_once(lambda stage=stage, plan=plan: stage(plan), tmp_path / "said.txt")
        said = (tmp_path / "said.txt").read_text()
        assert 0 in codes, f"{name}: {said}"
        assert "Traceback" not in said, f"{name}: {said}"
        found = {path: digest for path, digest in hashes(results).items() if path not in TIMES}
        assert found == {path: digest for path, digest in after.items() if path not in TIMES}, name


def at_once(work, log):
    """Do the same in two processes that start together; returns their exit codes: 0, or 1 after an error for people."""
    log.write_text("")
    reading, writing = os.pipe()
    pids = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # forking with threads; ours are idle
        for _ in range(2):
            pid = os.fork()
            if pid == 0:
                child(work, log, reading, writing)
            pids.append(pid)
    os.close(writing)
    os.close(reading)
    return [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids]


def child(work, log, reading, writing):
    from maskgrid.io.errors import MachineError, UserError

    code = 1
    try:
        os.close(writing)
        os.read(reading, 1)  # returns when the parent closes its end
        work()
        code = 0
    except (UserError, MachineError) as error:
        with log.open("a") as stream:
            stream.write(f"{error}\n")
    except BaseException:
        with log.open("a") as stream:
            stream.write(traceback.format_exc())
    finally:
        os._exit(code)


def test_pages_stay_whole_in_a_folder_that_moves(whole, tmp_path):
    """A page that is open has its links relative, so it still finds its pictures and other pages."""
    folder, _ = whole
    moved = shutil.copytree(folder / "results", tmp_path / "moved")
    pages = sorted(moved.rglob("*.html"))
    assert {page.name for page in pages} >= {"index.html", "explorer.html"}
    for page in pages:
        text = page.read_text()
        assert str(folder / "results") not in text
        assert "file:///" not in text
        for link in re.findall(r'(?:href|src)="([^"#]+)', text):
            if not re.match(r"https?:|data:|mailto:", link):
                assert not link.startswith("/"), link
                assert (page.parent / link.partition("?")[0]).exists(), f"{page.name}: {link}"
