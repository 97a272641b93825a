"""Origins and fingerprints of the prompted job's outputs."""

from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from maskgrid.dataset.annotations.mask_pictures import contents_digest
from maskgrid.dataset.annotations.object_sources import PromptSource, read_source
from maskgrid.dataset.annotations.objects import PromptRow, content_of, object_values
from maskgrid.dataset.tables import IndexedImage, read_shard
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest, fingerprint, sha256_of
from maskgrid.io.tables import read_origin
from maskgrid.network.checkpoints import Checkpoint
from maskgrid.plan.layout import Layout
from maskgrid.plan.notes import Origin, network_origin
from maskgrid.plan.plan import Plan
from maskgrid.prompted.tables import read_prompts

# Fields of the config's section about the source and the sweep, not about the prediction.
_OF_SOURCE = ("source", "use", "normalized", "sweep")


def prompts_origin(plan: Plan, path: Path, source: PromptSource | None = None) -> Origin:
    """Return the origin of ``prompts.parquet``: the contents of the source and the index of the images.

    Args:
        plan: the plan.
        path: the file of prompts.
        source: its content; None to read it.

    Raises:
        UserError: there is no index, or the file cannot be read in the format of its suffix.
    """
    config = plan.prompts
    source = source or read_source(path, config.use)
    index = read_origin(plan.layout.images)
    content = {
        "source_sha256": sha256_of(path),
        "pictures_sha256": contents_digest(source.pictures(), source.folder),
        "use": config.use,
        "normalized": config.normalized,
        "images": index["fingerprint"],
    }
    # Not in the fingerprint: the table names shards, but its objects do not depend on how images are sharded.
    others = {"categories": source.categories, "shard_size": index["shard_size"]}
    return {**content, **others, "fingerprint": fingerprint(content)}


def require_current_prompts(plan: Plan) -> None:
    """Check that ``prompts.parquet`` matches the current index, shards and config, without reading the source again.

    Raises:
        UserError: it does not, or a table is missing or truncated.
    """
    config, path = plan.config.prompts, plan.layout.prompts
    origin, index = read_origin(path), read_origin(plan.layout.images)
    current = {"images": index["fingerprint"], "shard_size": index["shard_size"]}
    if config is not None:
        current |= {"use": config.use, "normalized": config.normalized}
    for name, value in current.items():
        if origin.get(name) != value:
            words = f"another prompts.{name}" if name in ("use", "normalized") else "another index of the images"
            raise UserError(f"{path}: was made with {words}; run maskgrid prompts again")


def prediction_parameters(plan: Plan) -> dict[str, Any] | None:
    """The values of the section ``prompts`` that affect masks; None if the config has no such section."""
    config = plan.config.prompts
    return config.model_dump(exclude=set(_OF_SOURCE)) if config else None


def prediction_origin(plan: Plan, checkpoint: Checkpoint) -> Origin:
    """The part of an origin that the config determines: the network, and the parameters of all settings."""
    return {
        **network_origin(plan.config.model, checkpoint),
        "prompts": prediction_parameters(plan),
        "settings": [setting.id for setting in plan.prompt_settings],
    }


def shard_origin(prediction: Origin, rows: Sequence[PromptRow], images: Mapping[str, IndexedImage]) -> Origin:
    """Return the origin of a shard's masks: its prompts and their images, independent of all other images.

    Args:
        prediction: from :func:`prediction_origin`.
        rows: the prompts on the shard's images.
        images: these images, by key.
    """
    shown = [[key, images[key].content] for key in sorted({row.image_key for row in rows})]
    content = {**prediction, "images": shown, "objects": [_content(row) for row in rows]}
    return {**prediction, "fingerprint": fingerprint(content)}


def members_of(rows: Sequence[PromptRow], images: Mapping[str, IndexedImage]) -> dict[str, str]:
    """A digest of the content of each image and of its prompts, by image key.

    Args:
        rows: the prompts on the images, sorted by image key.
        images: the images, by key.
    """
    by_image = groupby(rows, lambda row: row.image_key)
    return {key: digest([images[key].content, [_content(row) for row in mine]]) for key, mine in by_image}


def read_shard_origin(layout: Layout, shard: str, prediction: Origin) -> Origin:
    """:func:`shard_origin` of the tables now on disk.

    Raises:
        UserError: the index or the table of prompts is missing or truncated.
    """
    images = {image.image_key: image for image in read_shard(layout.images.parent, shard)}
    return shard_origin(prediction, rows_of_shard(layout, shard, images), images)


def rows_of_shard(layout: Layout, shard: str, images: Mapping[str, IndexedImage]) -> list[PromptRow]:
    """The prompts on a shard's images, in order.

    Raises:
        UserError: the table of prompts is missing or truncated.
    """
    return [row for row in read_prompts(layout.prompts, shard) if row.image_key in images]


def merged_origin(plan: Plan) -> Origin:
    """Return the origin of the merged outputs, independent of how images are sharded.

    Raises:
        UserError: a table is missing or truncated, or a shard's masks have other prompts, images or parameters.
    """
    require_current_prompts(plan)
    layout, prediction = plan.layout, prediction_origin(plan, plan.checkpoint())
    for shard in plan.shards():
        path = layout.prompted(shard)
        if read_origin(path).get("fingerprint") != read_shard_origin(layout, shard, prediction)["fingerprint"]:
            raise UserError(
                f"{path}: was made from other prompts, images or parameters; run maskgrid prompt --shard {shard} again"
            )
    origin = {
        **prediction,
        "labels": [setting.label for setting in plan.prompt_settings],
        "objects": read_origin(layout.prompts)["fingerprint"],
    }
    return {**origin, "fingerprint": fingerprint(origin)}


def _content(row: PromptRow) -> dict[str, Any]:
    """A row as plain values, for the fingerprint."""
    reference = None if row.reference_counts is None else row.reference_counts.decode("ascii")
    return {**object_values(row), "prompt": {**content_of(row.prompt), "reference_counts": reference}}
