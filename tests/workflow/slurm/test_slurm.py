"""Run the demo through a real SLURM with every fault that a cluster has; results equal those of one machine."""

import getpass
import os
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, install, running, wait_until
from slurm_run import PATIENCE_S, SNAKEMAKE, SlurmRun, Victim, kill, launch

from killing import hashes
from maskgrid.dataset.demo.images import write_demo
from maskgrid.io.tables import read_table
from workflow import snakemake

pytestmark = [
    pytest.mark.skipif("MASKGRID_SLURM" not in os.environ, reason="starts a SLURM: make test-slurm"),
    pytest.mark.timeout(7200),  # minutes on an idle machine
]
CONFIG = {
    "model": {"checkpoint": "demo"},
    "generator": {"points_per_side": 4, "pred_iou_thresh": 0.6, "stability_score_thresh": 0.7},
    "sweep": {"grid": {"pred_iou_thresh": [0.5, 0.7], "box_nms_thresh": [0.5, 0.7]}},
    "annotations": ["baseline"],
}
# The only file with time and place of the run.
ASIDE = ("outputs.json", "provenance.json", "report/provenance.js")


@dataclass(slots=True)
class Outcome:
    """The outcome of a run through all faults."""

    run: SlurmRun
    refusal: str = ""
    grown: str = ""
    restarts: dict[str, int] = field(default_factory=dict)
    went_on: list[Victim] = field(default_factory=list)
    code: int | None = None


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    """The config of both runs, with the demo's generated images in a folder that both can read."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder)
    return {**CONFIG, "dataset": {"source": str(folder / "scenes"), "shard_size": 3}}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    install()
    with running() as cluster:
        yield cluster


@pytest.fixture(scope="module")
def local(config, tmp_path_factory) -> Iterator[subprocess.Popen[bytes]]:
    """The same run on one machine, undisturbed, in parallel."""
    folder = made_folder(tmp_path_factory, "local", config)
    driver = launch(folder, [*SNAKEMAKE, "--cores", "1"], {}, "said.txt")
    yield folder, driver
    kill(driver)


@pytest.fixture(scope="module")
def outcome(config, local, cluster, tmp_path_factory) -> Iterator[Outcome]:
    """Run through all faults, to the end."""
    run = SlurmRun(made_folder(tmp_path_factory, "run", config), cluster)
    outcome = Outcome(run)
    driver = run.start()
    try:
        late = time_out(run)
        cancel(run, late)
        preempt(outcome, late)
        lose_node(outcome, late)
        see_growth(outcome, late)
        orphan = kill_driver(run, driver)
        refuse(outcome, orphan)
        driver = run.start()
        outcome.code = driver.wait(timeout=PATIENCE_S)
        run.tell(f"the second driver ended with exit code {outcome.code}")
        outcome.went_on = [one for one in run.victims if run.went_on(one)]
    except TimeoutError:
        print(run.said[-5000:])
        raise
    finally:
        kill(driver)
    return outcome


@pytest.fixture(scope="module")
def cancelled(config, local, cluster, outcome, tmp_path_factory) -> tuple[SlurmRun, str]:
    """Another run, whose jobs are cancelled at the last image of their shard and right after it.

    Also what the second job had logged by then: it may be the one that went on with the first one's shard.
    """
    run = SlurmRun(made_folder(tmp_path_factory, "cancelled", config), cluster)
    driver = run.start()
    try:
        for moment in ("at_its_last_image", "after_its_last_image"):
            victim = run.stop_one(moment)
            logged = run.log(victim)
            run.cluster.call("scancel", victim.job_id)
            run.tell(f"job {victim.job_id} cancelled {moment.replace('_', ' ')}, of which {victim.n_images} are kept")
            run.wait_for(victim, "CANCELLED")
        code = driver.wait(timeout=PATIENCE_S)
        run.tell(f"the driver ended with exit code {code}")
    except TimeoutError:
        print(run.said[-5000:])
        raise
    finally:
        kill(driver)
    return run, logged


def made_folder(tmp_path_factory, name: str, config: dict) -> Path:
    folder = tmp_path_factory.mktemp(name)
    (folder / "stop").mkdir()
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


def test_the_run_succeeds(outcome):
    assert outcome.code == 0, outcome.run.said[-5000:]


def test_results_equal_those_of_one_machine(outcome, local):
    ours = same_results(outcome.run, local)
    assert {"annotations/baseline.json", "statistics/summary.parquet", "report/index.html"} <= ours.keys()


def test_a_job_cancelled_as_it_finishes_its_shard_loses_nothing(cancelled, local):
    run, logged = cancelled
    assert run.driver.returncode == 0, run.said[-5000:]
    last, after = run.victims
    assert last.n_images == 2
    assert "2 of 3 images were finished before" in (logged if after.shard == last.shard else run.log(last))
    images = run.folder / f"results/candidates/demo/{after.pass_name}/{after.shard}.images.parquet"
    assert after.n_images == len(read_table(images))
    assert "an earlier process had finished it" in run.log(after)
    same_results(run, local)


def same_results(run: SlurmRun, local) -> dict[str, str]:
    """The hashes of a run's results, which are those of the run on one machine."""
    folder, driver = local
    assert driver.wait(timeout=PATIENCE_S) == 0, (folder / "said.txt").read_text()[-5000:]
    ours, theirs = hashes(run.folder / "results"), hashes(folder / "results")
    differing = {name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)} - set(ASIDE)
    print(f"\n{len(theirs) - len(ASIDE)} files compared, {len(differing)} differ")
    assert not differing
    return ours


