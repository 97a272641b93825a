"""The stage ``generate``: one pass of the network over the images of one shard."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

import pyarrow as pa

from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.forecast import Measured, record_time
from maskgrid.automatic.generate.crop_progress import CropProgress
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.shard_parts import Propose, ShardWork, write_rows
from maskgrid.automatic.generate.tile_jobs import tile_job_files
from maskgrid.automatic.notes import candidates_origin, pass_origin
from maskgrid.automatic.tables import CANDIDATES, PASS_IMAGES
from maskgrid.config.models import ModelConfig
from maskgrid.dataset.earlier import earlier_outputs, recording_for, rows_by_image
from maskgrid.dataset.pixels.windows import Picture, open_picture
from maskgrid.dataset.shards import members_digest
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.journal import Journal, is_current
from maskgrid.io.progress import counted
from maskgrid.io.tables import read_origin, write_table
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.network.device import pick_device, repeat_bits, take_device
from maskgrid.network.model import build_model
from maskgrid.plan.notes import Origin
from maskgrid.plan.passes import PassRun, Recording
from maskgrid.plan.plan import Plan

log = logging.getLogger(__name__)

# From so many pixels on, images are read in windows where only their tiles are looked at.
_IN_WINDOWS_FROM_PX = 1 << 24


def make_proposer(model: ModelConfig, checkpoint: Checkpoint) -> Proposer:
    """Load the network on the config's device; if that can be several CUDA devices, on one that no other job has.

    Raises:
        maskgrid.io.errors.UserError: the weights do not fit their config, or there is no such device.
        maskgrid.io.errors.MachineError: the device failed.
    """
    device = take_device(model.device)
    if model.deterministic:
        repeat_bits(device)
    log.info("model %s on %s in %s", checkpoint.name, device, model.arithmetic)
    return Proposer(build_model(checkpoint, device, model.dtype, model.apply_postprocessing), model.mode)


def generate_shard(
    plan: Plan,
    checkpoint: str,
    pass_name: str,
    shard: str,
    recording: Recording | None = None,
    load: Callable[[ModelConfig, Checkpoint], Proposer] = make_proposer,
) -> None:
    """Run a pass over a shard and write its candidates.

    A journal beside the output keeps finished images, so that a killed job goes on after the last one. Then it keeps
    the output itself until the shard is replayed.

    Args:
        plan: the plan of the run.
        checkpoint: the checkpoint's folder name.
        pass_name: the pass's folder name.
        shard: the shard's name.
        recording: what to record; by default what the sweep needs plus what is already recorded. The workflow passes
            it, because it decides before it removes the old file.
        load: called for the network once an image needs it; a process that already has one returns that.
    """
    shard_run = _ShardRun.of(plan, checkpoint, pass_name, shard, recording)
    run, outputs, images, origin = shard_run.run, shard_run.outputs, shard_run.images, shard_run.origin
    journal = Journal(outputs[-1], origin["fingerprint"])
    if journal.finished(outputs):
        return
    progress = CropProgress(images, run.pass_)
    network = _Network(plan, shard_run, load, progress.count)
    parts = list(progress.shown(shard_run.work(plan, journal, network).parts()))
    n_rows = sum(part.n_rows for part in parts)
    origin["members"] = shard_run.members
    if network.loaded is not None and origin["device"] == "cuda":
        origin["ways"] = network.loaded.ways()
    places = journal.places(outputs)
    write_table(places[0], pa.concat_tables(part.image for part in parts), origin)
    write_rows(places[1], parts, origin)
    n_bytes = sum(place.stat().st_size for place in places)
    journal.publish(outputs)
    if network.n_seen:
        seconds = time.monotonic() - network.started_s
        each = n_bytes / len(images), n_rows / len(images)
        record_time(plan.layout, run, shard, Measured(network.n_seen, seconds, origin["device"], *each))
    log.info("%s/%s: %d candidates in %d images", run.folder, shard, n_rows, len(images))


def share_tiles(
    plan: Plan,
    checkpoint: str,
    pass_name: str,
    shard: str,
    job: int,
    recording: Recording | None = None,
    load: Callable[[ModelConfig, Checkpoint], Proposer] = make_proposer,
) -> None:
    """Run one job's share of the tiles of a shard's large images, for :func:`generate_shard` to write.

    The share lies in the journal of that output: jobs may run side by side, and a killed one goes on.

    Args:
        plan: the plan of the run.
        checkpoint: the checkpoint's folder name.
        pass_name: the pass's folder name.
        shard: the shard's name.
        job: which share, from 1.
        recording: what to record, as for the job that writes the tables.
        load: called for the network once a tile needs it.

    Raises:
        UserError: there is no such share.
    """
    shard_run = _ShardRun.of(plan, checkpoint, pass_name, shard, recording)
    n_jobs = len(tile_job_files(plan, shard_run.run, shard))
    if not 1 <= job <= n_jobs:
        raise UserError(f"--job {job}: the tiles of shard {shard} are shared among {n_jobs} jobs")
    outputs, fingerprint = shard_run.outputs, shard_run.origin["fingerprint"]
    if not is_current(outputs, fingerprint):
        network = _Network(plan, shard_run, load)
        work = shard_run.work(plan, Journal(outputs[-1], fingerprint), network)
        mine = work.share(job, n_jobs)
        with counted(sum(len(tiles) for _, tiles in mine), f"{pass_name} {job}/{n_jobs}", "tiles") as network.each_tile:
            work.run(mine)
    write_bytes(plan.layout.tile_job(shard_run.run, shard, job), fingerprint.encode())
    log.info("%s/%s: tiles of job %d of %d are done", shard_run.run.folder, shard, job, n_jobs)


@dataclass(frozen=True, slots=True)
class _ShardRun:
    """A pass over a shard: what is run, where its results go, and what they are made from."""

    run: PassRun
    recording: Recording
    weights: Checkpoint
    outputs: tuple[Path, Path]
    images: list[IndexedImage]
    origin: Origin

    @classmethod
    def of(cls, plan: Plan, checkpoint: str, pass_name: str, shard: str, recording: Recording | None) -> Self:
        run, model = plan.run(checkpoint, pass_name), plan.config.model
        recording = recording or recording_for(plan, run, shard)
        weights = plan.checkpoint(run.checkpoint)
        images = read_shard(plan.layout.images.parent, shard)
        digest = members_digest((image.image_key, image.content) for image in images)
        of_pass = pass_origin(model, weights, run)
        origin = candidates_origin(of_pass, recording, digest, pick_device(model.device).type)
        outputs = plan.layout.pass_images(run, shard), plan.layout.candidates(run, shard)
        return cls(run, recording, weights, outputs, images, origin)

    @property
    def members(self) -> dict[str, str]:
        """What each image's picture depends on, by its key."""
        return {image.image_key: image.content for image in self.images}

    def work(self, plan: Plan, journal: Journal, network: "_Network") -> ShardWork:
        """How to find what is in each image."""
        tile_px = self.run.pass_.tile_px
        open_image = partial(_open, plan.config.dataset.max_pixels, None if tile_px is None else _IN_WINDOWS_FROM_PX)

        def read(image: IndexedImage) -> Picture:
            return network.prepare(open_image(image))

        earlier = _earlier(self.outputs, self.origin, self.members)
        return ShardWork(self.images, read, tile_px, journal, earlier, network.begin, lambda n: network.each_tile(n))


