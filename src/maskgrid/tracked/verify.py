"""Is the folder ``tracked`` what its config, videos and prompts make?"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from maskgrid.io.checks import Problem, check_end, check_picture, check_table, info_of
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin
from maskgrid.plan.plan import Plan
from maskgrid.tracked.index import Video, read_videos
from maskgrid.tracked.jobs import Job, read_jobs
from maskgrid.tracked.masklets import masklets_note
from maskgrid.tracked.merge import merge_note
from maskgrid.tracked.parameters import tracking_config
from maskgrid.tracked.track import config_note, job_prompts, prompts_note

_FORMS_OF_FOLDERS = ("png", "palette")


def verify_tracked(plan: Plan) -> list[Problem]:
    """Check every file of tracking that the config asks for, and name those of videos that are not there any more."""
    layout = plan.layout.tracked
    problems = [problem for path in _tables(plan)[:4] for problem in check_table(path)]
    if problems:  # nothing else can be judged
        return problems
    jobs = read_jobs(layout.jobs)
    runs = sorted({job.run for job in jobs})
    videos = {video.video_key: video for video in read_videos(layout.files)}
    for job in jobs:
        problems += _check_part(plan, job, videos[job.video_key])
    for run in runs:
        problems += [*_check_masklets(plan, run, jobs), *_check_exports(plan, run)]
    problems += [problem for path in _tables(plan)[4:] for problem in check_table(path)]
    problems += _check_merged(plan, runs) if not problems else []
    return [*problems, *_strangers(plan, jobs)]


def _tables(plan: Plan) -> tuple[Path, ...]:
    layout = plan.layout.tracked
    planned = layout.videos, layout.files, layout.prompts, layout.jobs
    return (*planned, layout.objects, layout.summary, layout.settings)


def _check_part(plan: Plan, job: Job, video: Video) -> Iterator[Problem]:
    path = plan.layout.tracked.part(job.run, job.group)
    problems = check_table(path)
    yield from problems
    if problems:
        return
    note = read_origin(path)
    expected = {**config_note(plan, video, job.setting), **prompts_note(plan, job, video, job_prompts(plan, job))}
    # Through JSON, as the note went.
    others = [name for name, value in expected.items() if note.get(name) != orjson.loads(orjson.dumps(value))]
    if others:
        yield Problem("stale", path, f"was made with other {', '.join(others)}")


def _check_masklets(plan: Plan, run: str, jobs: list[Job]) -> Iterator[Problem]:
    layout = plan.layout.tracked
    problems = check_table(path := layout.masklets(run))
    yield from problems
    if problems:
        return
    try:
        expected = masklets_note([layout.part(run, job.group) for job in jobs if job.run == run])
    except UserError:  # what is amiss with the parts has been named
        return
    if read_origin(path)["fingerprint"] != expected["fingerprint"]:
        yield Problem("stale", path, "was put together from other parts")


def _check_exports(plan: Plan, run: str) -> Iterator[Problem]:
    layout = plan.layout.tracked
    for form in tracking_config(plan).exports:
        if form in _FORMS_OF_FOLDERS:
            path = layout.export(form, run)
            if not path.is_dir():
                yield Problem("missing", path, "there is no such folder")
        elif form != "youtube_vis":
            yield from check_end(layout.export(form, run))
    if "overlay" in tracking_config(plan).exports:
        yield from check_picture(layout.sheet(run), lambda: str(read_origin(layout.masklets(run))["fingerprint"]))


def _check_merged(plan: Plan, runs: list[str]) -> Iterator[Problem]:
    layout = plan.layout.tracked
    expected = merge_note(plan, runs)["fingerprint"]
    notes: dict[Path, Any] = {path: read_origin(path) for path in _tables(plan)[4:]}
    yield from check_picture(layout.page, lambda: str(expected))
    if "youtube_vis" in tracking_config(plan).exports:
        problems = check_end(layout.youtube_vis)
        yield from problems
        notes |= {} if problems else {layout.youtube_vis: info_of(layout.youtube_vis) or {}}
    try:
        notes[layout.provenance] = orjson.loads(layout.provenance.read_bytes())
    except FileNotFoundError:
        yield Problem("missing", layout.provenance, "there is no such file")
    except orjson.JSONDecodeError:
        yield Problem("truncated", layout.provenance, "is not complete JSON")
    for path, note in notes.items():
        if note.get("fingerprint") != expected:
            yield Problem("stale", path, "was made from other masklets")


def _strangers(plan: Plan, jobs: list[Job]) -> Iterator[Problem]:
    layout = plan.layout.tracked
    runs = {job.run for job in jobs}
    known = {layout.part(job.run, job.group) for job in jobs} | {layout.masklets(run) for run in runs}
    for folder in ("parts", "masklets"):
        for path in sorted((layout.root / folder).rglob("*")):
            hidden = any(part.startswith(".") for part in path.relative_to(layout.root).parts)
            if path.is_file() and not hidden and path not in known:
                yield Problem("stale", path, "is of a video or group of objects that is not asked for any more")
