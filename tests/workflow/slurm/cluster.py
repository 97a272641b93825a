"""Run a real SLURM on this machine for the duration of a test: some nodes with pretended GPUs, no accounting.

To try something out by hand::

    python tests/workflow/slurm/cluster.py start /tmp/slurm    # prints the environment variables to set
    python tests/workflow/slurm/cluster.py stop /tmp/slurm
"""

import argparse
import getpass
import os
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

PROGRAMS = ("munged", "slurmctld", "slurmd", "sbatch")
PACKAGES = ("munge", "slurm-wlm")
# SLURM only checks that they are devices; nothing opens the file of a pretended GPU.
DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random")
SEARCH_PATH = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"

# Without cgroups, database and systemd, an ordinary user can run all of it, on nodes that claim more than the machine
# has. DefMemPerCPU: otherwise a job that requests no memory takes a whole node. MinJobAge: how long squeue still lists
# ended jobs. cred_expire: how long a requeued job waits, 120 s by default.
CONFIG = """\
ClusterName=maskgrid
SlurmctldHost=localhost
SlurmctldPort={port}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge/socket,cred_expire=15
CredType=cred/munge
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool/%n
SlurmctldPidFile={folder}/run/slurmctld.pid
SlurmdPidFile={folder}/run/slurmd.%n.pid
SlurmctldLogFile={folder}/log/slurmctld.log
SlurmdLogFile={folder}/log/slurmd.%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
MpiDefault=none
SwitchType=switch/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
SlurmdParameters=config_overrides
GresTypes=gpu
SchedulerParameters=sched_interval=2,bf_interval=5
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ReturnToService=2
JobRequeue=1
DefMemPerCPU=500
MinJobAge=7200
SlurmctldTimeout=60
SlurmdTimeout=300
KillWait=5
InactiveLimit=0
"""
NODE = "NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={port} CPUs={cpus} RealMemory={memory_mb} {gres}\n"
PARTITIONS = """\
PartitionName=work Nodes=ALL Default=YES PriorityTier=1 MaxTime=1-0 State=UP
PartitionName=urgent Nodes=ALL PriorityTier=2 MaxTime=1-0 PreemptMode=OFF State=UP
"""
# The plugin's job step removes all SLURM_* variables, so srun would not find a slurm.conf outside /etc.
SRUN = """\
#!/bin/sh
SLURM_CONF={folder}/slurm.conf exec {srun} "$@"
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """Daemons of one user on one machine, with all their files in one folder.

    Attributes:
        folder: absolute and short, because of the socket in it; jobs find the configuration here.
        n_nodes: number of slurmd, each with its own name, port and spool.
        n_gpus: GPUs of each node.
        n_cpus: CPUs of each node; may exceed the machine's.
        memory_mb: memory of each node; may exceed the machine's.
    """

    folder: Path
    n_nodes: int = 2
    n_gpus: int = 1
    n_cpus: int = 2
    memory_mb: int = 200_000

    @property
    def nodes(self) -> list[str]:
        return [f"n{number}" for number in range(1, self.n_nodes + 1)]

    @property
    def environment(self) -> dict[str, str]:
        """Environment variables with which a process reaches this cluster and no other."""
        return {"SLURM_CONF": str(self.folder / "slurm.conf"), "PATH": f"{self.folder / 'bin'}:{SEARCH_PATH}"}

    def start(self) -> None:
        """Start all daemons and wait until every node is idle.

        Raises:
            TimeoutError: if the nodes do not come up; the logs are in the folder ``log``.
        """
        self._write_config()
        munge = self.folder / "munge"
        names = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
        self.call("munged", *(f"--{option}={munge / name}" for option, name in names.items()))
        self.call("slurmctld", "-c")
        for node in self.nodes:
            self.start_node(node)
        all_idle = dict.fromkeys(self.nodes, "idle")
        wait_until(lambda: self.states() == all_idle, 120, f"idle nodes; their logs are in {self.folder}/log")

    def stop(self) -> None:
        """Cancel all jobs and stop all daemons."""
        with suppress(RuntimeError, TimeoutError, OSError):
            self.call("scancel", "--user", getpass.getuser(), "--full")
            wait_until(lambda: not self.call("squeue", "--noheader"), 30, "an empty queue")
        pids = [path for node in self.nodes if (path := self._pid_file(node)).is_file()]
        for path in [*pids, self.folder / "run/slurmctld.pid", self.folder / "munge/pid"]:
            _end(path)

    def start_node(self, node: str) -> None:
        self.call("slurmd", "-N", node)

    def kill_node(self, node: str) -> None:
        """Simulate a power failure: kill the node's slurmd, its job steps and all their processes at once."""
        roots = [int(self._pid_file(node).read_text()), *self._steps(node)]
        for pid in [*roots, *_descendants(roots)]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def states(self) -> dict[str, str]:
        """The state of each node, by name."""
        listed = self.call("sinfo", "--noheader", "-N", "-o", "%N %t", "-p", "work")
        return dict(line.split() for line in listed.splitlines())

    def call(self, *command: str) -> str:
        """Run a SLURM command and return its output.

        Raises:
            RuntimeError: if it fails, with its stderr.
        """
        environment = {**os.environ, **self.environment}
        program = shutil.which(command[0], path=environment["PATH"]) or command[0]
        done = subprocess.run([program, *command[1:]], env=environment, capture_output=True, text=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"{shlex.join(command)}: {done.stderr.strip()}")
        return done.stdout.strip()

    def _pid_file(self, node: str) -> Path:
        return self.folder / f"run/slurmd.{node}.pid"

    def _steps(self, node: str) -> list[int]:
        """Ids of a node's slurmstepd processes, by their jobs: they are not children of its slurmd."""
        jobs = self.call("squeue", "--noheader", "-w", node, "-o", "%A").split()
        marks = tuple(f"slurmstepd: [{job}." for job in jobs)
        return [pid for pid, words in _processes() if words.startswith(marks)] if marks else []

    def _write_config(self) -> None:
        for name in ("state", "run", "log", "bin", *(f"spool/{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        (self.folder / "munge").mkdir(mode=0o755, exist_ok=True)
        key = self.folder / "munge/key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o600)
        ports = _free_ports(1 + self.n_nodes)
        host = socket.gethostname().split(".")[0]
        gres = f"Gres=gpu:{self.n_gpus} State=UNKNOWN"
        text = CONFIG.format(port=ports[0], user=getpass.getuser(), folder=self.folder)
        for node, port in zip(self.nodes, ports[1:], strict=True):
            text += NODE.format(name=node, host=host, port=port, cpus=self.n_cpus, memory_mb=self.memory_mb, gres=gres)
        (self.folder / "slurm.conf").write_text(text + PARTITIONS)
        (self.folder / "gres.conf").write_text("".join(f"Name=gpu File={file}\n" for file in DEVICES[: self.n_gpus]))
        shim = self.folder / "bin/srun"
        shim.write_text(SRUN.format(folder=self.folder, srun=shutil.which("srun", path=SEARCH_PATH)))
        shim.chmod(0o755)


@contextmanager
def running() -> Iterator[Cluster]:
    """Run a cluster in a temporary folder for the duration of the block."""
    with TemporaryDirectory(prefix="slurm-") as folder:
        Path(folder).chmod(0o755)  # otherwise munged refuses to put its socket there
        cluster = Cluster(Path(folder))
        try:
            cluster.start()
            yield cluster
        finally:
            cluster.stop()


def is_installed() -> bool:
    return all(shutil.which(program, path=SEARCH_PATH) for program in PROGRAMS)


def install() -> None:
    """Install Debian's SLURM packages if they are missing.

    Raises:
        SystemExit: if they are missing and this user may not install them.
    """
    if is_installed():
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"SLURM is missing; as root on Debian or Ubuntu: apt-get install {' '.join(PACKAGES)}")
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(["apt-get", "update", "-qq"], check=True, env=environment)
    command = ["apt-get", "install", "-y", "-qq", "--no-install-recommends", *PACKAGES]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL)


