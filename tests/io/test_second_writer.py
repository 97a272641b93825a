"""Two processes write one shard at once, as when a node believed lost goes on working: the bytes are those of one."""

import os
import random
import time
import traceback
from pathlib import Path

import PIL.Image
import pytest

from corpus import scene
from killing import RememberingNetwork, hashes, stages, tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.io.files import observed
from maskgrid.plan.plan import Plan


@pytest.fixture(scope="module")
def network(demo_model) -> RememberingNetwork:
    return RememberingNetwork(Proposer(demo_model))


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    for number in range(4):
        PIL.Image.fromarray(scene(40, 56 + number, seed=number)).save(folder / f"{number}.png")
    return folder


def indexed(source: Path, results: Path, network: RememberingNetwork) -> Plan:
    plan = tiny_plan(source, results, dataset={"source": str(source)})
    dict(stages(plan, network))["index"](plan)
    return plan


def generate(plan: Plan, network: RememberingNetwork) -> None:
    name = f"generate crop0-grid4 {plan.shards()[0]}"
    dict(stages(plan, network))[name](plan)


def writer(plan: Plan, network: RememberingNetwork, seed: int) -> int:
    """Start a process that pauses before each of its steps; return its id."""
    pid = os.fork()
    if pid:
        return pid
    code, chance = 1, random.Random(seed)
    try:
        with observed(lambda step, path: time.sleep(chance.uniform(0.0, 0.01))):
            generate(plan, network)
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork.*:DeprecationWarning")
def test_two_writers_of_one_shard_end_with_the_bytes_of_one(source, network, tmp_path):
    alone = indexed(source, tmp_path / "alone", network)
    generate(alone, network)
    expected = hashes(alone.layout.root)
    assert len(expected) > 4
    for seed in range(8):
        plan = indexed(source, tmp_path / str(seed), network)
        pids = [writer(plan, network, 2 * seed + number) for number in range(2)]
        assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
        assert hashes(plan.layout.root) == expected
