"""The jobs of tracking: some objects of a video, or a whole video whose objects are found automatically."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from maskgrid.config.models import BASELINE
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import Plan
from maskgrid.tracked.parameters import options_of, reading_of
from maskgrid.tracked.prompts.checked import VideoPrompt, passes_of, prompt_contents
from maskgrid.tracked.tables import JOBS
from maskgrid.tracked.videos.index import Video
from maskgrid.tracked.videos.orientation import is_unusual


@dataclass(frozen=True, slots=True)
class Job:
    """A row of ``JOBS``.

    Attributes:
        run: the name of the results: the video's name, with the sweep's setting if it is not the baseline.
        setting: the sweep's setting.
        video_key: the video.
        group: number of the group of objects.
        object_ids: the objects; empty if they are found automatically.
        digest: hash of the video and the prompts.
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
        UserError: the table is missing or truncated, or has no such run.
    """
    filters = [] if run is None else [("run", "=", run)]
    jobs = [Job(**row) for row in read_table(path, filters=filters, schema=JOBS).to_pylist()]
    if run is not None and not jobs:
        raise UserError(f"{path}: there is no job for {run!r}; maskgrid videos writes this list")
    return jobs


def find_job(path: Path, run: str, group: str) -> Job:
    """Return the job of a run and group.

    Raises:
        UserError: as :func:`read_jobs`, or the run has no such group.
    """
    jobs = read_jobs(path, run)
    for job in jobs:
        if job.group == group:
            return job
    raise UserError(f"{run} has no group {group}; known are {', '.join(job.group for job in jobs)}")


def make_jobs(plan: Plan, videos: Sequence[Video], prompts: Sequence[VideoPrompt]) -> list[Job]:
    """The jobs of all good videos, by name and group."""
    by_video = {key: list(rows) for key, rows in groupby(prompts, lambda row: row.video_key)}
    jobs = []
    for video in videos:
        if video.status == "ok":
            jobs += list(_video_jobs(plan, video, by_video.get(video.video_key, [])))
    return sorted(jobs, key=lambda job: (job.run, job.group))


def _video_jobs(plan: Plan, video: Video, prompts: list[VideoPrompt]) -> Iterator[Job]:
    config, reading = plan.tracking, reading_of(plan)
    data: dict[str, Any] = {
        "sha256": video.sha256,
        "reading": [reading.start, reading.stop, reading.stride],
        "kind": video.kind,
    }
    if is_unusual(video.rotation_deg or 0):
        data["rotation_deg"] = video.rotation_deg
    if config.prompts is None:
        for setting in (one.label for one in plan.track_settings):
            run = video.video_name if setting == BASELINE else f"{video.video_name}@{setting}"
            yield Job(run, setting, video.video_key, "0000", [], digest(data))
        return
    good = [row for row in prompts if row.status == "ok"]
    if lost := {row.object_id for row in prompts} - {row.object_id for row in good}:
        data["refused"] = sorted(lost)  # they keep their numbers in pictures with palettes
    passes = list(map(str, passes_of(good, video, reading, options_of(config))))
    objects = sorted({prompt.object_id for prompt in good})
    size = len(objects) if config.non_overlap_masks or config.objects_per_job is None else config.objects_per_job
    for number, first in enumerate(range(0, len(objects), max(1, size))):
        members = objects[first : first + size]
        shown = [prompt for prompt in good if prompt.object_id in members]
        content = {**data, "passes": passes, "prompts": prompt_contents(shown)}
        yield Job(video.video_name, BASELINE, video.video_key, f"{number:04d}", members, digest(content))
