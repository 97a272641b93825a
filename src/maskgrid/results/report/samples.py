"""Read the pixels and candidates of a few images, for drawing."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates, read_shard_results
from maskgrid.automatic.replay.filters import Replay
from maskgrid.config.settings import Setting
from maskgrid.dataset.annotations.region_masks import read_regions
from maskgrid.dataset.pixels.images import BadImageError
from maskgrid.dataset.pixels.pictures import read_picture
from maskgrid.dataset.tables import files_by_key
from maskgrid.io.errors import UserError
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_table
from maskgrid.plan.passes import passes_of
from maskgrid.plan.plan import Plan
from maskgrid.results.accuracy.image_truth import TrueObjects
from maskgrid.results.accuracy.stage import read_objects

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Sample:
    """An image and what the network found in it.

    Attributes:
        image_key: the image.
        size_hw: height and width in pixels.
        pixels: uint8 (H, W, 3); None if the file is gone or has changed.
        replays: a replay for each checkpoint, with the candidates of all passes.
        truth: the annotated objects, if there are any.
    """

    image_key: str
    size_hw: tuple[int, int]
    pixels: NDArray[np.uint8] | None
    replays: dict[str, Replay]
    truth: TrueObjects | None = None


def read_samples(plan: Plan, keys: Sequence[str]) -> list[Sample]:
    """Read images and their candidates, one shard at a time, in the order of ``keys``.

    Images without candidates (the network failed, or the shard has not run) are left out.
    """
    found = read_candidates(plan, keys)
    files = known_files(plan, list(found))
    regions = _regions(plan, files)
    truth = read_objects(plan, list(found)) if plan.ground_truth() is not None else {}
    return [
        replace(_sample(plan, key, found[key], files, regions.get(key, {})), truth=truth.get(key))
        for key in dict.fromkeys(keys)
        if key in found
    ]


def read_replays(plan: Plan, keys: Sequence[str]) -> dict[str, dict[str, Replay]]:
    """A replay for each checkpoint, by image key; images without candidates are left out."""
    found = read_candidates(plan, keys)
    regions = _regions(plan, known_files(plan, list(found))) if plan.regions() else {}
    return {
        key: {checkpoint: Replay(passes, regions.get(key, {})) for checkpoint, passes in by_checkpoint.items()}
        for key, by_checkpoint in found.items()
    }


def read_candidates(plan: Plan, keys: Sequence[str]) -> dict[str, dict[str, dict[str, Candidates]]]:
    """Candidates of some images by key, checkpoint and pass; images without any are left out."""
    wanted = read_table(plan.layout.images, ["image_key", "shard"], [("image_key", "in", list(keys))]).to_pylist()
    by_shard: dict[str, set[str]] = {}
    for row in wanted:
        if row["shard"] is not None:
            by_shard.setdefault(row["shard"], set()).add(row["image_key"])
    found: dict[str, dict[str, dict[str, Candidates]]] = {}
    for shard, members in shown(sorted(by_shard.items()), len(by_shard), "reading candidates", "shards"):
        _add_candidates(plan, shard, members, found)
    return found


def _add_candidates(
    plan: Plan, shard: str, members: set[str], found: dict[str, dict[str, dict[str, Candidates]]]
) -> None:
    for run, result in read_shard_results(plan, shard):
        if result.image_key in members and result.candidates is not None:
            passes = found.setdefault(result.image_key, {}).setdefault(run.checkpoint, {})
            passes[run.pass_.name] = result.candidates


def known_files(plan: Plan, keys: list[str]) -> dict[str, dict[str, Any]]:
    """Rows of ``files.parquet``, by image key."""
    try:
        return files_by_key(plan.layout.files, keys)
    except UserError as error:
        log.warning("%s; images are drawn without their pixels", error)
        return {}


def _regions(plan: Plan, files: dict[str, dict[str, Any]]) -> dict[str, dict[str, bytes]]:
    """The images' parts of ``filters.region``."""
    if not plan.regions():
        return {}
    return read_regions(plan, [row for row in files.values() if row["status"] == "ok"])


def _sample(
    plan: Plan,
    key: str,
    passes: dict[str, dict[str, Candidates]],
    files: dict[str, dict[str, Any]],
    in_image: dict[str, bytes],
) -> Sample:
    first = next(iter(next(iter(passes.values())).values()))
    pixels = None
    if key in files:
        try:
            pixels = read_picture(files[key], plan.config.dataset.max_pixels)
        except BadImageError as error:
            log.warning("%s: %s; it is drawn without its pixels", key, error.message)
    replays = {checkpoint: Replay(candidates, in_image) for checkpoint, candidates in passes.items()}
    return Sample(key, first.size_hw, pixels, replays)


def is_answered(sample: Sample, setting: Setting) -> bool:
    """Return whether the sample has the candidates of all passes of a setting."""
    replay = sample.replays.get(setting.checkpoint)
    return replay is not None and all(pass_.name in replay.candidates for pass_ in passes_of(setting.generator))