@dataclass(slots=True)
class _Network:
    """The network of a pass, loaded once an image needs it.

    Attributes:
        each_tile: called with the number of tiles that are done.
        loaded: the network; None before.
        started_s: when it was asked for.
        n_seen: images that it was given.
    """

    plan: Plan
    shard_run: _ShardRun
    load: Callable[[ModelConfig, Checkpoint], Proposer]
    each_tile: Callable[[int], None] = field(default=lambda _: None)
    loaded: Proposer | None = None
    started_s: float = 0.0
    n_seen: int = 0

    def begin(self) -> Propose:
        """Load the network."""
        self.started_s = time.monotonic()
        self.loaded = loaded = self.load(self.plan.config.model, self.shard_run.weights)
        run, recording = self.shard_run.run, self.shard_run.recording
        points_per_batch = self.plan.config.generator.points_per_batch

        def propose(picture: Picture, tiles: range | None) -> Candidates:
            self.n_seen += tiles is None or tiles.start == 0
            return loaded.run(picture, run.pass_, recording, points_per_batch, lambda: self.each_tile(1), tiles)

        return propose

    def prepare(self, picture: Picture) -> Picture:
        """Do what needs the CPU alone; the thread that reads images calls it."""
        return picture if self.loaded is None else self.loaded.prepare(picture, self.shard_run.run.pass_)


def _earlier(outputs: tuple[Path, Path], origin: Origin, members: Mapping[str, str]) -> dict[str, list[pa.Table]]:
    """The tables of images that earlier jobs have finished, by key."""
    found: dict[str, list[pa.Table]] = {}
    for path, keys in earlier_outputs(outputs[1], origin, members):
        images_path = path.with_name(f"{path.stem}.images.parquet")
        try:
            if read_origin(path)["fingerprint"] != read_origin(images_path).get("fingerprint"):
                continue  # a process was killed between the two
            rows, images = rows_by_image(path, CANDIDATES, keys), rows_by_image(images_path, PASS_IMAGES, keys)
        except UserError as error:
            log.warning("%s", error)
            continue
        found |= {key: [rows[key], image] for key, image in images.items() if image["status"].to_pylist() == ["ok"]}
    if found:
        log.info("%d of %d images are the same as in earlier results", len(found), len(members))
    return found


def _open(max_pixels: int, in_windows_from_px: int | None, image: IndexedImage) -> Picture:
    return open_picture(image.path, max_pixels, image.sha256, image.span, image.look, in_windows_from_px)