def test_every_job_resumed_within_its_shard(outcome):
    assert len(outcome.run.victims) == 5
    # The job that outlived its driver may have finished its shard by itself, so that no other job took it up.
    assert outcome.went_on in ([], outcome.run.victims[-1:])
    for victim in outcome.run.victims:
        if victim in outcome.went_on:
            continue
        log = outcome.run.log(victim)
        counted = [int(n) for n in re.findall(r"(\d+) of \d+ images were finished before", log)]
        assert "an earlier process had finished it" in log or max(counted, default=0) >= victim.n_images, (victim, log)


def test_a_job_that_was_too_slow_gets_more_resources(outcome):
    assert outcome.grown == "32000M 8:00:00"


def test_preempted_jobs_and_jobs_of_a_lost_node_are_requeued(outcome):
    assert outcome.restarts == {"preempted": 1, "node lost": 1}


def test_a_start_is_refused_while_jobs_of_a_killed_driver_run(outcome):
    assert "jobs of an earlier run are still in SLURM's queue" in outcome.refusal
    assert "scancel --name=maskgrid_" in outcome.refusal
    assert "Traceback" not in outcome.refusal


def test_short_jobs_are_grouped(outcome):
    assert len(list((outcome.run.folder / "results/selections").glob("*.counts.parquet"))) > 1
    assert len(set(re.findall(r"group_replay_replay/(\d+)\.log", outcome.run.said))) == 1


def test_nothing_is_left_to_do_and_the_queue_is_empty(outcome):
    assert "Nothing to be done" in snakemake(outcome.run.folder, None, "-n").output
    assert outcome.run.cluster.call("squeue", "--noheader") == ""


# The faults in the order in which they happen.


def time_out(run: SlurmRun) -> Victim:
    """Let a job hang until its time limit, which takes a minute; the next faults happen on other nodes meanwhile."""
    victim = run.stop_one()
    run.cluster.call("scontrol", "update", f"JobId={victim.job_id}", "TimeLimit=1")
    run.tell(f"job {victim.job_id} hangs on {victim.node} after {victim.n_images} images; its limit is a minute")
    return victim


def cancel(run: SlurmRun, late: Victim) -> None:
    victim = run.stop_one(besides=late.node)
    run.cluster.call("scancel", victim.job_id)
    run.tell(f"job {victim.job_id} cancelled after {victim.n_images} images")
    run.wait_for(victim, "CANCELLED")


def preempt(outcome: Outcome, late: Victim) -> None:
    run = outcome.run
    victim = run.stop_one(besides=late.node)
    urgent = ("sbatch", "--partition=urgent", f"--nodelist={victim.node}", "--gpus=1", "--output=/dev/null")
    run.cluster.call(*urgent, "--mem=100", "--wrap=sleep 5")
    run.tell(f"job {victim.job_id} preempted after {victim.n_images} images")
    wait_until(lambda: run.restarts(victim) > 0, PATIENCE_S, "the preempted job to be back in the queue")
    outcome.restarts["preempted"] = run.restarts(victim)


def lose_node(outcome: Outcome, late: Victim) -> None:
    run = outcome.run
    victim = run.stop_one(besides=late.node)
    before = run.restarts(victim)
    run.cluster.kill_node(victim.node)
    run.cluster.call("scontrol", "update", f"NodeName={victim.node}", "State=DOWN", "Reason=test")
    run.tell(f"node {victim.node} went down under job {victim.job_id} after {victim.n_images} images")
    wait_until(lambda: run.restarts(victim) > before, PATIENCE_S, "the node's job to be back in the queue")
    outcome.restarts["node lost"] = run.restarts(victim) - before
    run.cluster.start_node(victim.node)
    wait_until(lambda: run.cluster.states()[victim.node] in ("idle", "mix", "alloc"), PATIENCE_S, "the node's return")
    run.tell(f"node {victim.node} is back")


def see_growth(outcome: Outcome, late: Victim) -> None:
    """Record the resources requested by the attempt after the timeout."""
    run = outcome.run
    run.wait_for(late, "TIMEOUT")
    run.tell(f"job {late.job_id} met its limit")
    wait_until(lambda: len(run.attempts(late)) > 1, PATIENCE_S, "the next attempt")
    outcome.grown = run.attempts(late)[1]


def kill_driver(run: SlurmRun, driver: subprocess.Popen[bytes]) -> Victim:
    victim = run.stop_one()
    kill(driver)
    run.tell(f"the driver is killed; job {victim.job_id} is left, after {victim.n_images} images")
    return victim


def refuse(outcome: Outcome, orphan: Victim) -> None:
    """A second start is refused; then empty the queue: cancel waiting jobs and let running ones end."""
    run = outcome.run
    subprocess.run(
        run.command("--unlock"), cwd=run.folder, env={**os.environ, **run.environment}, check=True, capture_output=True
    )
    again = run.start("refused.txt")
    code = again.wait(timeout=PATIENCE_S)
    outcome.refusal = (run.folder / "refused.txt").read_text()
    assert code != 0, outcome.refusal
    run.tell("a second start was refused")
    run.let_go(orphan)
    run.cluster.call("scancel", "--state=PENDING", f"--user={getpass.getuser()}")
    wait_until(lambda: run.cluster.call("squeue", "--noheader") == "", PATIENCE_S, "an empty queue")
    run.tell("the queue is empty")
