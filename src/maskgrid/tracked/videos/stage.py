"""The stage ``videos``: list and examine the videos, check the prompts, and list the jobs."""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.dataset.annotations.mask_pictures import pictures_in_coco
from maskgrid.dataset.demo.clips import DEMO, GROUND_TRUTH, write_demo_clips
from maskgrid.dataset.demo.images import CLIPS
from maskgrid.dataset.sources.listing import SourceItem, file_state
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest, fingerprint
from maskgrid.io.tables import write_table
from maskgrid.io.wording import named_reasons
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan
from maskgrid.plan.remote import is_url
from maskgrid.tracked.jobs import make_jobs
from maskgrid.tracked.parameters import reading_of
from maskgrid.tracked.prompts.checked import VideoPrompt, prompt_contents, prompts_table
from maskgrid.tracked.prompts.checks import resolve_prompts
from maskgrid.tracked.prompts.entries import VideoPrompts
from maskgrid.tracked.prompts.sources import read_video_prompts
from maskgrid.tracked.tables import JOBS
from maskgrid.tracked.videos.index import Video, index_videos, read_previous, write_index
from maskgrid.tracked.videos.sources import list_videos, videos_digest

log = logging.getLogger(__name__)


def write_videos(plan: Plan) -> None:
    """Write the tables that tracking starts from: ``videos``, ``files``, ``prompts`` and ``jobs``.

    Raises:
        UserError: the config has no section ``tracking``, a source cannot be read, or there is not a single job.
    """
    config, layout = plan.tracking, plan.layout.tracked
    videos = index_videos(_items(plan), reading_of(plan), read_previous(layout.files))
    write_index(layout.root, videos)
    log.info("%d videos: %s", len(videos), _counted(video.status for video in videos))
    prompts, origin = checked_prompts(plan, videos)
    if config.prompts is not None:
        log.info("%d prompts: %s", len(prompts), _counted(prompt.status for prompt in prompts))
    write_table(layout.prompts, prompts_table(prompts), origin)
    jobs = make_jobs(plan, videos, prompts)
    rows = [asdict(job) for job in jobs]
    write_table(layout.jobs, pa.Table.from_pylist(rows, JOBS), {"fingerprint": fingerprint({"jobs": rows})})
    if not jobs:
        raise UserError(_nothing_to_do(plan, videos, prompts))


def checked_prompts(plan: Plan, videos: Sequence[Video]) -> tuple[list[VideoPrompt], Origin]:
    """Read the prompts and check them against their videos; return the rows of ``prompts.parquet`` and their origin.

    Raises:
        UserError: the file of prompts cannot be read.
    """
    config = plan.tracking
    prompts: list[VideoPrompt] = []
    source = VideoPrompts(Path(), [], [])
    if config.prompts is not None:
        source = read_video_prompts(prompts_path(plan), config)
        prompts = resolve_prompts(source.entries, videos, reading_of(plan), config.normalized, source.folder)
    origin = {"source": config.prompts, "use": config.use, "categories": source.categories}
    return prompts, {**origin, "fingerprint": fingerprint({**origin, "rows": prompt_contents(prompts)})}


def prompts_path(plan: Plan) -> Path:
    """The path of the prompts' file."""
    source = str(plan.tracking.prompts)
    return demo_folder(plan) / GROUND_TRUTH if source == DEMO else plan.located(source)


def demo_folder(plan: Plan) -> Path:
    """The folder of the drawn clips."""
    return (plan.layout.root / DEMO / CLIPS).resolve()


def source_digest(plan: Plan) -> str:
    """Hash the names, sizes and times of the videos, and of images that a table names as masks.

    The stage ``videos`` runs again when the digest changes.

    Raises:
        UserError: the source is missing or empty.
    """
    config = plan.tracking
    # Snakemake tracks files by URL itself, as inputs of the stage.
    is_fixed = config.source == DEMO or is_url(config.source)
    videos = config.source if is_fixed else videos_digest(list_videos(config.source, plan.base_dir))
    return digest([videos, _pictures(plan)])


def _pictures(plan: Plan) -> list[Any]:
    config = plan.tracking
    if config.prompts is None or config.prompts == DEMO or is_url(config.prompts):
        return []
    path = prompts_path(plan)
    try:
        # Usually a document has its masks in it, and may be large.
        if path.suffix.lower() == ".json" and not pictures_in_coco(path):
            return []
        source = read_video_prompts(path, config)
    except (OSError, UserError):  # reported by the stage that reads it
        return []
    masks = {entry.entry.mask for entry in source.entries if isinstance(entry.entry.mask, str)}
    return [[name, *file_state(SourceItem(name, source.folder / name))] for name in sorted(masks)]


def _items(plan: Plan) -> list[SourceItem]:
    source = plan.tracking.source
    if source == DEMO:
        folder = demo_folder(plan)
        write_demo_clips(folder)
        return list_videos(str(folder), plan.base_dir)
    return list_videos(str(plan.located(source).absolute()) if is_url(source) else source, plan.base_dir)


def _counted(statuses: Iterable[str]) -> str:
    return ", ".join(f"{count} {status}" for status, count in sorted(Counter(statuses).items())) or "none"


def _nothing_to_do(plan: Plan, videos: Sequence[Video], prompts: Sequence[VideoPrompt]) -> str:
    config = plan.tracking
    good = [video for video in videos if video.status == "ok"]
    if not good:
        reasons = [(video.video_key, f"{video.status}: {video.message}") for video in videos]
        return (
            f"tracking.source: none of the {len(videos)} videos of {config.source} can be used:{named_reasons(reasons)}"
        )
    reasons = [(f"{prompt.source_id} of {prompt.video_key}", str(prompt.message)) for prompt in prompts]
    return (
        f"tracking.prompts: none of the {len(prompts)} prompts of {config.prompts} can be used. "
        f"Videos are named by their path below the source, for instance {good[0].video_key!r}{named_reasons(reasons)}"
    )
