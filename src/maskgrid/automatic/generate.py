"""The stage ``generate``: one pass of the network over the images of one shard."""

import logging
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import pyarrow as pa

from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.crop_progress import CropProgress, n_tiles
from maskgrid.automatic.forecast import Measured, record_time
from maskgrid.automatic.notes import candidates_origin, pass_origin
from maskgrid.automatic.proposer import Proposer
from maskgrid.automatic.shard_parts import Propose, ShardWork, write_rows
from maskgrid.automatic.tables import CANDIDATES, PASS_IMAGES
from maskgrid.config.models import ModelConfig
from maskgrid.dataset.earlier import earlier_outputs, recording_for, rows_by_image
from maskgrid.dataset.shards import members_digest
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.dataset.windows import Picture, WholePicture, open_picture
from maskgrid.io.errors import UserError
from maskgrid.io.journal import Journal
from maskgrid.io.tables import read_origin, write_table
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.network.device import pick_device, repeat_bits, take_device
from maskgrid.network.model import build_model
from maskgrid.plan.notes import Origin
from maskgrid.plan.passes import Recording
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
    model, max_pixels = plan.config.model, plan.config.dataset.max_pixels
    points_per_batch = plan.config.generator.points_per_batch
    run = plan.run(checkpoint, pass_name)
    recording = recording or recording_for(plan, run, shard)
    weights = plan.checkpoint(run.checkpoint)
    outputs = plan.layout.pass_images(run, shard), plan.layout.candidates(run, shard)
    images = read_shard(plan.layout.images.parent, shard)
    digest = members_digest((image.image_key, image.content) for image in images)
    of_pass = pass_origin(model, weights, run)
    origin = candidates_origin(of_pass, recording, digest, pick_device(model.device).type)
    journal = Journal(outputs[-1], origin["fingerprint"])
    if journal.finished(outputs):
        return
    members = {image.image_key: image.content for image in images}
    earlier = _earlier(outputs, origin, members)

    progress = CropProgress(images, run.pass_)
    started_s, n_seen = time.monotonic(), 0

    network: Proposer | None = None

    def begin() -> Propose:
        nonlocal started_s, network
        started_s = time.monotonic()
        network = loaded = load(model, weights)

        def propose(picture: Picture, tiles: range | None) -> Candidates:
            nonlocal n_seen
            n_seen += tiles is None or tiles.start == 0
            image = picture.pixels if isinstance(picture, WholePicture) else picture
            return loaded.run(image, run.pass_, recording, points_per_batch, progress.count, tiles)

        return propose

    tile_px = run.pass_.tile_px
    read = partial(_open, max_pixels, None if tile_px is None else _IN_WINDOWS_FROM_PX)
    count_tiles = None if tile_px is None else partial(n_tiles, tile_px=tile_px)
    work = ShardWork(images, read, count_tiles, journal, earlier, begin, progress.count)
    parts = list(progress.shown(work.parts()))
    n_rows = sum(part.n_rows for part in parts)
    origin["members"] = members
    if network is not None and origin["device"] == "cuda":
        origin["ways"] = network.ways()
    places = journal.places(outputs)
    write_table(places[0], pa.concat_tables(part.image for part in parts), origin)
    write_rows(places[1], parts, origin)
    n_bytes = sum(place.stat().st_size for place in places)
    journal.publish(outputs)
    if n_seen:
        seconds = time.monotonic() - started_s
        each = n_bytes / len(images), n_rows / len(images)
        record_time(plan.layout, run, shard, Measured(n_seen, seconds, origin["device"], *each))
    log.info("%s/%s: %d candidates in %d images", run.folder, shard, n_rows, len(images))


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
