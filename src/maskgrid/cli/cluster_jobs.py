"""Jobs that a workflow has left in a SLURM queue: a driver that is killed leaves what it has submitted."""

import getpass
import logging
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from maskgrid.io.errors import UserError

# The plugin names all jobs of a run alike: an optional prefix, and the run's UUID. What each does is in its comment.
_RUN = re.compile(r"(?:.+_)?[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_FORMAT = "%i|%T|%j|%k|%Z"  # of squeue: id, state, name, comment, working folder
_LOGS = ("logs/slurm", ".snakemake/slurm_logs")  # the profile's, and the plugin's own choice
_N_SHOWN = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class ClusterJob:
    """A job of SLURM that has not ended.

    Attributes:
        job_id: SLURM's.
        state: SLURM's word, such as ``PENDING``, ``RUNNING``, ``COMPLETING``.
        run: the name that all jobs of one run of the workflow share.
        work: the rule and its wildcards, as the plugin writes them.
    """

    job_id: str
    state: str
    run: str
    work: str


def jobs_in_queue(folder: Path) -> list[ClusterJob]:
    """Jobs that a run of a workflow in ``folder`` has submitted and that have not ended.

    None where SLURM has never had a job of this folder; nor where it does not answer, which is said and stops nobody
    who goes on without it.
    """
    if shutil.which("squeue") is None or not any((folder / logs).is_dir() for logs in _LOGS):
        return []
    command = ["squeue", "--noheader", f"--user={getpass.getuser()}", f"--format={_FORMAT}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError) as error:
        reason = getattr(error, "stderr", None) or str(error)
        log.warning("squeue does not say whether jobs of an earlier run are in its queue: %s", reason.strip())
        return []
    return parse_queue(done.stdout, folder)


def parse_queue(listing: str, folder: Path) -> list[ClusterJob]:
    """The jobs of ``folder`` in what squeue has printed, a line a job."""
    jobs = []
    for line in listing.splitlines():
        job_id, state, name, comment, workdir = line.split("|", 4)
        if _RUN.fullmatch(name) and Path(workdir).resolve() == folder.resolve():
            jobs.append(ClusterJob(job_id, state, name, comment))
    return jobs


def refuse_second_writers(folder: Path) -> None:
    """Stop a start beside jobs of a run whose driver is gone.

    They write whole files under the same names, so nothing they do can damage a file; but Snakemake, in each of them,
    removes a job's outputs before it starts and when it fails, and the new run may have made them by then.

    Raises:
        UserError: there are such jobs; says how to find and to end them.
    """
    jobs = jobs_in_queue(folder)
    if not jobs:
        return
    shown = "".join(f"\n  {job.job_id} {job.state} {job.work}" for job in jobs[:_N_SHOWN])
    more = f"\n  and {len(jobs) - _N_SHOWN} more" if len(jobs) > _N_SHOWN else ""
    names = ",".join(sorted({job.run for job in jobs}))
    raise UserError(
        f"{len(jobs)} jobs of an earlier run are still in SLURM's queue for this folder:{shown}{more}\n"
        f"Wait until they have ended (squeue --name={names}), or end them (scancel --name={names}), and start again; "
        "what they finish until then is kept"
    )
