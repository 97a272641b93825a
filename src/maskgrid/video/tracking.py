"""The stage ``track``: the objects of one job through their video."""

import logging
from collections.abc import Callable, Iterator, Sequence
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid import rle
from maskgrid.errors import UserError
from maskgrid.fingerprint import digest, fingerprint, package_versions
from maskgrid.journal import Journal
from maskgrid.plan import Plan
from maskgrid.progress import track as progress
from maskgrid.tables import read_origin, read_table, write_batches
from maskgrid.video.bad_video import BadVideo
from maskgrid.video.index import Video, open_frames, read_videos
from maskgrid.video.jobs import Job, find_job
from maskgrid.video.parameters import mask_parameters, options_of, reading_of, tracking_config
from maskgrid.video.prompts import VideoPrompt, frame_prompts, prompt_contents, read_prompts, start_frame
from maskgrid.video.records import TrackedMask
from maskgrid.video.schemas import MASKLETS, PROMPTS
from maskgrid.weights import checkpoint_id, resolve_checkpoint

if TYPE_CHECKING:
    from maskgrid.video.predictor import VideoPredictor

log = logging.getLogger(__name__)

Note = dict[str, Any]
# Frames that come between two parts of the journal.
_FRAMES_IN_PART = 64


def make_tracker(plan: Plan) -> "VideoPredictor":
    """Load the network as sam2's video predictor.

    Raises:
        UserError: the checkpoint or the device is not there.
    """
    from maskgrid.video.tracker import load_tracker

    model = plan.config.model
    log.info("model %s on %s in %s", checkpoint_id(model.checkpoint), model.device, model.dtype)
    return load_tracker(
        model.checkpoint,
        model.config,
        model.device,
        model.dtype,
        model.apply_postprocessing,
        tracking_config(plan).vos_optimized,
        model.allow_unverified,
    )


def track_job(
    plan: Plan, run: str, group: str = "0000", load: Callable[[Plan], "VideoPredictor"] = make_tracker
) -> None:
    """Follow the objects of a job through their video, and write ``tracked/parts/{run}/{group}.parquet``.

    An output that was made from the same video, prompts and parameters stays as it is. A video that cannot be read any
    more gives an empty table whose note says why.

    Args:
        plan: the plan of the workflow's run.
        run: the video's name.
        group: the group of objects.
        load: gives the network once a frame needs it; a process that has it already hands it out here.

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
    status, message, rows = "ok", None, []
    try:
        rows = list(_rows(plan, job, video, prompts, load))
    except BadVideo as bad:
        status, message = str(bad.status), bad.message
    except FloatingPointError as error:
        status, message = "not_a_number", str(error)
    if message is not None:
        log.warning("%s: %s", video.video_key, message)
    write_batches(output, MASKLETS, by_object(rows), {**note, "status": status, "message": message})
    journal.keep([output])
    log.info("%s %s: %d objects, %d masks", run, group, len({row["object_id"] for row in rows}), len(rows))


def job_prompts(plan: Plan, job: Job) -> list[VideoPrompt]:
    """The good prompts of a job's video, of all its objects.

    Raises:
        UserError: the table of prompts is missing or cut off.
    """
    filters = [("video_key", "=", job.video_key), ("status", "=", "ok")]
    return read_prompts(read_table(plan.layout.tracked.prompts, filters=filters, schema=PROMPTS))


def base_note(plan: Plan, video: Video) -> Note:
    """What the masklets of a video are made from, but for the prompts."""
    from maskgrid.model import pick_device

    model, reading = plan.config.model, reading_of(plan)
    checkpoint = resolve_checkpoint(model.checkpoint, model.config, allow_unverified=model.allow_unverified)
    return {
        "checkpoint": checkpoint_id(model.checkpoint),
        "checkpoint_sha256": checkpoint.sha256,
        "dtype": model.dtype,
        "apply_postprocessing": model.apply_postprocessing,
        "device": pick_device(model.device).type,
        "packages": {**package_versions(), "av": version("av")},
        "video": {"video_key": video.video_key, "sha256": video.sha256, "size_hw": list(video.size_hw)},
        "frames": {"start": reading.start, "stop": reading.stop, "stride": reading.stride},
        "options": mask_parameters(plan.config),
    }


def part_note(plan: Plan, job: Job, video: Video, prompts: Sequence[VideoPrompt]) -> Note:
    """What the masklets of a job are made from."""
    objects = {
        str(object_id): digest(prompt_contents([row for row in prompts if row.object_id == object_id]))
        for object_id in job.object_ids
    }
    note = {**base_note(plan, video), "start_frame": start_frame(prompts), "objects": objects}
    return {**note, "fingerprint": fingerprint(note)}


def by_object(rows: Sequence[Note]) -> Iterator[pa.Table]:
    """Rows as tables of ``MASKLETS``, one for each object, by object and frame; an empty one where there are none."""
    table = pa.Table.from_pylist(list(rows), MASKLETS).sort_by([("object_id", "ascending"), ("frame", "ascending")])
    if not len(table):
        yield table
    for object_id in pc.unique(table["object_id"]):
        yield table.filter(pc.equal(table["object_id"], object_id)).combine_chunks()


def _rows(
    plan: Plan, job: Job, video: Video, prompts: Sequence[VideoPrompt], load: Callable[[Plan], "VideoPredictor"]
) -> Iterator[Note]:
    """A row for each object and frame."""
    from maskgrid.video.tracker import track

    reading = reading_of(plan)
    numbers = reading.numbers(int(video.n_frames or 0))
    mine = [prompt for prompt in prompts if prompt.object_id in job.object_ids]
    start = start_frame(prompts)
    frames = open_frames(video, reading)
    options = options_of(plan, None if start is None else numbers.index(start))
    masks = track(load(plan), frames, frame_prompts(mine, video, reading), options)
    values = _ObjectValues(video, mine)
    for frame, of_frame in progress(masks, len(frames), "track", "frames"):
        for mask in of_frame:
            yield values.row(mask, numbers[frame])


class _ObjectValues:
    """What rows of masklets say of their object beside the mask."""

    def __init__(self, video: Video, prompts: Sequence[VideoPrompt]) -> None:
        self.video = video
        self.prompted = {(prompt.object_id, prompt.frame) for prompt in prompts}
        self.objects: dict[int, Note] = {}
        for prompt in prompts:
            known = self.objects.setdefault(
                prompt.object_id, {"source_id": prompt.source_id, "category_id": None, "category": None}
            )
            # The first prompt that says what the object is, says it for all.
            if known["category"] is None and prompt.category is not None:
                known |= {"category_id": prompt.category_id, "category": prompt.category}

    def row(self, mask: TrackedMask, frame: int) -> Note:
        object_values = self.objects.get(mask.object_id, {"source_id": str(mask.object_id)})
        box = rle.true_box_xywh(mask.counts, self.video.size_hw) if mask.area_px else None
        return {
            "video_key": self.video.video_key,
            "object_id": mask.object_id,
            **object_values,
            "frame": frame,
            "is_prompted": (mask.object_id, frame) in self.prompted,
            "object_score_logit": mask.object_score_logit,
            "area_px": mask.area_px,
            "bbox_xywh": None if box is None else [int(edge) for edge in box],
            "counts": mask.counts,
        }


def _is_current(plan: Plan, job: Job, wanted: str) -> bool:
    try:
        note = read_origin(plan.layout.tracked.part(job.run, job.group))
    except UserError:
        return False
    return bool(note.get("fingerprint") == wanted)
