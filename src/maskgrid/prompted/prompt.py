"""The stage ``prompt``: the given objects of one shard's images through the network."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import asdict
from itertools import groupby
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from maskgrid.dataset.images import BadImage, read_image
from maskgrid.dataset.objects import Prompt, PromptRow, PromptStatus, object_values, pixels_of, prompt_values
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.io.errors import ImageTooLargeError, UserError
from maskgrid.io.journal import Journal
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_origin, write_table
from maskgrid.masks import rle
from maskgrid.network.checkpoints import checkpoint_id
from maskgrid.plan.plan import Plan
from maskgrid.prompted.notes import require_current_prompts, rows_of_shard, shard_note
from maskgrid.prompted.statistics import agreement
from maskgrid.prompted.tables import PROMPTED

if TYPE_CHECKING:
    from maskgrid.prompted.prompter import PromptedMasks, Prompter

log = logging.getLogger(__name__)

_NO_PIXEL = "no pixel of its logits is above mask_threshold, or max_sprinkle_area took them all"


def make_prompter(plan: Plan) -> "Prompter":
    """Load the network for the config's prompts on its device; of several CUDA devices, on one that no other job has.

    Raises:
        UserError: the checkpoint or the device is not there.
    """
    # torch, for which a shard that is finished already need not wait.
    from maskgrid.network.device import take_device
    from maskgrid.network.model import load_model
    from maskgrid.prompted.prompter import Prompter

    model = plan.config.model
    device = str(take_device(model.device))
    log.info("model %s on %s in %s", checkpoint_id(model.checkpoint), device, model.dtype)
    loaded = load_model(
        model.checkpoint, model.config, device, model.dtype, model.apply_postprocessing, model.allow_unverified
    )
    return Prompter(loaded)


def prompt_shard(plan: Plan, shard: str, load: Callable[[Plan], "Prompter"] = make_prompter) -> None:
    """Segment the given objects of a shard, and write ``prompted/{shard}.parquet``.

    Finished images are kept in a journal beside the output, so that a killed job goes on after the last one, and the
    output itself until the shards are merged. An output that was made from the same prompts, images and parameters
    stays as it is.

    Args:
        plan: the plan of the run.
        shard: the shard's name.
        load: gives the network once an image needs it; a process that has it already hands it out here.

    Raises:
        UserError: the config has no prompts, or a table of an earlier stage is missing.
    """
    require_current_prompts(plan)
    images = {image.image_key: image for image in read_shard(plan.layout.images.parent, shard)}
    rows = rows_of_shard(plan, shard, images)
    output = plan.layout.prompted(shard)
    origin = shard_note(plan, rows, images)
    journal = Journal(output, origin["fingerprint"])
    if _is_current(plan, shard, origin["fingerprint"]):
        journal.keep([output])
        output.touch()
        log.info("%s: %s is made from the same prompts already", shard, output)
        return
    if journal.restore([output]):
        log.info("%s: was finished before", shard)
        return
    tables = list(_tables(plan, rows, images, journal, load))
    write_table(output, pa.concat_tables([PROMPTED.empty_table(), *tables]), origin)
    journal.keep([output])
    log.info("%s: %d prompts in %d images", shard, len(rows), len(tables))


def _tables(
    plan: Plan,
    rows: list[PromptRow],
    images: dict[str, IndexedImage],
    journal: Journal,
    load: Callable[[Plan], "Prompter"],
) -> Iterator[pa.Table]:
    """The results of every image that has prompts, from the journal or, for the rest, from the network."""
    by_image = [(key, list(group)) for key, group in groupby(rows, lambda row: row.image_key)]
    prompter: Prompter | None = None
    for number, (key, of_image) in enumerate(shown(by_image, len(by_image), "prompt", "images")):
        tables = journal.read(number, 1)
        if tables is None:
            prompter = prompter or load(plan)
            values = _image_values(plan, images[key], of_image, prompter)
            tables = [pa.Table.from_pylist(values, PROMPTED)]
            journal.write(number, tables)
        yield tables[0]


def _image_values(plan: Plan, image: IndexedImage, rows: list[PromptRow], prompter: "Prompter") -> list[dict[str, Any]]:
    """The rows of one image at all settings: its masks, and what of its prompts has none."""
    prompts = [row.prompt for row in rows if row.prompt is not None]
    settings = plan.prompt_settings
    status, message = PromptStatus.OK, None
    results: list[list[PromptedMasks]] = [[] for _ in settings]
    try:
        pixels = read_image(image.path, plan.config.dataset.max_pixels, image.sha256, image.span).pixels
        if prompts:
            results = prompter.run_settings(pixels, prompts, [setting.config for setting in settings])
    except BadImage as error:
        status, message = PromptStatus.BAD_IMAGE, f"the image cannot be used: {error.message}"
    except FloatingPointError as error:
        status, message = PromptStatus.NOT_A_NUMBER, str(error)
    except ImageTooLargeError as error:
        status, message = PromptStatus.TOO_LARGE, str(error)
    if status != PromptStatus.OK:
        log.warning("%s: %s", image.image_key, message)
    failed = {"status": status, "message": message} if status != PromptStatus.OK else None
    return [
        {"setting_id": setting.id, **values}
        for setting, drawn in zip(settings, results, strict=True)
        for values in _setting_values(rows, drawn, (image.height, image.width), failed)
    ]


def _setting_values(
    rows: list[PromptRow], results: "list[PromptedMasks]", size_hw: tuple[int, int], failed: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
    """The rows of one image at one setting."""
    drawn = iter(results)
    for row in rows:
        if row.prompt is None:
            yield object_values(row)
        elif failed:
            yield {
                **object_values(row),
                "kind": row.prompt.kind,
                **prompt_values(pixels_of(row.prompt, size_hw)),
                **failed,
            }
        else:
            yield from _mask_values(row, row.prompt, next(drawn), size_hw)


def _mask_values(
    row: PromptRow, prompt: Prompt, masks: "PromptedMasks", size_hw: tuple[int, int]
) -> Iterator[dict[str, Any]]:
    in_pixels = pixels_of(prompt, size_hw)
    for index, predicted_iou, counts in zip(masks.mask_index, masks.predicted_iou, masks.counts, strict=True):
        area_px = rle.area_px(counts, size_hw)
        values = {
            **object_values(row),
            "kind": prompt.kind,
            **prompt_values(in_pixels),
            **asdict(agreement(counts, in_pixels, row.reference_counts, size_hw)),
            "mask_index": int(index),
            "predicted_iou": float(predicted_iou),
            "area_px": area_px,
            "bbox_xywh": [int(edge) for edge in rle.true_box_xywh(counts, size_hw)],
            "counts": counts,
        }
        if area_px == 0:
            values |= {"status": PromptStatus.NO_MASK, "message": _NO_PIXEL}
        yield values


def _is_current(plan: Plan, shard: str, wanted: str) -> bool:
    try:
        return bool(read_origin(plan.layout.prompted(shard)).get("fingerprint") == wanted)
    except UserError:
        return False
