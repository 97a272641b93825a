"""The stage ``generate``: one pass of the network over the images of one shard."""

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.automatic.candidates import PassResult, image_table, rows_table
from maskgrid.automatic.notes import candidates_note
from maskgrid.automatic.proposer import Proposer
from maskgrid.automatic.tables import CANDIDATES
from maskgrid.dataset.images import BadImage, ImageStatus, read_image
from maskgrid.dataset.shards import members_digest
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.io.errors import ImageTooLargeError
from maskgrid.io.journal import Journal
from maskgrid.io.progress import shown
from maskgrid.io.tables import write_table
from maskgrid.network.checkpoints import resolve_checkpoint
from maskgrid.network.device import pick_device, take_device
from maskgrid.network.model import build_model
from maskgrid.plan.passes import PassRun, Recording
from maskgrid.plan.plan import Plan

log = logging.getLogger(__name__)


def make_proposer(plan: Plan, run: PassRun) -> Proposer:
    """Load the network of a pass on the config's device; of several CUDA devices, on one that no other job has.

    Raises:
        maskgrid.io.errors.UserError: the checkpoint or the device is not there.
        maskgrid.io.errors.MachineError: the device has failed.
    """
    model = plan.config.model
    checkpoint = resolve_checkpoint(run.checkpoint, model.config, allow_unverified=model.allow_unverified)
    device = take_device(model.device)
    log.info("model %s on %s in %s", checkpoint.name, device, model.dtype)
    return Proposer(build_model(checkpoint, device, model.dtype, model.apply_postprocessing), model.mode)


def generate_shard(
    plan: Plan,
    checkpoint: str,
    pass_name: str,
    shard: str,
    recording: Recording | None = None,
    load: Callable[[Plan, PassRun], Proposer] = make_proposer,
) -> None:
    """Run a pass over a shard and write its candidates.

    Finished images are kept in a journal beside the output, so that a killed job goes on after the last one, and the
    output itself until the shard is replayed.

    Args:
        plan: the plan of the run.
        checkpoint: the checkpoint's folder name.
        pass_name: the pass's folder name.
        shard: the shard's name.
        recording: what to record; by default what the sweep needs, united with what is recorded already. The
            workflow decides before it removes the old file, and so gives it.
        load: gives the network once an image needs it; a process that has it already hands it out here.
    """
    run = plan.run(checkpoint, pass_name)
    images = read_shard(plan.layout.images.parent, shard)
    recording = recording or plan.recording(run, shard)
    digest = members_digest((image.image_key, image.sha256) for image in images)
    origin = candidates_note(plan, run, recording, digest, pick_device(plan.config.model.device).type)
    output = plan.layout.candidates(checkpoint, pass_name, shard)
    outputs = (plan.layout.pass_images(checkpoint, pass_name, shard), output)
    journal = Journal(output, origin["fingerprint"])
    if journal.restore(outputs):
        log.info("%s/%s/%s: was finished before", checkpoint, pass_name, shard)
        return
    parts = list(_parts(plan, run, recording, images, journal, load))
    rows = pa.concat_tables(part[0] for part in parts).unify_dictionaries()
    write_table(outputs[0], pa.concat_tables(part[1] for part in parts), origin)
    write_table(output, rows, origin)
    journal.keep(outputs)
    log.info("%s/%s/%s: %d candidates in %d images", checkpoint, pass_name, shard, rows.num_rows, len(images))


def _parts(
    plan: Plan,
    run: PassRun,
    recording: Recording,
    images: list[IndexedImage],
    journal: Journal,
    load: Callable[[Plan, PassRun], Proposer],
) -> Iterator[list[pa.Table]]:
    """Rows and image row of every image, from the journal or, for the rest, from the network."""
    network: Proposer | None = None
    # One image is read beside the network; the next part of the journal is always that of the image in hand.
    with ThreadPoolExecutor(1, "maskgrid-read") as reader:
        ahead = _Ahead(images, plan.config.dataset.max_pixels, reader)
        for number, image in enumerate(shown(images, len(images), run.pass_.name, "images")):
            tables = journal.read(number, 2)
            if tables is None:
                if network is None:
                    if number:
                        log.info("%d of %d images were finished before", number, len(images))
                    network = load(plan, run)
                result = _process(plan, run, recording, image, network, ahead.take(number))
                tables = [_rows_of(result), image_table(result)]
                journal.write(number, tables)
            yield tables


class _Ahead:
    """Reads the image after the one that is asked for, so that the network need not wait: two are held at most."""

    def __init__(self, images: list[IndexedImage], max_pixels: int, reader: ThreadPoolExecutor) -> None:
        self.images, self.max_pixels, self.reader = images, max_pixels, reader
        self.next: tuple[int, Future[NDArray[np.uint8]]] | None = None

    def take(self, number: int) -> Future[NDArray[np.uint8]]:
        """The pixels of an image, or the error of reading it; begins with the next one."""
        at, pixels = self.next or (-1, None)
        if pixels is None or at != number:  # the first one, or one behind an image that the journal had
            pixels = self._begin(number)
        self.next = (number + 1, self._begin(number + 1)) if number + 1 < len(self.images) else None
        return pixels

    def _begin(self, number: int) -> Future[NDArray[np.uint8]]:
        image = self.images[number]
        return self.reader.submit(lambda: read_image(image.path, self.max_pixels, image.sha256, image.span).pixels)


def _process(
    plan: Plan,
    run: PassRun,
    recording: Recording,
    image: IndexedImage,
    network: Proposer,
    pixels: Future[NDArray[np.uint8]],
) -> PassResult:
    try:
        points_per_batch = plan.config.generator.points_per_batch
        candidates = network.run(pixels.result(), run.pass_, recording, points_per_batch)
        return PassResult(image.image_key, "ok", None, candidates)
    except BadImage as error:
        log.warning("%s: %s", image.image_key, error)
        return PassResult(image.image_key, str(error.status), error.message, None)
    except FloatingPointError as error:
        log.warning("%s: %s", image.image_key, error)
        return PassResult(image.image_key, "not_a_number", str(error), None)
    except ImageTooLargeError as error:
        log.warning("%s: %s", image.image_key, error)
        return PassResult(image.image_key, str(ImageStatus.TOO_LARGE), str(error), None)


def _rows_of(result: PassResult) -> pa.Table:
    if result.candidates is None:
        return CANDIDATES.empty_table()
    return rows_table(result.image_key, result.candidates.rows)
