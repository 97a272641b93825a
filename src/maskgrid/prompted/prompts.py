"""The stage ``prompts``: read the source, check each prompt against its image, and sort them by shard."""

import logging
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from maskgrid.dataset.annotations.names import NamedImages, NearestNames
from maskgrid.dataset.annotations.object_masks import read_mask
from maskgrid.dataset.annotations.object_sources import Entry, PromptSource, read_prompt, read_source
from maskgrid.dataset.annotations.objects import BadPromptError, Prompt, PromptRow, PromptStatus, require_size
from maskgrid.dataset.tables import read_images
from maskgrid.io.errors import UserError
from maskgrid.io.listings import SOURCES_IN_RESULTS, is_outside_root
from maskgrid.io.tables import read_table, write_table
from maskgrid.io.wording import named_reasons, tally
from maskgrid.plan.layout import GROUND_TRUTH
from maskgrid.plan.plan import Plan
from maskgrid.prompted.notes import prompts_origin
from maskgrid.prompted.tables import ShardedPrompt, prompts_table

log = logging.getLogger(__name__)

_ROWS_IN_GROUP = 8192
DEMO = "demo"


@dataclass(frozen=True, slots=True)
class KnownImage:
    """An image of the dataset: columns of ``images.parquet``."""

    status: str
    height: int | None
    width: int | None
    shard: str | None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of a good image."""
        return int(self.height or 0), int(self.width or 0)


def write_prompts(plan: Plan) -> None:
    """Write ``prompted/prompts.parquet``: every object of the source, with a status.

    Raises:
        UserError: the config has no prompts, the source cannot be read, or it has no usable prompt.
    """
    config = plan.prompts
    path = source_path(plan)
    source = read_source(path, config.use)
    origin = prompts_origin(plan, path, source)
    images = _known_images(plan)
    indices: Counter[str] = Counter()
    prompts, nearest = [], NearestNames.of(images)
    if not config.normalized:
        _require_pixels(source, config.source)
    for entry in _by_key(plan, source):
        image = images.get(entry.image_key)
        row = resolve(entry, image, indices[entry.image_key], config.normalized, source.folder, nearest)
        indices[entry.image_key] += 1
        prompts.append(ShardedPrompt(row, image.shard if image is not None else None))
    statuses = Counter(prompt.row.status for prompt in prompts)
    log.info("%d prompts: %s", len(prompts), tally(statuses))
    write_table(plan.layout.prompts, prompts_table(prompts), origin, _ROWS_IN_GROUP)
    if not statuses["ok"]:
        reasons = [(f"{row.source_id} of {row.image_key}", str(row.message)) for row in (one.row for one in prompts)]
        raise UserError(
            f"prompts.source: none of the {len(prompts)} prompts of {config.source} can be used"
            f"{_naming(statuses, images)}{named_reasons(reasons)}"
        )


def _naming(statuses: Counter[str], images: Mapping[str, KnownImage]) -> str:
    """How images are named, if that is what is wrong."""
    if set(statuses) - {PromptStatus.UNKNOWN_IMAGE} or not images:
        return ""
    return f". Images are named as in the dataset, for instance {next(iter(images))!r}"


def _require_pixels(source: PromptSource, name: str) -> None:
    """Require that boxes and points are not all in 0..1: fractions, taken for pixels, are boxes of nothing.

    Raises:
        UserError: they are.
    """
    given = [part for entry in source.entries for part in (entry.box, entry.point_coords) if isinstance(part, list)]
    numbers = [value for part in given for row in part for value in (row if isinstance(row, list) else [row])]
    if numbers and all(type(value) in (int, float) and 0 <= value <= 1 for value in numbers):
        raise UserError(
            f"prompts.source: all boxes and points of {name} lie in 0..1, but are taken as pixels; set "
            "prompts.normalized: true for fractions of the image"
        )


def source_path(plan: Plan) -> Path:
    """Return the path of the prompts' file.

    Raises:
        UserError: the prompts are the demo's, but the dataset is not.
    """
    source = plan.prompts.source
    if source.lower() != DEMO:
        return plan.located(source)
    if plan.config.dataset.source.lower() != DEMO:
        raise UserError(
            "prompts.source: 'demo' means the objects on the demo's images; use it only with dataset.source: demo"
        )
    return plan.layout.root / DEMO / GROUND_TRUTH


def resolve(
    entry: Entry,
    image: KnownImage | None,
    index: int,
    normalized: bool,
    folder: Path,
    nearest: NearestNames | None = None,
) -> PromptRow:
    """Check an entry of a source against its image: return the prompt, or the reason why it is unusable."""
    prompt = reference = None
    status, message = str(PromptStatus.OK), None
    try:
        size_hw = _size_of(entry, image)
        if not normalized:
            require_size(entry.size_hw, size_hw)
        prompt = read_prompt(entry, size_hw, normalized, folder)
        reference, message = _reference(entry, prompt, size_hw, folder)
    except BadPromptError as error:
        status, message = str(error.status), error.message
        if error.status == PromptStatus.UNKNOWN_IMAGE and nearest is not None:
            message += nearest.hint(entry.image_key)
        log.warning("%s, %s: %s", entry.image_key, entry.source_id, message)
    return PromptRow(
        entry.image_key,
        index,
        entry.source_id,
        entry.category_id,
        entry.category,
        prompt,
        reference,
        str(status),
        message,
    )


def _size_of(entry: Entry, image: KnownImage | None) -> tuple[int, int]:
    if entry.broken is not None:
        raise BadPromptError(PromptStatus.MALFORMED, entry.broken)
    if image is None:
        raise BadPromptError(PromptStatus.UNKNOWN_IMAGE, f"the dataset has no image {entry.image_key!r}")
    if image.status != "ok":
        raise BadPromptError(PromptStatus.BAD_IMAGE, f"the image cannot be used: {image.status}")
    if entry.is_crowd:
        raise BadPromptError(PromptStatus.CROWD, "a crowd of objects (iscrowd: 1) has no mask of one object")
    return image.size_hw


def _reference(entry: Entry, prompt: Prompt, size_hw: tuple[int, int], folder: Path) -> tuple[bytes | None, str | None]:
    """Return the object's mask in the source, for comparison, and a message if it cannot be read.

    An unreadable mask does not make the prompt unusable.
    """
    if prompt.mask_counts is not None or entry.mask is None:
        return prompt.mask_counts, None
    try:
        return read_mask(entry.mask, size_hw, folder), None
    except BadPromptError as error:
        return None, f"not compared with the source's mask: {error.message}"


def _by_key(plan: Plan, source: PromptSource) -> list[Entry]:
    """Replace the names that a source gives images (:meth:`NamedImages.key`) with image keys."""
    names = NamedImages.of(read_table(plan.layout.files, ["image_key", "path"]).to_pylist(), source.folder)
    return [
        replace(entry, image_key=names.key(entry.image_key), broken=entry.broken or _own_picture(plan, entry, source))
        if entry.image_key
        else entry
        for entry in source.entries
    ]


def _own_picture(plan: Plan, entry: Entry, source: PromptSource) -> str | None:
    """The reason against a mask picture that this run wrote itself: the next run would find another one there."""
    if not isinstance(entry.mask, str):
        return None
    below = os.path.relpath((source.folder / entry.mask).absolute(), plan.layout.root.absolute())
    is_own = not is_outside_root(below) and below.split("/")[0] not in SOURCES_IN_RESULTS
    return f"the mask {entry.mask!r} is a picture of this run's own results; copy it elsewhere" if is_own else None


def _known_images(plan: Plan) -> dict[str, KnownImage]:
    table = read_images(plan.layout.images.parent).select(["image_key", "status", "height", "width", "shard"])
    rows: list[dict[str, Any]] = table.to_pylist()
    return {row.pop("image_key"): KnownImage(**row) for row in rows}
