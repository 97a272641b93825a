"""The jobs of tracking: some objects of a video, or a whole video whose objects are found."""

from dataclasses import dataclass
from pathlib import Path

from maskgrid.errors import UserError
from maskgrid.tables import read_table
from maskgrid.video.schemas import JOBS


@dataclass(frozen=True, slots=True)
class Job:
    """A row of ``JOBS``.

    Attributes:
        run: what the results are named by: the video's name, and the setting of a sweep.
        setting: the setting of the sweep.
        video_key: the video.
        group: the group of objects, by number.
        object_ids: the objects; empty where they are found automatically.
        digest: a hash of the video and the prompts.
    """

    run: str
    setting: str
    video_key: str
    group: str
    object_ids: list[int]
    digest: str


def read_jobs(path: Path, run: str | None = None) -> list[Job]:
    """The rows of ``jobs.parquet``, all or those of a run.

    Raises:
        UserError: it is missing or cut off, or has no such run.
    """
    filters = [] if run is None else [("run", "=", run)]
    jobs = [Job(**row) for row in read_table(path, filters=filters, schema=JOBS).to_pylist()]
    if run is not None and not jobs:
        raise UserError(f"{path}: there is no job for {run!r}; maskgrid videos makes the list")
    return jobs


def find_job(path: Path, run: str, group: str) -> Job:
    """A job by its names.

    Raises:
        UserError: as :func:`read_jobs`, and when the run has no such group.
    """
    jobs = read_jobs(path, run)
    for job in jobs:
        if job.group == group:
            return job
    raise UserError(f"{run} has no group {group}; there are {', '.join(job.group for job in jobs)}")
