"""Run the workflow on a cluster and disturb its jobs."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

from cluster import Cluster, wait_until

from workflow import ROOT

PATIENCE_S = 1800
MOMENTS = Path(__file__).parent / "moments"
SNAKEMAKE = [sys.executable, "-m", "snakemake", "-s", str(ROOT / "Snakefile")]
# Short waits, as everything runs on this machine.
QUICK = ["--slurm-init-seconds-before-status-checks", "3", "--latency-wait", "10"]


@dataclass(frozen=True, slots=True)
class Victim:
    """A job that runs a pass over a shard, stopped midway.

    Attributes:
        job_id: SLURM's id of the job.
        node: the node on which it runs.
        pid: its process, on this machine.
        pass_name: name of the pass.
        shard: name of the shard.
        n_images: number of images finished when it was stopped, according to its journal.
        n_attempts: number of jobs submitted for its work until then.
        n_restarts: how often SLURM had requeued the job until then.
    """

    job_id: str
    node: str
    pid: int
    pass_name: str
    shard: str
    n_images: int
    n_attempts: int = 1
    n_restarts: int = 0


@dataclass(slots=True)
class SlurmRun:
    """A run in a folder with a ``config.yaml``, and the jobs that were disturbed."""

    folder: Path
    cluster: Cluster
    began: float = field(default_factory=time.monotonic)
    victims: list[Victim] = field(default_factory=list)
    driver: subprocess.Popen[bytes] | None = None

    @property
    def said(self) -> str:
        return (self.folder / "said.txt").read_text()

    def tell(self, words: str) -> None:
        print(f"{time.monotonic() - self.began:6.0f} s  {words}", flush=True)

    def start(self, said: str = "said.txt") -> subprocess.Popen[bytes]:
        """Start a driver in its own process group."""
        self.driver = launch(self.folder, self.command(), self.environment, said)
        return self.driver

    def command(self, *options: str) -> list[str]:
        return [*SNAKEMAKE, "--profile", str(ROOT / "workflow/profiles/slurm"), *QUICK, *options]

    @property
    def environment(self) -> dict[str, str]:
        shims = self.cluster.environment["PATH"].partition(":")[0]
        return {**self.cluster.environment, "PATH": f"{shims}:{os.environ['PATH']}"}

    def stop_one(self, moment: str = "between_two_images", besides: str = "") -> Victim:
        """Stop the next job that comes to a moment of ``moments/sitecustomize.py``, on any node except ``besides``.

        A stopped process looks like a hanging one, and cannot finish while the fault is prepared.
        """
        taken = self.folder / "stop" / f"{moment}.json"
        taken.unlink(missing_ok=True)
        (self.folder / "stop" / moment).write_text(besides)

        def found() -> bool:
            assert self.driver.poll() is None, self.said[-3000:]
            return taken.exists()

        wait_until(found, PATIENCE_S, f"a job {moment}")
        victim = Victim(**json.loads(taken.read_text()))
        self.victims.append(replace(victim, n_attempts=len(self.attempts(victim)), n_restarts=self.restarts(victim)))
        return self.victims[-1]

    def went_on(self, victim: Victim) -> bool:
        """Whether the job went on by itself after it was stopped: no other took up its work, nor was it requeued."""
        return len(self.attempts(victim)) == victim.n_attempts and self.restarts(victim) == victim.n_restarts

    def let_go(self, victim: Victim) -> None:
        os.kill(victim.pid, signal.SIGUSR1)

    def wait_for(self, victim: Victim, state: str) -> None:
        """Wait until SLURM reports this state of the job."""
        query = ("squeue", "--noheader", "--states=all", f"--jobs={victim.job_id}", "-o", "%T")
        wait_until(lambda: self.cluster.call(*query) == state, PATIENCE_S, f"job {victim.job_id} to be {state}")

    def restarts(self, victim: Victim) -> int:
        """How often SLURM has requeued the job."""
        return int(re.search(r"Restarts=(\d+)", self.cluster.call("scontrol", "show", "job", victim.job_id))[1])

    def attempts(self, victim: Victim) -> list[str]:
        """Memory and time limit of each job submitted for the victim's work, in order."""
        listed = self.cluster.call("squeue", "--noheader", "--states=all", "-o", "%A %k %m %l").splitlines()
        words = f"rule_generate_wildcards_demo_{victim.pass_name}_{victim.shard}"
        rows = sorted((int(row.split()[0]), row.split(" ", 2)[2]) for row in listed if row.split()[1] == words)
        return [asked for _, asked in rows]

    def log(self, victim: Victim) -> str:
        return (self.folder / f"logs/generate/demo/{victim.pass_name}/{victim.shard}.log").read_text()


def launch(folder: Path, command: list[str], environment: dict[str, str], said: str) -> subprocess.Popen[bytes]:
    """Start a command in a folder; its output goes to a file there."""
    fixed = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join([str(ROOT / "src"), str(MOMENTS)])}
    environment = {**os.environ, **environment, **fixed}
    with (folder / said).open("ab") as stream:
        return subprocess.Popen(
            command, cwd=folder, env=environment, stdout=stream, stderr=stream, start_new_session=True
        )


def kill(driver: subprocess.Popen[bytes]) -> None:
    """Kill a driver and all its processes on this machine; its jobs on the cluster run on."""
    with suppress(ProcessLookupError):
        os.killpg(driver.pid, signal.SIGKILL)
    driver.wait()
