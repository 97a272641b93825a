"""The stage ``generate``: one pass of the network over the images of one shard."""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates, PassResult, image_table, rows_table
from maskgrid.automatic.crop_progress import CropProgress
from maskgrid.automatic.forecast import Measured, record_time
from maskgrid.automatic.notes import candidates_origin, pass_origin
from maskgrid.automatic.proposer import Proposer
from maskgrid.automatic.tables import CANDIDATES, PASS_IMAGES
from maskgrid.config.models import ModelConfig
from maskgrid.dataset.earlier import earlier_outputs, recording_for, rows_by_image
from maskgrid.dataset.images import BadImageError, ImageStatus, read_image
from maskgrid.dataset.shards import members_digest
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.io.errors import ImageTooLargeError, UserError
from maskgrid.io.journal import Journal
from maskgrid.io.tables import read_origin, write_table
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.network.device import pick_device, repeat_bits, take_device
from maskgrid.network.model import build_model
from maskgrid.plan.notes import Origin
from maskgrid.plan.passes import Recording
from maskgrid.plan.plan import Plan

log = logging.getLogger(__name__)

Propose = Callable[[NDArray[np.uint8]], Candidates]


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

        def propose(pixels: NDArray[np.uint8]) -> Candidates:
            nonlocal n_seen
            n_seen += 1
            return loaded.run(pixels, run.pass_, recording, points_per_batch, progress.count)

        return propose

    parts = list(progress.shown(_parts(images, max_pixels, journal, earlier, begin)))
    rows = pa.concat_tables(part[0] for part in parts).unify_dictionaries()
    origin["members"] = members
    if network is not None and origin["device"] == "cuda":
        origin["ways"] = network.ways()
    places = journal.places(outputs)
    write_table(places[0], pa.concat_tables(part[1] for part in parts), origin)
    write_table(places[1], rows, origin)
    n_bytes = sum(place.stat().st_size for place in places)
    journal.publish(outputs)
    if n_seen:
        seconds = time.monotonic() - started_s
        each = n_bytes / len(images), rows.num_rows / len(images)
        record_time(plan.layout, run, shard, Measured(n_seen, seconds, origin["device"], *each))
    log.info("%s/%s: %d candidates in %d images", run.folder, shard, rows.num_rows, len(images))


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


def _parts(
    images: list[IndexedImage],
    max_pixels: int,
    journal: Journal,
    earlier: Mapping[str, list[pa.Table]],
    begin: Callable[[], Propose],
) -> Iterator[list[pa.Table]]:
    """The tables of every image (its candidates and its row): from the journal, earlier results, or the network."""
    propose: Propose | None = None
    # One image is read while the network runs; the journal's next part is always the current image's.
    with ThreadPoolExecutor(1, "maskgrid-read") as reader:
        ahead = _Ahead([image for image in images if image.image_key not in earlier], max_pixels, reader)
        n_before = 0
        for number, image in enumerate(images):
            tables = journal.read(number, 2)
            if tables is not None:
                n_before += 1
                yield tables
                continue
            tables = earlier.get(image.image_key)
            if tables is None:
                if propose is None:
                    if n_before:
                        log.info("%d of %d images were finished before", n_before, len(images))
                    propose = begin()
                result = _process(image.image_key, ahead.take(image.image_key), propose)
                tables = [_rows_of(result), image_table(result)]
            # Also what is taken over: a process killed while it replaces the earlier outputs leaves no others.
            journal.write(number, tables)
            yield tables


class _Ahead:
    """Reads one image ahead, so that the network need not wait; at most two are in memory."""

    def __init__(self, images: list[IndexedImage], max_pixels: int, reader: ThreadPoolExecutor) -> None:
        self.images, self.max_pixels, self.reader = images, max_pixels, reader
        self.numbers = {image.image_key: number for number, image in enumerate(images)}
        self.next: tuple[int, Future[NDArray[np.uint8]]] | None = None

    def take(self, image_key: str) -> Future[NDArray[np.uint8]]:
        """The pixels of an image, or the error from reading it; starts to read the next one."""
        number = self.numbers[image_key]
        at, pixels = self.next or (-1, None)
        if pixels is None or at != number:  # the first image, or one after an image from the journal
            pixels = self._begin(number)
        self.next = (number + 1, self._begin(number + 1)) if number + 1 < len(self.images) else None
        return pixels

    def _begin(self, number: int) -> Future[NDArray[np.uint8]]:
        image = self.images[number]
        return self.reader.submit(
            lambda: read_image(image.path, self.max_pixels, image.sha256, image.span, image.look).pixels
        )


def _process(image_key: str, pixels: Future[NDArray[np.uint8]], propose: Propose) -> PassResult:
    try:
        return PassResult(image_key, "ok", None, propose(pixels.result()))
    except BadImageError as error:
        status, message = str(error.status), error.message
    except FloatingPointError as error:
        status, message = "not_a_number", str(error)
    except ImageTooLargeError as error:
        status, message = str(ImageStatus.TOO_LARGE), str(error)
    log.warning("%s: %s", image_key, message)
    return PassResult(image_key, status, message, None)


def _rows_of(result: PassResult) -> pa.Table:
    if result.candidates is None:
        return CANDIDATES.empty_table()
    return rows_table(result.image_key, result.candidates.rows)
