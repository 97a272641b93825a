"""The demo through a real SLURM, with every fault that a cluster has: the results are those of a run on one machine."""

import getpass
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import yaml
from cluster import Cluster, install, is_installed, running, wait_until

from killing import hashes
from maskgrid.demo import write_demo
from workflow import ROOT, snakemake

pytestmark = [
    pytest.mark.skipif("MASKGRID_SLURM" not in os.environ, reason="starts a SLURM: make test-slurm"),
    pytest.mark.timeout(7200),  # minutes when nothing else runs
]
CONFIG = {
    "generator": {"points_per_side": 4, "pred_iou_thresh": 0.6, "stability_score_thresh": 0.7},
    "sweep": {"grid": {"points_per_side": [4, 6], "pred_iou_thresh": [0.5, 0.7]}},
    "annotations": ["baseline"],
}
# The one file that tells when and where a run took place.
ASIDE = ("provenance.json",)
PATIENCE_S = 1200


@dataclass(frozen=True, slots=True)
class Victim:
    """A job that runs a pass over a shard, stopped in the middle of it.

    Attributes:
        job_id: SLURM's.
        node: where it runs.
        pass_name: of the pass.
        shard: of the shard.
        n_images: how many images it had finished when it was stopped, by its journal.
    """

    job_id: str
    node: str
    pass_name: str
    shard: str
    n_images: int


@dataclass(slots=True)
class Story:
    """What was done to a run, and what came of it."""

    folder: Path
    cluster: Cluster
    started: float = field(default_factory=time.monotonic)
    victims: list[Victim] = field(default_factory=list)
    refusal: str = ""
    grown: str = ""
    restarts: dict[str, str] = field(default_factory=dict)
    code: int | None = None

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def tell(self, words: str) -> None:
        print(f"{time.monotonic() - self.started:6.0f} s  {words}", flush=True)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory) -> Iterator[Cluster]:
    install()
    assert is_installed()
    with running(Cluster(tmp_path_factory.mktemp("slurm"))) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> dict:
    """For both runs, with the demo's pictures where both find them."""
    folder = tmp_path_factory.mktemp("demo")
    write_demo(folder)
    return {**CONFIG, "dataset": {"source": str(folder), "shard_size": 4}}


@pytest.fixture(scope="module")
def local(config, tmp_path_factory) -> Path:
    """The same run on one machine, undisturbed."""
    folder = tmp_path_factory.mktemp("local")
    began = time.monotonic()
    run = snakemake(folder, config)
    assert run.code == 0, run.output
    print(f"\nlocal run: {time.monotonic() - began:.0f} s, {sum(run.finished.values())} jobs", flush=True)
    return folder / "results"


@pytest.fixture(scope="module")
def story(config, local, cluster, tmp_path_factory) -> Story:
    """One run through all faults, to its end."""
    story = Story(tmp_path_factory.mktemp("run"), cluster)
    (story.folder / "config.yaml").write_text(yaml.safe_dump(config))
    driver = start(story)
    try:
        late = time_out(story)
        cancel(story, late)
        preempt(story, late)
        lose_node(story, late)
        see_growth(story, late)
        kill_driver(story, driver)
        refuse(story)
        driver = start(story)
        story.code = driver.wait(timeout=PATIENCE_S)
        story.tell(f"the second driver ended with {story.code}")
    finally:
        with suppress(ProcessLookupError):
            os.killpg(driver.pid, signal.SIGKILL)
    return story


def test_the_run_ends_well(story):
    assert story.code == 0, story.said[-5000:]


def test_results_are_those_of_one_machine(story, local):
    ours, theirs = ({k: v for k, v in hashes(r).items() if k not in ASIDE} for r in (story.folder / "results", local))
    print(f"\n{len(ours)} files compared, {sum(ours.get(name) != theirs[name] for name in theirs)} differ")
    assert ours == theirs


def test_every_job_went_on_inside_its_shard(story):
    for victim in story.victims:
        log = (story.folder / f"logs/generate/demo/{victim.pass_name}/{victim.shard}.log").read_text()
        counted = re.search(r"(\d+) of \d+ images were finished before", log)
        assert "was finished before" in log or int(counted[1]) >= victim.n_images, log


