"""The stage ``track-merge``: statistics of all runs, a YouTube-VIS document, a page, and the provenance."""

import logging
import platform
from collections.abc import Sequence
from functools import partial
from itertools import groupby

import orjson
import pyarrow as pa

from maskgrid.config.models import BASELINE
from maskgrid.io.files import write_bytes
from maskgrid.io.fingerprint import git_state, maskgrid_version, package_versions
from maskgrid.io.journal import forget_journal
from maskgrid.io.tables import read_origin, read_table, write_table
from maskgrid.io.wording import number
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan
from maskgrid.tracked.accuracy.merge import write_accuracies
from maskgrid.tracked.accuracy.page import accuracy_sections
from maskgrid.tracked.exports.coco_frames import write_coco_frames
from maskgrid.tracked.exports.documents import write_youtube_vis
from maskgrid.tracked.jobs import read_jobs
from maskgrid.tracked.masklets import Run, read_run
from maskgrid.tracked.notes import merged_origin
from maskgrid.tracked.page import tracking_page
from maskgrid.tracked.player.page import player_page
from maskgrid.tracked.prompts.checked import VideoPrompt, read_prompts
from maskgrid.tracked.statistics import Row, RunStatistics, lost_statistics, run_statistics, settings_rows
from maskgrid.tracked.tables import OBJECTS, PROMPTS, SETTINGS, SUMMARY
from maskgrid.tracked.videos.index import read_videos

log = logging.getLogger(__name__)


def merge_tracked(plan: Plan) -> str:
    """Write the statistics, accuracies, the documents over all videos, the pages and ``provenance.json``.

    Returns:
        A summary in one line, for people.

    Raises:
        maskgrid.io.errors.UserError: the config has no tracking, or a run's masklets or accuracies are missing.
    """
    layout = plan.layout.tracked
    jobs = read_jobs(layout.jobs)
    runs = [read_run(plan, name) for name in dict.fromkeys(job.run for job in jobs)]
    counted = _statistics(plan, runs)
    origin = merged_origin(layout, [run.name for run in runs], plan.tracking.ground_truth is not None)
    objects = [row for statistics in counted for row in statistics.objects]
    summary = [statistics.summary for statistics in counted]
    write_table(layout.objects, pa.Table.from_pylist(objects, OBJECTS), origin)
    write_table(layout.summary, pa.Table.from_pylist(summary, SUMMARY), origin)
    settings = settings_rows(summary, objects, _parameters(plan))
    write_table(layout.settings, pa.Table.from_pylist(settings, SETTINGS), origin)
    _write_documents(plan, [run for run in runs if run.setting == BASELINE], origin)
    if "player" in plan.tracking.exports:
        write_bytes(layout.player, player_page(plan, runs, origin["fingerprint"]))
    more = accuracy_sections(write_accuracies(plan, runs, _parameters(plan), origin))
    write_bytes(layout.page, tracking_page(plan, runs, objects, summary, settings, origin["fingerprint"], more))
    _write_provenance(plan, runs, origin)
    for job in jobs:
        forget_journal(layout.part(job.run, job.group))
    return summary_line(summary, objects)


def _write_documents(plan: Plan, runs: Sequence[Run], origin: Origin) -> None:
    """Write the exports that are one file over all videos."""
    layout = plan.layout.tracked
    categories = read_origin(layout.prompts).get("categories", [])
    info = {
        "description": "Masklets by SAM 2, made by maskgrid",
        "checkpoint": plan.config.model.checkpoint,
        "tracking": plan.tracking.model_dump(mode="json"),
        "fingerprint": origin["fingerprint"],
    }
    for form, write in (("youtube_vis", write_youtube_vis), ("coco", write_coco_frames)):
        if form in plan.tracking.exports:
            write(layout.document(form), runs, categories, info)


def summary_line(summary: Sequence[Row], objects: Sequence[Row]) -> str:
    """Summarize all videos in one line."""
    good = [row for row in summary if row["status"] == "ok"]
    n_masklets = sum(row["n_masklets"] for row in summary)
    seen = [row["n_visible"] for row in objects if row["n_visible"]]
    mean = number(sum(seen) / len(seen) if seen else None)
    return (
        f"{len(summary)} videos, {len(good)} of them with masklets: {n_masklets} masklets of {len(objects)} objects, "
        f"{mean} frames long on average, {sum(row['n_gaps'] for row in summary)} gaps"
    )


def _statistics(plan: Plan, runs: Sequence[Run]) -> list[RunStatistics]:
    """Statistics of every video by setting and key, including those that were not tracked."""
    layout = plan.layout.tracked
    rows = read_prompts(read_table(layout.prompts, schema=PROMPTS))
    prompts: dict[str, list[VideoPrompt]] = {key: list(group) for key, group in groupby(rows, lambda r: r.video_key)}
    videos = {video.video_key: video for video in read_videos(layout.files)}
    tracked = {(run.setting, run.video.video_key): run for run in runs}
    found = []
    for setting in _parameters(plan):
        for key in sorted({*videos, *prompts}):
            run, of_video = tracked.get((setting, key)), prompts.get(key, [])
            lost = partial(lost_statistics, key, videos.get(key), of_video, setting)
            found.append(lost() if run is None else run_statistics(run, of_video, setting))
    return found


def _parameters(plan: Plan) -> dict[str, str | None]:
    """The parameters of each setting of automatic tracking, as JSON; None if the config has prompts."""
    settings = plan.track_settings
    if plan.tracking.prompts is not None:
        return dict.fromkeys(setting.label for setting in settings)
    return {setting.label: orjson.dumps(setting.parameters()).decode() for setting in settings}


def _write_provenance(plan: Plan, runs: Sequence[Run], origin: Origin) -> None:
    names = ("checkpoint", "checkpoint_sha256", "dtype", "device", "packages", "options", "frames")
    content = {
        "maskgrid": {"version": maskgrid_version(), "git": git_state()},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": package_versions(),
        "config": plan.config.model_dump(mode="json"),
        "made_from": {run.name: {name: run.origin[name] for name in names} for run in runs},
        "fingerprint": origin["fingerprint"],
    }
    write_bytes(plan.layout.tracked.provenance, orjson.dumps(content, option=orjson.OPT_INDENT_2))
