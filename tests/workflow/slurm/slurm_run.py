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
        pass_name: name of the pass.
        shard: name of the shard.
        n_images: number of images finished when it was stopped, according to its journal.
        n_attempts: number of jobs submitted for its work until then.
        n_restarts: how often SLURM had requeued the job until then.
    """

    job_id: str
    node: str
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

    def stop_one(self, besides: str = "") -> Victim:
        """Stop a job that has finished some but not all of its images, on any node except ``besides``.

        A stopped process looks like a hanging one, and cannot finish while the fault is prepared.
        """
        stopped: list[Victim] = []

        def found() -> bool:
            assert self.driver.poll() is None, self.said[-3000:]
            for job in self._generating():
                if job[1] != besides and (victim := self._stop(*job)):
                    stopped.append(victim)
                    return True
            return False

        wait_until(found, PATIENCE_S, "a job in the middle of a shard")
        victim = stopped[0]
        self.victims.append(replace(victim, n_attempts=len(self.attempts(victim)), n_restarts=self.restarts(victim)))
        return self.victims[-1]

    def stop_at(self, moment: str) -> Victim:
        """Stop the next job that comes to a moment of ``moments/sitecustomize.py``; the run needs a folder ``stop``."""
        (self.folder / "stop" / moment).touch()
        taken = self.folder / "stop" / f"{moment}.json"

        def found() -> bool:
            assert self.driver.poll() is None, self.said[-3000:]
            return taken.exists()

        wait_until(found, PATIENCE_S, f"a job {moment}")
        self.victims.append(Victim(**json.loads(taken.read_text())))
        return self.victims[-1]

    def went_on(self, victim: Victim) -> bool:
        """Whether the job went on by itself after it was stopped: no other took up its work, nor was it requeued."""
        return len(self.attempts(victim)) == victim.n_attempts and self.restarts(victim) == victim.n_restarts

    def let_go(self, victim: Victim) -> None:
        self._signal(victim.pass_name, victim.shard, signal.SIGCONT)

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

    def _generating(self) -> list[tuple[str, str, str, str]]:
        """Id, node, pass and shard of running jobs of the rule ``generate``."""
        listed = self.cluster.call("squeue", "--noheader", "--states=RUNNING", "-o", "%A %N %k").splitlines()
        rows = (row.split() for row in listed if " rule_generate_" in row)
        return [(row[0], row[1], *row[2].removeprefix("rule_generate_wildcards_demo_").rsplit("_", 1)) for row in rows]

    def _stop(self, job_id: str, node: str, pass_name: str, shard: str) -> Victim | None:
        output = self.folder / f"results/candidates/demo/{pass_name}/{shard}.parquet"
        n_images = len(list(output.parent.glob(f".{output.name}.journal/*.1.arrow")))
        if n_images == 0 or not self._signal(pass_name, shard, signal.SIGSTOP):
            return None
        if output.exists():  # it finished before it was stopped
            self._signal(pass_name, shard, signal.SIGCONT)
            return None
        return Victim(job_id, node, pass_name, shard, n_images)

    def _signal(self, pass_name: str, shard: str, number: signal.Signals) -> bool:
        """Send a signal to the processes of a job; return whether there were any."""
        pids = []
        for path in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (path / "cmdline").read_bytes().decode().split("\0")
                is_wanted = words[1:4] == ["-m", "maskgrid", "generate"] and {pass_name, shard} <= set(words)
                if is_wanted and (path / "cwd").readlink() == self.folder:
                    os.kill(int(path.name), number)
                    pids.append(int(path.name))
        return bool(pids)


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