def test_a_job_that_was_too_slow_gets_more(story):
    assert story.grown == "32000M 8:00:00"


def test_preempted_jobs_and_those_of_a_lost_node_went_back_into_the_queue(story):
    assert story.restarts == {"preempted": "1", "node lost": "1"}


def test_a_start_beside_the_jobs_of_a_killed_driver_is_refused(story):
    assert "jobs of an earlier run are still in SLURM's queue" in story.refusal
    assert "scancel --name=maskgrid_" in story.refusal
    assert "Traceback" not in story.refusal


def test_short_jobs_share_one_job(story):
    assert len(list((story.folder / "results/selections").glob("*.counts.parquet"))) > 1
    assert len(set(re.findall(r"group_replay_replay/(\d+)\.log", story.said))) == 1


def test_nothing_is_left_to_do_and_nothing_in_the_queue(story):
    assert "Nothing to be done" in snakemake(story.folder, None, "-n").output
    assert story.cluster.call("squeue", "--noheader") == ""


# The faults, in the order in which they happen.


def time_out(story: Story) -> Victim:
    """A job that hangs and meets its limit, which SLURM counts in minutes; the other faults happen in the meantime."""
    victim = stop_one(story)
    story.cluster.call("scontrol", "update", f"JobId={victim.job_id}", "TimeLimit=1")
    story.tell(f"job {victim.job_id} hangs on {victim.node} after {victim.n_images} images; its limit is a minute")
    return victim


def cancel(story: Story, late: Victim) -> None:
    victim = stop_one(story, late.node)
    story.cluster.call("scancel", victim.job_id)
    story.tell(f"job {victim.job_id} cancelled after {victim.n_images} images")
    wait_for_state(story, victim, "CANCELLED")


def preempt(story: Story, late: Victim) -> None:
    victim = stop_one(story, late.node)
    urgent = ("sbatch", "--partition=urgent", f"--nodelist={victim.node}", "--gpus=1", "--output=/dev/null")
    story.cluster.call(*urgent, "--mem=100", "--wrap=sleep 5")
    story.tell(f"job {victim.job_id} preempted after {victim.n_images} images")
    wait_for_state(story, victim, "PENDING")
    story.restarts["preempted"] = restarts_of(story, victim)


def lose_node(story: Story, late: Victim) -> None:
    victim = stop_one(story, late.node)
    story.cluster.kill_node(victim.node)
    story.cluster.call("scontrol", "update", f"NodeName={victim.node}", "State=DOWN", "Reason=test")
    story.tell(f"node {victim.node} went down under job {victim.job_id} after {victim.n_images} images")
    wait_for_state(story, victim, "PENDING")
    story.restarts["node lost"] = restarts_of(story, victim)
    story.cluster.start_node(victim.node)
    story.cluster.call("scontrol", "update", f"NodeName={victim.node}", "State=RESUME")
    story.tell(f"node {victim.node} is back")


def see_growth(story: Story, late: Victim) -> None:
    """Memory and time of the attempt after the one that was too slow."""
    wait_for_state(story, late, "TIMEOUT")
    story.tell(f"job {late.job_id} met its limit")
    words = f"rule_generate_wildcards_demo_{late.pass_name}_{late.shard}"

    def attempts() -> list[str]:
        listed = story.cluster.call("squeue", "--noheader", "--states=all", "-o", "%A %k %m %l").splitlines()
        rows = sorted((int(row.split()[0]), row) for row in listed if row.split()[1] == words)
        return [row.split(" ", 2)[2] for number, row in rows if number > int(late.job_id)]

    wait_until(lambda: bool(attempts()), PATIENCE_S, "the next attempt")
    story.grown = attempts()[0]


def kill_driver(story: Story, driver: subprocess.Popen[bytes]) -> None:
    victim = stop_one(story)
    os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
    for pid in processes_of(story, victim.pass_name, victim.shard):
        os.kill(pid, signal.SIGCONT)
    story.tell(f"the driver is killed; job {victim.job_id} goes on without it")


