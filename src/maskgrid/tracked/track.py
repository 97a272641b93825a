"""The stage ``track``: track the objects of one job through their video."""

import logging
from collections.abc import Callable, Sequence
from functools import partial

import pyarrow as pa

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.models import ModelConfig
from maskgrid.config.sweep import find
from maskgrid.io.journal import Journal
from maskgrid.io.progress import shown as progress
from maskgrid.io.tables import write_batches
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.network.device import pick_device, repeat_bits, take_device
from maskgrid.plan.plan import Plan
from maskgrid.tracked.jobs import Job, find_job
from maskgrid.tracked.masklets import RowMaker, masklets_table, object_tables
from maskgrid.tracked.notes import job_origin, part_origin
from maskgrid.tracked.parameters import options_of, reading_of
from maskgrid.tracked.prompts.checked import VideoPrompt, frame_prompts, good_prompts, passes_of
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.resume import resumably, track_resumably
from maskgrid.tracked.propagation.schedule import last_passes
from maskgrid.tracked.propagation.tracker import build_tracker
from maskgrid.tracked.tables import MASKLETS
from maskgrid.tracked.videos.index import Video, open_frames, read_videos
from maskgrid.tracked.videos.scan import BadVideoError

log = logging.getLogger(__name__)

# Frames between two snapshots: minutes on a CPU, a second or two on a GPU.
EVERY = 32

Load = Callable[[ModelConfig, Checkpoint, bool], VideoPredictor]


def make_tracker(model: ModelConfig, checkpoint: Checkpoint, vos_optimized: bool) -> VideoPredictor:
    """Load the network as sam2's video predictor; with several CUDA devices, on one that no other job uses.

    Raises:
        UserError: the weights do not fit their config, or there is no such device.
    """
    device = take_device(model.device)
    if model.deterministic:
        repeat_bits(device)
    log.info("model %s on %s in %s", checkpoint.name, device, model.arithmetic)
    return build_tracker(checkpoint, device, model.dtype, model.apply_postprocessing, vos_optimized)


def track_job(plan: Plan, run: str, group: str = "0000", load: Load = make_tracker, every: int = EVERY) -> None:
    """Track the objects of a job through their video, and write ``tracked/parts/{run}/{group}.parquet``.

    An output made from the same video, prompts and parameters is kept. A killed job resumes from its last snapshot. A
    video that can no longer be read gives an empty table, with the reason in its origin.

    Args:
        plan: the plan of the workflow's run.
        run: the name of the results.
        group: the group of objects.
        load: returns the network; called when a frame needs it.
        every: number of frames between two snapshots.

    Raises:
        UserError: the config has no tracking, a table of an earlier stage is missing, or there is no such job.
    """
    model, config, layout = plan.config.model, plan.tracking, plan.layout.tracked
    job = find_job(layout.jobs, run, group)
    (video,) = read_videos(layout.files, job.video_key)
    prompts = good_prompts(layout.prompts, job.video_key)
    checkpoint, output = plan.checkpoint(), layout.part(run, group)
    origin = part_origin(job_origin(plan, checkpoint, job, video, prompts), pick_device(model.device).type)
    journal = Journal(output, origin["fingerprint"])
    if journal.finished([output]):
        return
    begin = partial(load, model, checkpoint, config.vos_optimized)
    status, message, table = "ok", None, MASKLETS.empty_table()
    try:
        table = _masklets(plan, job, video, prompts, begin, journal, every)
    except BadVideoError as bad:
        status, message = str(bad.status), bad.message
    except FloatingPointError as error:
        status, message = "not_a_number", str(error)
    if message is not None:
        log.warning("%s: %s", video.video_key, message)
    (place,) = journal.places([output])
    write_batches(place, MASKLETS, object_tables(table), {**origin, "status": status, "message": message})
    journal.publish([output])
    log.info("%s %s: %d masks", run, group, len(table))


def _masklets(
    plan: Plan,
    job: Job,
    video: Video,
    prompts: Sequence[VideoPrompt],
    load: Callable[[], VideoPredictor],
    journal: Journal,
    every: int,
) -> pa.Table:
    """Track the job's objects, resuming where an earlier process stopped."""
    config, reading = plan.tracking, reading_of(plan)
    frames, numbers = open_frames(video, reading), reading.numbers(int(video.n_frames or 0))
    tracker, options = load(), options_of(config)
    mine = [prompt for prompt in prompts if prompt.object_id in job.object_ids]
    if config.prompts is None:
        setting = find(plan.track_settings, job.setting, "tracking.sweep")
        generator = MaskGenerator(tracker, **setting.generator.model_dump())
        begin = partial(track_automatically, tracker, generator, frames, setting.automatic, options)
        tracked, n_frames = resumably(begin, journal, every), len(frames)
    else:
        passes = passes_of(prompts, video, reading, options)
        shown = frame_prompts(mine, video, reading)
        tracked = track_resumably(tracker, frames, shown, options, journal, every, passes)
        n_frames = len(last_passes(passes))
    return masklets_table(progress(tracked, n_frames, "track", "frames"), RowMaker(video, mine, numbers))
