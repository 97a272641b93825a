"""Jobs of an earlier run in SLURM's queue: if Snakemake is killed, the jobs it submitted stay there."""

import getpass
import logging
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from maskgrid.io.errors import UserError

# The plugin gives all jobs of a run one name: an optional prefix and the run's UUID. The comment says what a job does.
_RUN = re.compile(r"(?:.+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FORMAT = "%i|%T|%j|%k|%Z"  # for squeue: id, state, name, comment, working folder
_LOGS = ("logs/slurm", ".snakemake/slurm_logs")  # the profile's choice, and the plugin's default
_N_SHOWN = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """A SLURM job that has not ended.

    Attributes:
        job_id: SLURM's id.
        state: SLURM's name for it, such as ``PENDING``, ``RUNNING``, ``COMPLETING``.
        run: the job name, which all jobs of one run of the workflow share.
        work: the rule and its wildcards, as the plugin writes them.
    """

    job_id: str
    state: str
    run: str
    work: str


def jobs_in_queue(folder: Path) -> list[ClusterJob]:
    """List the unfinished jobs that runs of a workflow in ``folder`` submitted.

    Empty if SLURM never ran a job from this folder. If squeue fails, log a warning and return an empty list.
    """
    if shutil.which("squeue") is None or not any((folder / logs).is_dir() for logs in _LOGS):
        return []
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", f"--format={_FORMAT}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        log.warning("squeue failed, so jobs of an earlier run may still be queued: %s", reason.strip())
        return []
    return parse_queue(done.stdout, folder)


def parse_queue(listing: str, folder: Path) -> list[ClusterJob]:
    """Read the jobs of ``folder`` from squeue's output, one line per job."""
    jobs = []
    for line in listing.splitlines():
        job_id, state, name, comment, workdir = line.split("|", 4)
        if _RUN.fullmatch(name) and Path(workdir).resolve() == folder.resolve():
            jobs.append(ClusterJob(job_id, state, name, comment))
    return jobs


def refuse_second_writers(folder: Path) -> None:
    """Refuse to start while jobs of a killed run are still queued or running.

    They write whole files under the same names, so they cannot damage a file. But the Snakemake process in each job
    removes its outputs before it starts and when it fails, by when the new run may have made them.

    Raises:
        UserError: there are such jobs; the message says how to find and end them.
    """
    jobs = jobs_in_queue(folder)
    if not jobs:
        return
    shown = "".join(f"\n  {job.job_id} {job.state} {job.work}" for job in jobs[:_N_SHOWN])
    more = f"\n  and {len(jobs) - _N_SHOWN} more" if len(jobs) > _N_SHOWN else ""
    names = ",".join(sorted({job.run for job in jobs}))
    raise UserError(
        f"{len(jobs)} jobs of an earlier run are still in SLURM's queue for this folder:{shown}{more}\n"
        f"Wait until they have ended (squeue --name={names}), or end them (scancel --name={names}), then start again; "
        "whatever they finish is kept"
    )
