"""What the outputs of the prompted job are made from, as :mod:`maskgrid.automatic.notes` tells it of the others."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import orjson

from maskgrid.dataset.object_sources import PromptSource, read_source
from maskgrid.dataset.objects import PromptRow, content_of, object_values
from maskgrid.dataset.sources import path_state
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.layout import Layout
from maskgrid.plan.origin import Origin, network_origin
from maskgrid.plan.plan import Plan
from maskgrid.prompted.tables import read_prompts

# What the config says of the source and the sweep, and not of the prediction.
_OF_SOURCE = ("source", "use", "normalized", "sweep")


def prompts_origin(plan: Plan, path: Path, source: PromptSource | None = None) -> Origin:
    """What ``prompts.parquet`` is made from: the contents of the source and the index of the images.

    Args:
        plan: the plan.
        path: the file of prompts.
        source: what is read from it, where it has been read.

    Raises:
        UserError: there is no index, or the file cannot be read as what its suffix says.
    """
    config = plan.prompts
    source = source or read_source(path, config.use)
    index = read_origin(plan.layout.images)
    content = {
        "source_sha256": _digest_of_file(path),
        "pictures_sha256": _digest_of_pictures(source),
        "use": config.use,
        "normalized": config.normalized,
        "images": index["fingerprint"],
    }
    # The table names shards, but what it says of the objects is the same however images are spread over them.
    others = {"categories": source.categories, "shard_size": index["shard_size"]}
    return {**content, **others, "fingerprint": fingerprint(content)}


def require_current_prompts(plan: Plan) -> None:
    """See that ``prompts.parquet`` is of the images, shards and words of today, as far as that can be told at once.

    Raises:
        UserError: it is not, or a table is missing or cut off.
    """
    config, path = plan.config.prompts, plan.layout.prompts
    was, index = read_origin(path), read_origin(plan.layout.images)
    now = {"images": index["fingerprint"], "shard_size": index["shard_size"]}
    if config is not None:
        now |= {"use": config.use, "normalized": config.normalized}
    for name, value in now.items():
        if was.get(name) != value:
            words = f"another prompts.{name}" if name in ("use", "normalized") else "another index of the images"
            raise UserError(f"{path}: was made with {words}; run maskgrid prompts again")


def prediction_parameters(plan: Plan) -> dict[str, Any] | None:
    """What the section ``prompts`` says about masks; None if the config has no such section."""
    config = plan.config.prompts
    return config.model_dump(exclude=set(_OF_SOURCE)) if config else None


def prediction_origin(plan: Plan, checkpoint: Checkpoint) -> Origin:
    """What the config says of the network and its parameters."""
    return {
        **network_origin(plan.config.model, checkpoint),
        "prompts": prediction_parameters(plan),
        "settings": [setting.id for setting in plan.prompt_settings],
    }


def shard_origin(prediction: Origin, rows: Sequence[PromptRow], images: Mapping[str, IndexedImage]) -> Origin:
    """What the masks of a shard are made from: the prompts and their images, and nothing of other images.

    Args:
        prediction: from :func:`prediction_origin`.
        rows: the prompts on the shard's images.
        images: these images, by key.
    """
    members = [[key, images[key].sha256] for key in sorted({row.image_key for row in rows})]
    content = {**prediction, "images": members, "objects": [_content(row) for row in rows]}
    return {**prediction, "fingerprint": fingerprint(content)}


def read_shard_origin(layout: Layout, shard: str, prediction: Origin) -> Origin:
    """The same, from the tables that lie there now.

    Raises:
        UserError: the index or the table of prompts is missing or cut off.
    """
    images = {image.image_key: image for image in read_shard(layout.images.parent, shard)}
    return shard_origin(prediction, rows_of_shard(layout, shard, images), images)


def rows_of_shard(layout: Layout, shard: str, images: Mapping[str, IndexedImage]) -> list[PromptRow]:
    """The prompts on a shard's images, in order.

    Raises:
        UserError: the table of prompts is missing or cut off.
    """
    return [row for row in read_prompts(layout.prompts, shard) if row.image_key in images]


def merged_origin(plan: Plan) -> Origin:
    """What the tables of all prompts are made from, the same however images are spread over shards.

    Raises:
        UserError: a table is missing or cut off, or a shard's masks are of other prompts, images or parameters.
    """
    require_current_prompts(plan)
    layout, prediction = plan.layout, prediction_origin(plan, plan.checkpoint())
    for shard in plan.shards():
        path = layout.prompted(shard)
        if read_origin(path).get("fingerprint") != read_shard_origin(layout, shard, prediction)["fingerprint"]:
            raise UserError(
                f"{path}: is of other prompts, images or parameters; run maskgrid prompt --shard {shard} again"
            )
    origin = {
        **prediction,
        "labels": [setting.label for setting in plan.prompt_settings],
        "objects": read_origin(layout.prompts)["fingerprint"],
    }
    return {**origin, "fingerprint": fingerprint(origin)}


def pictures_digest(path: Path) -> str:
    """A digest of sizes and times of the pictures that a table of prompts names as masks.

    The table is read again when it changes. COCO files, which hold their masks, are not opened for it.
    """
    if path.suffix.lower() == ".json":
        return "none"
    try:
        source = read_source(path, "mask")
    except UserError:  # the stage that reads it says so
        return "unreadable"
    states = [[name, *path_state(source.folder / name)] for name in _pictures(source)]
    return hashlib.sha256(orjson.dumps(states)).hexdigest()


def _pictures(source: PromptSource) -> list[str]:
    """The pictures that masks are given as, each once, as the source writes them."""
    return sorted({entry.mask for entry in source.entries if isinstance(entry.mask, str)})


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _digest_of_pictures(source: PromptSource) -> str:
    digest = hashlib.sha256()
    for name in _pictures(source):
        path = source.folder / name
        try:
            content = _digest_of_file(path)
        except (OSError, ValueError):  # its prompt has a status that says so
            content = "unreadable"
        digest.update(orjson.dumps([name, content]))
    return digest.hexdigest()


def _content(row: PromptRow) -> dict[str, Any]:
    """A row as plain values, for the fingerprint."""
    reference = None if row.reference_counts is None else row.reference_counts.decode("ascii")
    return {**object_values(row), "prompt": {**content_of(row.prompt), "reference_counts": reference}}
