"""Check the outputs of tracking, for the command ``verify``."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

import orjson

from maskgrid.dataset.demo.clips import DEMO
from maskgrid.dataset.extras import extra_named, extras_come
from maskgrid.io.checks import UNNEEDED, Problem, check_end, check_picture, check_table, check_tables, info_of
from maskgrid.io.errors import UserError
from maskgrid.io.files import is_hidden
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.layout import TRACKED_DOCUMENTS
from maskgrid.plan.plan import Plan
from maskgrid.plan.remote import is_url
from maskgrid.tracked.accuracy.notes import evaluation_origin
from maskgrid.tracked.accuracy.truth import true_objects_origin
from maskgrid.tracked.jobs import Job, read_jobs
from maskgrid.tracked.notes import job_origin, masklets_origin, merged_origin
from maskgrid.tracked.parameters import reading_of
from maskgrid.tracked.player.data import Parts
from maskgrid.tracked.player.verify import check_player
from maskgrid.tracked.prompts.checked import good_prompts
from maskgrid.tracked.videos.index import Video, is_same_content, read_videos
from maskgrid.tracked.videos.sources import list_videos
from maskgrid.tracked.videos.stage import checked_prompts

_FORMS_OF_FOLDERS = ("png", "palette")


def is_begun(plan: Plan) -> bool:
    """Return whether the config asks for tracking; it needs no outputs of the other jobs."""
    return plan.config.tracking is not None


def verify(plan: Plan) -> list[Problem]:
    """Check every file of tracking that the config asks for, and list those of videos and settings that are gone."""
    layout = plan.layout.tracked
    problems = [problem for path in _tables(plan)[:4] for problem in check_table(path)]
    if problems:  # the rest depends on these tables
        return problems
    jobs = read_jobs(layout.jobs)
    runs = sorted({job.run for job in jobs})
    videos = {video.video_key: video for video in read_videos(layout.files)}
    checkpoint = cache(plan.checkpoint)
    problems += [*changed_sources(plan, list(videos.values()))]
    if are_of_other_settings(plan, jobs):
        return [*problems, Problem("stale", layout.jobs, "lists the jobs of other settings of the sweep")]
    for job in jobs:
        problems += _check_part(plan, checkpoint, job, videos[job.video_key])
    for run in runs:
        problems += [*_check_masklets(plan, run, jobs), *_check_exports(plan, run), *_check_player(plan, run, videos)]
    problems += _check_accuracies(plan, runs)
    problems += [problem for path in _tables(plan)[4:] for problem in check_table(path)]
    problems += _check_merged(plan, runs) if not problems else []
    return [*problems, *_strangers(plan, jobs)]


def _tables(plan: Plan) -> tuple[Path, ...]:
    layout = plan.layout.tracked
    planned = layout.videos, layout.files, layout.prompts, layout.jobs
    accuracies = (layout.accuracy, layout.accuracy_videos, layout.accuracy_settings)
    measured = accuracies if plan.tracking.ground_truth is not None else ()
    return (*planned, layout.objects, layout.summary, layout.settings, *measured)


def changed_sources(plan: Plan, videos: list[Video]) -> Iterator[Problem]:
    """Check that videos and prompts are those of the tables, if they are still there."""
    layout = plan.layout.tracked
    for key, how in _changed_videos(plan, {video.video_key: video for video in videos}):
        yield Problem("stale", layout.videos, f"the video {key} {how}")
    extras = extras_come(read_origin(layout.files))
    for video in videos:
        if (extra := extra_named(video.message)) in extras:
            how = f"may be readable now: maskgrid[{extra}] is installed"
            yield Problem("stale", layout.videos, f"the video {video.video_key} {how}")
    try:
        _, expected = checked_prompts(plan, videos)
    except UserError:
        return
    if read_origin(layout.prompts)["fingerprint"] != expected["fingerprint"]:
        yield Problem("stale", layout.prompts, "was made from other prompts or videos")


def are_of_other_settings(plan: Plan, jobs: list[Job]) -> bool:
    """Return whether jobs were listed for a sweep, or a baseline in its grid, that the config no longer has."""
    return bool(jobs) and {job.setting for job in jobs} != {setting.label for setting in plan.track_settings}


def _changed_videos(plan: Plan, known: dict[str, Video]) -> Iterator[tuple[str, str]]:
    source = plan.tracking.source
    if source == DEMO or is_url(source):
        return
    try:
        items = {item.key: item for item in list_videos(source, plan.base_dir)}
    except UserError:  # results may outlive their videos
        return
    for key in sorted(items.keys() | known.keys()):
        if key not in known:
            yield key, "is new"
        elif key not in items:
            yield key, "is gone"
        elif not is_same_content(known[key], items[key]):
            yield key, "has other content now"


def is_current_part(plan: Plan, checkpoint: Checkpoint, job: Job, video: Video) -> bool:
    """Return whether a job's masklets are there and are those that it would make now."""
    return not list(_check_part(plan, lambda: checkpoint, job, video))