def refuse(story: Story) -> None:
    """The next driver starts once the queue is empty: waiting jobs are cancelled, running ones end by themselves."""
    subprocess.run(command("--unlock"), cwd=story.folder, env=environment(story), check=True, capture_output=True)
    again = start(story, "refused.txt")
    code = again.wait(timeout=PATIENCE_S)
    story.refusal = (story.folder / "refused.txt").read_text()
    assert code != 0, story.refusal
    story.tell("a second start was refused")
    story.cluster.call("scancel", "--state=PENDING", "--user", getpass.getuser())
    wait_until(lambda: story.cluster.call("squeue", "--noheader") == "", PATIENCE_S, "an empty queue")
    story.tell("the queue is empty")


# What they are made of.


def environment(story: Story) -> dict[str, str]:
    paths = f"{story.cluster.environment['PATH'].partition(':')[0]}:{Path(sys.executable).parent}:{os.environ['PATH']}"
    own = {"PATH": paths, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT / "src")}
    return {**os.environ, **story.cluster.environment, **own}


def command(*options: str) -> list[str]:
    profile = ["--profile", str(ROOT / "workflow/profiles/slurm")]
    # The machine waits for nothing slower than itself here.
    quick = ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]
    return [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile"), *profile, *quick, *options]


def start(story: Story, said: str = "said.txt") -> subprocess.Popen[bytes]:
    with (story.folder / said).open("ab") as stream:
        return subprocess.Popen(
            command(), cwd=story.folder, env=environment(story), stdout=stream, stderr=stream, start_new_session=True
        )


def stop_one(story: Story, besides: str = "") -> Victim:
    """Stop a job that has finished some of its images and not all, on any node but one.

    A stopped process is what a hanging one looks like, and cannot slip away while the fault is prepared.
    """
    stopped: list[Victim] = []

    def found() -> bool:
        for job in generating(story):
            if job[1] != besides and (victim := _stop(story, *job)):
                stopped.append(victim)
                return True
        return False

    wait_until(found, PATIENCE_S, f"a job in the middle of a shard; {story.said[-2000:]}")
    story.victims.append(stopped[0])
    return stopped[0]


def _stop(story: Story, job_id: str, node: str, pass_name: str, shard: str) -> Victim | None:
    output = story.folder / f"results/candidates/demo/{pass_name}/{shard}.parquet"
    n_images = len(list(output.parent.glob(f".{output.name}.journal/*.1.arrow")))
    if n_images == 0 or not signal_all(story, pass_name, shard, signal.SIGSTOP):
        return None
    if output.exists():  # it was quicker
        signal_all(story, pass_name, shard, signal.SIGCONT)
        return None
    return Victim(job_id, node, pass_name, shard, n_images)


def generating(story: Story) -> list[tuple[str, str, str, str]]:
    """Id, node, pass and shard of the jobs that run the network."""
    listed = story.cluster.call("squeue", "--noheader", "--states=RUNNING", "-o", "%A %N %k").splitlines()
    rows = (row.split() for row in listed if " rule_generate_" in row)
    return [(row[0], row[1], *row[2].removeprefix("rule_generate_wildcards_demo_").rsplit("_", 1)) for row in rows]


def processes_of(story: Story, pass_name: str, shard: str) -> list[int]:
    pids = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            words = (path / "cmdline").read_bytes().decode().split("\0")
            wanted = words[1:4] == ["-m", "maskgrid", "generate"] and {pass_name, shard} <= set(words)
            if wanted and (path / "cwd").readlink() == story.folder:
                pids.append(int(path.name))
    return pids


def signal_all(story: Story, pass_name: str, shard: str, number: signal.Signals) -> bool:
    """Send a signal to the processes of a job; tells whether there were any."""
    pids = processes_of(story, pass_name, shard)
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
    return bool(pids)


def wait_for_state(story: Story, victim: Victim, state: str) -> None:
    def has_come() -> bool:
        query = ("squeue", "--noheader", "--states=all", f"--jobs={victim.job_id}", "-o", "%T")
        return story.cluster.call(*query) == state

    wait_until(has_come, PATIENCE_S, f"job {victim.job_id} to be {state}")


def restarts_of(story: Story, victim: Victim) -> str:
    return re.search(r"Restarts=(\d+)", story.cluster.call("scontrol", "show", "job", victim.job_id))[1]
