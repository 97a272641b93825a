"""The stage ``track``: the objects of one job through their video."""

import logging
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from typing import Any

import pyarrow as pa

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.sweep import find
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest, fingerprint, package_versions
from maskgrid.io.journal import Journal
from maskgrid.io.progress import shown as progress
from maskgrid.io.tables import read_origin, read_table, write_batches
from maskgrid.network.checkpoints import checkpoint_id, resolve_checkpoint
from maskgrid.network.device import pick_device, take_device
from maskgrid.plan.plan import Plan
from maskgrid.tracked.discovery import track_automatically
from maskgrid.tracked.index import Video, open_frames, read_videos
from maskgrid.tracked.jobs import Job, find_job
from maskgrid.tracked.masklets import RowMaker, masklets_table, object_tables
from maskgrid.tracked.parameters import mask_parameters, options_of, reading_of, tracking_config
from maskgrid.tracked.predictor import VideoPredictor
from maskgrid.tracked.prompts import VideoPrompt, frame_prompts, passes_of, prompt_contents, read_prompts
from maskgrid.tracked.resume import resumably, track_resumably
from maskgrid.tracked.scan import BadVideo
from maskgrid.tracked.schedule import last_passes
from maskgrid.tracked.tables import MASKLETS, PROMPTS
from maskgrid.tracked.tracker import load_tracker

log = logging.getLogger(__name__)

# Frames between two snapshots: minutes on a CPU, a second or two on a GPU.
EVERY = 32

Note = dict[str, Any]
Load = Callable[[Plan], VideoPredictor]


def make_tracker(plan: Plan) -> VideoPredictor:
    """Load the network as sam2's video predictor; of several CUDA devices, on one that no other job has.

    Raises:
        UserError: the checkpoint or the device is not there.
    """
    model = plan.config.model
    device = str(take_device(model.device))
    log.info("model %s on %s in %s", checkpoint_id(model.checkpoint), device, model.dtype)
    return load_tracker(
        model.checkpoint,
        model.config,
        device,
        model.dtype,
        model.apply_postprocessing,
        tracking_config(plan).vos_optimized,
        model.allow_unverified,
    )


def track_job(plan: Plan, run: str, group: str = "0000", load: Load = make_tracker, every: int = EVERY) -> None:
    """Follow the objects of a job through their video, and write ``tracked/parts/{run}/{group}.parquet``.

    An output that was made from the same video, prompts and parameters stays as it is. A killed job goes on where its
    last snapshot was taken. A video that cannot be read any more gives an empty table whose note says why.

    Args:
        plan: the plan of the workflow's run.
        run: the video's name.
        group: the group of objects.
        load: gives the network once a frame needs it; a process that has it already hands it out here.
        every: frames between two snapshots, from which a killed job goes on.

    Raises:
        UserError: the config has no tracking, a table of an earlier stage is missing, or there is no such job.
    """
    job = find_job(plan.layout.tracked.jobs, run, group)
    (video,) = read_videos(plan.layout.tracked.files, job.video_key)
    prompts = job_prompts(plan, job)
    output = plan.layout.tracked.part(run, group)
    note = part_note(plan, job, video, prompts)
    journal = Journal(output, note["fingerprint"])
    if _is_current(plan, job, note["fingerprint"]):
        journal.keep([output])
        output.touch()
        log.info("%s %s: is made from the same video and prompts already", run, group)
        return
    if journal.restore([output]):
        log.info("%s %s: was finished before", run, group)
        return
    status, message, table = "ok", None, MASKLETS.empty_table()
    try:
        table = _masklets(plan, job, video, prompts, load, journal, every)
    except BadVideo as bad:
        status, message = str(bad.status), bad.message
    except FloatingPointError as error:
        status, message = "not_a_number", str(error)
    if message is not None:
        log.warning("%s: %s", video.video_key, message)
    write_batches(output, MASKLETS, object_tables(table), {**note, "status": status, "message": message})
    journal.keep([output])
    log.info("%s %s: %d masks", run, group, len(table))


def job_prompts(plan: Plan, job: Job) -> list[VideoPrompt]:
    """The good prompts of a job's video, of all its objects.

    Raises:
        UserError: the table of prompts is missing or cut off.
    """
    filters = [("video_key", "=", job.video_key), ("status", "=", "ok")]
    return read_prompts(read_table(plan.layout.tracked.prompts, filters=filters, schema=PROMPTS))


def config_note(plan: Plan, video: Video, setting: str) -> Note:
    """What the config says about the masklets of a video; what it does not say differs between machines."""
    model, reading = plan.config.model, reading_of(plan)
    checkpoint = resolve_checkpoint(model.checkpoint, model.config, allow_unverified=model.allow_unverified)
    return {
        "checkpoint": checkpoint_id(model.checkpoint),
        "checkpoint_sha256": checkpoint.sha256,
        "dtype": model.dtype,
        "apply_postprocessing": model.apply_postprocessing,
        "video": {"video_key": video.video_key, "sha256": video.sha256, "size_hw": list(video.size_hw)},
        "frames": {"start": reading.start, "stop": reading.stop, "stride": reading.stride},
        "options": mask_parameters(plan, setting),
    }


def prompts_note(plan: Plan, job: Job, video: Video, prompts: Sequence[VideoPrompt]) -> Note:
    """What the masklets of a job are made from, of the prompts."""
    objects = {
        str(object_id): digest(prompt_contents([row for row in prompts if row.object_id == object_id]))
        for object_id in job.object_ids
    }
    passes = passes_of(prompts, video, reading_of(plan), options_of(tracking_config(plan)))
    return {"passes": list(map(str, passes)), "objects": objects}


def part_note(plan: Plan, job: Job, video: Video, prompts: Sequence[VideoPrompt]) -> Note:
    """What the masklets of a job are made from."""
    note = {
        **config_note(plan, video, job.setting),
        **prompts_note(plan, job, video, prompts),
        "device": pick_device(plan.config.model.device).type,
        "packages": {**package_versions(), "av": version("av")},
    }
    return {**note, "fingerprint": fingerprint(note)}


def _masklets(
    plan: Plan,
    job: Job,
    video: Video,
    prompts: Sequence[VideoPrompt],
    load: Load,
    journal: Journal,
    every: int,
) -> pa.Table:
    """Follow the job's objects, from where an earlier process has come to."""
    config, reading = tracking_config(plan), reading_of(plan)
    frames, numbers = open_frames(video, reading), reading.numbers(int(video.n_frames or 0))
    tracker, options = load(plan), options_of(config)
    mine = [prompt for prompt in prompts if prompt.object_id in job.object_ids]
    if config.prompts is None:
        setting = find(plan.track_settings, job.setting, "tracking.sweep")
        generator = MaskGenerator(tracker, **setting.generator.model_dump())
        begin = partial(track_automatically, tracker, generator, frames, setting.automatic, options)
        tracked, n_frames = resumably(begin, journal, every), len(frames)
    else:
        passes = passes_of(prompts, video, reading, options)
        given = frame_prompts(mine, video, reading)
        tracked = track_resumably(tracker, frames, given, options, journal, every, passes)
        n_frames = len(last_passes(passes))
    return masklets_table(progress(tracked, n_frames, "track", "frames"), RowMaker(video, mine, numbers))


def _is_current(plan: Plan, job: Job, wanted: str) -> bool:
    try:
        note = read_origin(plan.layout.tracked.part(job.run, job.group))
    except UserError:
        return False
    return bool(note.get("fingerprint") == wanted)