def _check_part(plan: Plan, checkpoint: Callable[[], Checkpoint], job: Job, video: Video) -> Iterator[Problem]:
    path = plan.layout.tracked.part(job.run, job.group)
    problems = check_table(path)
    yield from problems
    if problems:
        return
    origin = read_origin(path)
    prompts = good_prompts(plan.layout.tracked.prompts, job.video_key)
    expected = job_origin(plan, checkpoint(), job, video, prompts)
    # Through JSON, like the stored origin.
    others = [name for name, value in expected.items() if origin.get(name) != orjson.loads(orjson.dumps(value))]
    if others:
        yield Problem("stale", path, f"was made with other {', '.join(others)}")


def _check_masklets(plan: Plan, run: str, jobs: list[Job]) -> Iterator[Problem]:
    layout = plan.layout.tracked
    problems = check_table(path := layout.masklets(run))
    yield from problems
    if problems:
        return
    try:
        expected = masklets_origin([layout.part(run, job.group) for job in jobs if job.run == run])
    except UserError:  # reported with the parts
        return
    if read_origin(path)["fingerprint"] != expected["fingerprint"]:
        yield Problem("stale", path, "was joined from other parts")


def _check_exports(plan: Plan, run: str) -> Iterator[Problem]:
    layout = plan.layout.tracked
    for form in plan.tracking.exports:
        if form in _FORMS_OF_FOLDERS:
            path = layout.export(form, run)
            if not path.is_dir():
                yield Problem("missing", path, "there is no such folder")
        elif form not in (*TRACKED_DOCUMENTS, "player"):
            yield from check_end(layout.export(form, run))
    if "overlay" in plan.tracking.exports:
        yield from check_picture(layout.sheet(run), lambda: str(read_origin(layout.masklets(run))["fingerprint"]))


def _check_player(plan: Plan, run: str, videos: Mapping[str, Video]) -> Iterator[Problem]:
    layout = plan.layout.tracked
    if "player" in plan.tracking.exports:
        job = read_jobs(layout.jobs, run)[0]
        numbers = reading_of(plan).numbers(int(videos[job.video_key].n_frames or 0))
        masklets = layout.masklets(run)
        parts = Parts.at(job.setting, numbers)
        yield from check_player(layout.export("player", run), parts, lambda: str(read_origin(masklets)["fingerprint"]))


def _check_accuracies(plan: Plan, runs: list[str]) -> Iterator[Problem]:
    if plan.tracking.ground_truth is None:
        return
    layout = plan.layout.tracked
    tables = [layout.ground_truth(name) for name in ("videos", "masks")]
    yield from check_tables(tables, lambda: str(true_objects_origin(plan)["fingerprint"]), "true objects or videos")
    for run in runs:
        yield from check_tables(
            [layout.run_accuracy(run)], partial(_accuracy_fingerprint, plan, run), "masklets or objects"
        )


def _accuracy_fingerprint(plan: Plan, run: str) -> str:
    return str(evaluation_origin(plan, run)["fingerprint"])


def _check_merged(plan: Plan, runs: list[str]) -> Iterator[Problem]:
    layout = plan.layout.tracked
    expected = merged_origin(layout, runs, plan.tracking.ground_truth is not None)["fingerprint"]
    origins: dict[Path, Any] = {path: read_origin(path) for path in _tables(plan)[4:]}
    yield from check_picture(layout.page, lambda: str(expected))
    if "player" in plan.tracking.exports:
        yield from check_picture(layout.player, lambda: str(expected))
    for document in (layout.document(form) for form in TRACKED_DOCUMENTS if form in plan.tracking.exports):
        problems = check_end(document)
        yield from problems
        origins |= {} if problems else {document: info_of(document) or {}}
    try:
        origins[layout.provenance] = orjson.loads(layout.provenance.read_bytes())
    except FileNotFoundError:
        yield Problem("missing", layout.provenance, "there is no such file")
    except orjson.JSONDecodeError:
        yield Problem("truncated", layout.provenance, "is not complete JSON")
    for path, origin in origins.items():
        if origin.get("fingerprint") != expected:
            yield Problem("stale", path, "was made from other masklets")


def _strangers(plan: Plan, jobs: list[Job]) -> Iterator[Problem]:
    layout = plan.layout.tracked
    runs = {job.run for job in jobs}
    known = {layout.part(job.run, job.group) for job in jobs} | {layout.masklets(run) for run in runs}
    known |= {layout.run_accuracy(run) for run in runs}
    measured = ("ground_truth/runs",) if plan.tracking.ground_truth is not None else ()
    for folder in ("parts", "masklets", *measured):
        for path in sorted((layout.root / folder).rglob("*")):
            if path.is_file() and not is_hidden(path, layout.root) and path not in known:
                reason = "belongs to a video, setting or group of objects that is no longer in the jobs; may be deleted"
                yield Problem(UNNEEDED, path, reason)
