"""The stage ``prompt``: segment the prompts on one shard's images."""

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.config.models import ModelConfig
from maskgrid.config.settings import PromptSetting
from maskgrid.dataset.annotations.objects import (
    Prompt,
    PromptRow,
    PromptStatus,
    object_values,
    pixels_of,
    prompt_values,
)
from maskgrid.dataset.earlier import earlier_outputs, rows_by_image
from maskgrid.dataset.extras import refuse_missing_extra
from maskgrid.dataset.pixels.images import BadImageError, read_image
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.io.errors import ImageTooLargeError, UserError
from maskgrid.io.journal import Journal
from maskgrid.io.progress import shown
from maskgrid.io.tables import write_table
from maskgrid.masks import rle
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan
from maskgrid.prompted.notes import (
    members_of,
    prediction_origin,
    require_current_prompts,
    rows_of_shard,
    shard_origin,
)
from maskgrid.prompted.statistics import agreement
from maskgrid.prompted.tables import PROMPTED

if TYPE_CHECKING:
    from maskgrid.prompted.prompter import PromptedMasks, Prompter

log = logging.getLogger(__name__)

Load: TypeAlias = "Callable[[ModelConfig, Checkpoint], Prompter]"

# These depend on the machine, or on a file that was not there; another try may succeed.
_PASSING = frozenset({PromptStatus.BAD_IMAGE, PromptStatus.NOT_A_NUMBER, PromptStatus.TOO_LARGE})
_NO_PIXEL = "no pixel of its logits is above mask_threshold, or max_sprinkle_area took them all"


def make_prompter(model: ModelConfig, checkpoint: Checkpoint) -> "Prompter":
    """Load the network on the config's device; with several CUDA devices, on one that no other job uses.

    Raises:
        UserError: the weights do not fit their config, or there is no such device.
    """
    # These import torch, which a finished shard does not need.
    from maskgrid.network.device import repeat_bits, take_device
    from maskgrid.network.model import build_model
    from maskgrid.prompted.prompter import Prompter

    device = take_device(model.device)
    if model.deterministic:
        repeat_bits(device)
    log.info("model %s on %s in %s", checkpoint.name, device, model.arithmetic)
    return Prompter(build_model(checkpoint, device, model.dtype, model.apply_postprocessing))


def prompt_shard(plan: Plan, shard: str, load: Load = make_prompter) -> None:
    """Segment the prompts on a shard's images, and write ``prompted/{shard}.parquet``.

    A journal beside the output keeps finished images, so that a killed job continues after the last one, and the
    output itself until the shards are merged. An output made from the same prompts, images and parameters is kept.

    Args:
        plan: the plan of the run.
        shard: the shard's name.
        load: returns the network; called when the first image needs it.

    Raises:
        UserError: the config has no prompts, or a table of an earlier stage is missing.
    """
    checkpoint, output = plan.checkpoint(), plan.layout.prompted(shard)
    prediction = prediction_origin(plan, checkpoint)
    require_current_prompts(plan)
    images = {image.image_key: image for image in read_shard(plan.layout.images.parent, shard)}
    rows = rows_of_shard(plan.layout, shard, images)
    origin = shard_origin(prediction, rows, images)
    journal = Journal(output, origin["fingerprint"])
    if journal.finished([output]):
        return
    members = members_of(rows, images)
    earlier = _earlier(output, origin, members)
    work = _Work(plan.prompt_settings, plan.config.dataset.max_pixels, partial(load, plan.config.model, checkpoint))
    tables = list(_tables(rows, images, journal, earlier, work))
    (place,) = journal.places([output])
    write_table(place, pa.concat_tables([PROMPTED.empty_table(), *tables]), {**origin, "members": members})
    journal.publish([output])
    log.info("%s: %d prompts in %d images", shard, len(rows), len(tables))


@dataclass(frozen=True, slots=True)
class _Work:
    """What is the same for every image."""

    settings: Sequence[PromptSetting]
    max_pixels: int
    load: "Callable[[], Prompter]"


def _earlier(output: Path, origin: Origin, members: Mapping[str, str]) -> dict[str, pa.Table]:
    """The results of images that earlier jobs have finished, with the same prompts, by key."""
    found: dict[str, pa.Table] = {}
    for path, keys in earlier_outputs(output, origin, members):
        try:
            tables = rows_by_image(path, PROMPTED, keys)
        except UserError as error:
            log.warning("%s", error)
            continue
        found |= {key: rows for key, rows in tables.items() if not _PASSING.intersection(rows["status"].to_pylist())}
    if found:
        log.info("%d of %d images are the same as in earlier results", len(found), len(members))
    return found


def _tables(
    rows: list[PromptRow],
    images: dict[str, IndexedImage],
    journal: Journal,
    earlier: Mapping[str, pa.Table],
    work: _Work,
) -> Iterator[pa.Table]:
    """Yield the results of each image with prompts: from the journal, earlier results, or the network."""
    by_image = [(key, list(group)) for key, group in groupby(rows, lambda row: row.image_key)]
    prompter: Prompter | None = None
    for number, (key, of_image) in enumerate(shown(by_image, len(by_image), "prompt", "images")):
        tables = [earlier[key]] if key in earlier else journal.read(number, 1)
        if tables is None:
            prompter = prompter or work.load()
            values = _image_values(images[key], of_image, prompter, work)
            tables = [pa.Table.from_pylist(values, PROMPTED)]
            journal.write(number, tables)
        yield tables[0]


def _image_values(
    image: IndexedImage, rows: list[PromptRow], prompter: "Prompter", work: _Work
) -> list[dict[str, Any]]:
    """The rows of one image at all settings: its masks, and its prompts without a mask."""
    prompts = [row.prompt for row in rows if row.prompt is not None]
    status, message = PromptStatus.OK, None
    results: list[list[PromptedMasks]] = [[] for _ in work.settings]
    try:
        pixels = _pixels(image, work.max_pixels)
        if prompts:
            results = prompter.run_settings(pixels, prompts, [setting.config for setting in work.settings])
    except BadImageError as error:
        refuse_missing_extra(image.image_key, error.message)
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
        for setting, drawn in zip(work.settings, results, strict=True)
        for values in _setting_values(rows, drawn, (image.height, image.width), failed)
    ]


def _pixels(image: IndexedImage, max_pixels: int) -> NDArray[np.uint8]:
    if image.look is not None and image.look.shrink is not None:
        raise ImageTooLargeError(
            f"{image.width} x {image.height} pixels, more than max_pixels allows ({max_pixels}); prompts need all of "
            "it in memory: raise dataset.max_pixels, or cut the image into parts"
        )
    return read_image(image.path, max_pixels, image.sha256, image.span, image.look).pixels


def _setting_values(
    rows: list[PromptRow], results: "list[PromptedMasks]", size_hw: tuple[int, int], failed: dict[str, Any] | None
) -> Iterator[dict[str, Any]]:
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