def wait_until(has_come: Callable[[], bool], seconds: float, what: str) -> None:
    """Wait until a condition is true.

    Raises:
        TimeoutError: if it is still false after ``seconds``.
    """
    deadline = time.monotonic() + seconds
    while not has_come():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        time.sleep(0.2)


def _free_ports(n: int) -> list[int]:
    sockets = [socket.socket() for _ in range(n)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()


def _end(pid_file: Path) -> None:
    """End the process whose id is in a file, and wait until it is gone."""
    with suppress(FileNotFoundError, ValueError, ProcessLookupError):
        pid = int(pid_file.read_text())
        os.kill(pid, signal.SIGTERM)
        with suppress(TimeoutError):
            wait_until(lambda: not Path(f"/proc/{pid}").exists(), 20, "the end of a daemon")
            return
        os.kill(pid, signal.SIGKILL)


def _processes() -> list[tuple[int, str]]:
    """Ids and command lines of all processes."""
    listed = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            listed.append((int(path.parent.name), path.read_bytes().replace(b"\0", b" ").decode(errors="replace")))
    return listed


def _descendants(pids: list[int]) -> list[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
    found = set(pids)
    while more := {pid for pid, parent in parents.items() if parent in found} - found:
        found |= more
    return sorted(found - set(pids))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=["start", "stop"])
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    cluster = Cluster(arguments.folder.absolute())
    if arguments.action == "stop":
        cluster.stop()
        return
    install()
    cluster.start()
    for name, value in cluster.environment.items():
        print(f"export {name}={value}")
    print(cluster.call("sinfo", "-N", "-o", "# %N %T %c CPUs %m MB %G"), file=sys.stderr)


if __name__ == "__main__":
    main()
