"""A run killed at any moment and restarted ends with the same bytes as an undisturbed one."""

import random
import shutil
import tempfile
import time
from pathlib import Path

import pytest

from killing import (
    RememberingNetwork,
    copy_of,
    count_steps,
    die_after,
    die_at,
    hashes,
    run_all,
    stages,
    tiny_plan,
    write_images,
)
from made_tiffs import geotiff
from maskgrid.automatic.generate import generate_shard
from maskgrid.automatic.proposer import Proposer
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.tables import read_shard
from maskgrid.plan.plan import Plan

STAGES = (
    "index",
    "generate",
    "replay",
    "gather",
    "merge",
    "prompts",
    "prompt",
    "prompt-merge",
    "statistics",
    "export",
    "explorer",
    "report",
    "accept",
)


class Runs:
    """Snapshots of a run before each stage, and the hashes after the stage if nothing kills it."""

    def __init__(self, folder: Path, network: RememberingNetwork) -> None:
        self.folder, self.network = folder, network
        self.source = folder / "source"
        write_images(self.source)
        geotiff(self.source / "map.tif")
        self.stages = {}
        self.states = {}
        results = folder / "whole"
        # Start from the results of an earlier run with another config, so that later stages overwrite old versions.
        run_all(tiny_plan(self.source, results, sweep=None), network)
        shutil.rmtree(results / "dataset")
        shutil.rmtree(results / "candidates")
        for number, (name, stage) in enumerate(stages(self.plan(results), network)):
            self.stages[name] = stage
            before = copy_of(results, folder / f"before-{number}")
            stage(self.plan(results))
            self.states[name] = before, hashes(results)
        self.finished = hashes(results)

    def plan(self, results: Path) -> Plan:
        dataset = {"source": str(self.source), "shard_size": 3, "max_failed_fraction": 0.5, "georeference": True}
        prompts = {"source": str(self.source / "boxes.json")}
        return tiny_plan(self.source, results, dataset=dataset, prompts=prompts, exports=["geopackage"])

    def of(self, kind: str) -> list[str]:
        """Names of the stages of a kind, for instance one per shard."""
        return [name for name in self.stages if name.split()[0] == kind]

    def begin(self, name: str) -> Plan:
        """Copy the results folder as it was before the stage."""
        return self.plan(copy_of(self.states[name][0], self.folder / "killed"))


@pytest.fixture(scope="module")
def runs(demo_model):
    # In memory if possible: a killed process loses nothing that it has written.
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        yield Runs(Path(folder), RememberingNetwork(Proposer(demo_model)))


@pytest.mark.parametrize("kind", STAGES)
def test_a_stage_killed_at_any_step_ends_with_the_same_bytes(runs, kind):
    for name in runs.of(kind)[:1]:
        n_steps = count_steps(lambda name=name: runs.stages[name](runs.begin(name)))
        assert n_steps >= 5  # at least one file: create, write, sync, rename, sync folder
        for step in range(1, n_steps + 1):
            plan = runs.begin(name)
            runs.network.n_runs = 0
            assert die_at(lambda plan=plan, name=name: runs.stages[name](plan), step), f"{name} has no step {step}"
            _check(runs, name, plan, f"{name} killed at step {step}")
        assert not die_at(lambda name=name: runs.stages[name](runs.begin(name)), n_steps + 1)


def test_a_shard_with_a_new_image_killed_at_any_step_loses_no_image_that_is_in_earlier_outputs(runs):
    """The outputs of four images are replaced by those of five: the network is asked for the fifth, twice at most."""
    source = runs.folder / "growing"
    shutil.copytree(runs.source, source)
    held_back = source / "4.png"
    content = held_back.read_bytes()
    held_back.unlink()

    def plan_in(results: Path) -> Plan:
        return tiny_plan(source, results, dataset={"source": str(source), "shard_size": 64, "max_failed_fraction": 0.5})

    def generate(plan: Plan) -> None:
        generate_shard(plan, *plan.runs[1].folder.split("/"), "all", load=runs.network.load)

    before = plan_in(runs.folder / "four")
    index_dataset(before)
    generate(before)
    held_back.write_bytes(content)
    index_dataset(before)
    anew = plan_in(runs.folder / "five")
    index_dataset(anew)
    generate(anew)
    whole = hashes(anew.layout.root / "candidates")

    def begin() -> Plan:
        return plan_in(copy_of(before.layout.root, runs.folder / "killed"))

    n_steps = count_steps(lambda: generate(begin()))
    for step in range(1, n_steps + 1):
        plan = begin()
        runs.network.n_runs = 0
        assert die_at(lambda plan=plan: generate(plan), step)
        generate(plan)
        assert {
            name: digest for name, digest in hashes(plan.layout.root / "candidates").items() if "/." not in name
        } == {name: digest for name, digest in whole.items() if "/." not in name}
        assert 1 <= runs.network.n_runs <= 2, f"killed at step {step}: the network ran {runs.network.n_runs} times"


def test_a_stage_killed_at_any_time_ends_with_the_same_bytes(runs):
    chance = random.Random(1)
    n_killed = 0
    for name, stage in runs.stages.items():
        start = time.monotonic()
        stage(runs.begin(name))
        duration = time.monotonic() - start
        for _ in range(5):
            plan, seconds = runs.begin(name), chance.uniform(0.0, duration)
            runs.network.n_runs = 0
            n_killed += die_after(lambda plan=plan, stage=stage: stage(plan), seconds)
            _check(runs, name, plan, f"{name} killed after {seconds:.4f} s")
    assert n_killed > len(runs.stages)


def test_a_run_killed_again_and_again_ends_with_the_same_bytes(runs):
    plan = runs.begin("index")
    for step in range(20, 1000, 37):
        # Each process gets a little further than the one before, or dies on the way.
        if not die_at(lambda: run_all(plan, runs.network), step):
            break
    else:
        pytest.fail("never came to an end")
    ended = hashes(plan.layout.root)
    del ended["provenance.json"], ended["report/provenance.js"]  # contain times
    assert ended.items() <= runs.finished.items()
    assert len(ended) == len(runs.finished) - 2


def _check(runs: Runs, name: str, plan: Plan, what: str) -> None:
    before, whole = hashes(runs.states[name][0]), runs.states[name][1]
    left = hashes(plan.layout.root)
    for path, content in left.items():
        hidden = any(part.startswith(".") for part in Path(path).parts)
        assert hidden or content in (before.get(path), whole.get(path)), f"{what}: {path} is half written"
    runs.stages[name](plan)
    assert hashes(plan.layout.root) == whole, what
    if name.startswith("generate"):
        _check_repeats(runs, name, what)


def _check_repeats(runs: Runs, name: str, what: str) -> None:
    """Killed and restarted, the network runs once per image, plus once more at most."""
    n_images = _n_images(runs, name)
    assert n_images <= runs.network.n_runs <= n_images + 1, f"{what}: the network ran {runs.network.n_runs} times"


def _n_images(runs: Runs, name: str) -> int:
    return len(read_shard(runs.folder / "whole" / "dataset", name.split()[-1]))
