"""The stages of ground truth: read the annotations, measure each shard's masks against them, summarize."""

import logging
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates, read_shard_results
from maskgrid.config.settings import Setting
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_origin, read_table, write_table
from maskgrid.plan.passes import passes_of
from maskgrid.plan.plan import Plan
from maskgrid.results.accuracy.annotations import read_annotations, truth_tables
from maskgrid.results.accuracy.image_truth import ImageTruth, TrueObjects
from maskgrid.results.accuracy.summary import accuracy_summary, write_accuracy
from maskgrid.results.accuracy.tables import SHARD_ACCURACY
from maskgrid.results.notes import accuracy_origin, truth_origin

log = logging.getLogger(__name__)

# Candidates of an image by checkpoint and pass.
ImageCandidates = dict[tuple[str, str], Candidates]
NO_OBJECTS = TrueObjects((), np.zeros(0, np.bool_))


def write_truth(plan: Plan) -> None:
    """Write ``ground_truth/images.parquet`` and ``objects.parquet``.

    Raises:
        UserError: the config names no ground truth, its file cannot be read, or none of its objects can be used.
    """
    path = plan.ground_truth()
    if path is None:
        raise UserError("dataset.ground_truth: the config names none, and the source is not a COCO file")
    images, objects = truth_tables(read_annotations(path), read_table(plan.layout.files), path.parent)
    origin = truth_origin(plan, path)
    write_table(plan.layout.ground_truth("images"), images, origin)
    write_table(plan.layout.ground_truth("objects"), objects, origin, rows_in_group=8192)
    n_ok = objects["status"].to_pylist().count("ok")
    log.info("%s: %d objects in %d images, %d of them usable", path, objects.num_rows, images.num_rows, n_ok)
    if objects.num_rows and not n_ok:
        first = objects.sort_by([("image_key", "descending")]).slice(0, 1).to_pylist()[0]
        known = read_table(plan.layout.images, ["image_key"]).slice(0, 1)["image_key"].to_pylist()
        raise UserError(
            f"dataset.ground_truth: none of the {objects.num_rows} objects of {path} can be used; the first, of "
            f"{first['image_key']!r}: {first['message']}. Images are named as in the dataset, for instance {known[0]!r}"
        )


def evaluate_shard(plan: Plan, shard: str) -> None:
    """Measure the masks of every setting against the true objects of a shard's images.

    Raises:
        UserError: a table of an earlier stage is missing or truncated, or tables are from different runs.
    """
    layout = plan.layout
    annotated = read_table(
        layout.ground_truth("images"), ["image_key"], [("shard", "=", shard), ("status", "=", "ok")]
    )["image_key"].to_pylist()
    objects = read_objects(plan, annotated)
    candidates = _candidates(plan, shard, set(annotated))
    chosen = _Selections.read(plan, shard)
    images = [key for key in sorted(annotated) if key in candidates]
    rows = [
        row
        for key in shown(images, len(images), f"evaluate {shard}", "images")
        for row in _image_rows(plan, key, objects.get(key, NO_OBJECTS), candidates[key], chosen)
    ]
    order = {setting.id: place for place, setting in enumerate(plan.settings)}
    rows.sort(key=lambda row: order[row["setting_id"]])
    sources = {"selections": layout.selections(shard), "objects": layout.ground_truth("objects")}
    content = {name: read_origin(path)["fingerprint"] for name, path in sources.items()}
    table = pa.Table.from_pylist(rows, schema=SHARD_ACCURACY)
    write_table(layout.shard_accuracy(shard), table, {**content, "fingerprint": fingerprint(content)})


def write_accuracies(plan: Plan) -> None:
    """Write ``statistics/accuracy.parquet`` and ``accuracy_summary.parquet``.

    Raises:
        UserError: a shard has not been evaluated.
    """
    origin = accuracy_origin(plan)
    shards = [plan.layout.shard_accuracy(shard) for shard in plan.shards()]
    path = plan.layout.statistics("accuracy")
    write_accuracy(path, plan.settings, shards, origin)
    write_table(plan.layout.statistics("accuracy_summary"), accuracy_summary(plan.settings, path), origin)


def read_objects(plan: Plan, image_keys: list[str]) -> dict[str, TrueObjects]:
    """The usable annotated objects of some images; images without any are left out.

    Raises:
        UserError: the table of objects is missing or truncated.
    """
    if not image_keys:
        return {}
    wanted = [("image_key", "in", image_keys), ("status", "=", "ok")]
    table = read_table(plan.layout.ground_truth("objects"), ["image_key", "is_crowd", "counts"], wanted)
    rows: dict[str, list[dict[str, Any]]] = {}
    for row in table.to_pylist():
        rows.setdefault(row["image_key"], []).append(row)
    return {
        key: TrueObjects(
            tuple(row["counts"] for row in listed), np.array([row["is_crowd"] for row in listed], np.bool_)
        )
        for key, listed in rows.items()
    }


def _candidates(plan: Plan, shard: str, image_keys: set[str]) -> dict[str, ImageCandidates]:
    found: dict[str, ImageCandidates] = {}
    for run, result in read_shard_results(plan, shard):
        if result.image_key in image_keys and result.candidates is not None:
            found.setdefault(result.image_key, {})[run.checkpoint, run.pass_.name] = result.candidates
    return found


class _Selections:
    """The masks that settings keep in a shard, looked up by setting and image."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        self._spans: dict[tuple[str, str], tuple[int, int]] = {}
        codes = [table[name].combine_chunks() for name in ("setting_id", "image_key")]
        ids = [code.indices.to_numpy() for code in codes]
        names = [code.dictionary.to_pylist() for code in codes]
        if not len(table):
            return
        # The rows of a setting and image are contiguous, in order of rank.
        new = np.flatnonzero(np.concatenate([[True], (ids[0][1:] != ids[0][:-1]) | (ids[1][1:] != ids[1][:-1])]))
        for start, stop in zip(new, [*new[1:], len(table)], strict=True):
            self._spans[names[0][ids[0][start]], names[1][ids[1][start]]] = int(start), int(stop)

    @classmethod
    def read(cls, plan: Plan, shard: str) -> "_Selections":
        columns = ["setting_id", "image_key", "rank", "layer", "candidate_id", "counts"]
        return cls(read_table(plan.layout.selections(shard), columns).unify_dictionaries().combine_chunks())

    def of(self, setting: Setting, image_key: str) -> pa.Table:
        start, stop = self._spans.get((setting.id, image_key), (0, 0))
        return self._table.slice(start, stop - start)


def _image_rows(
    plan: Plan, image_key: str, objects: TrueObjects, candidates: ImageCandidates, chosen: _Selections
) -> Iterator[dict[str, Any]]:
    """Yield a row for each setting with results for the image."""
    position: dict[bytes, int] = {}
    kept: list[tuple[Setting, NDArray[np.int64], NDArray[np.float32]]] = []
    for setting in plan.settings:
        passes = [candidates.get((setting.checkpoint, pass_.name)) for pass_ in passes_of(setting.generator)]
        if None in passes:
            continue
        rows = chosen.of(setting, image_key)
        codes, scores = _masks(rows, [part for part in passes if part is not None], setting)
        masks = np.array([position.setdefault(code, len(position)) for code in codes], np.int64)
        kept.append((setting, masks, scores))
    size_hw = next(iter(candidates.values())).size_hw
    truth = ImageTruth.of(objects, list(position), size_hw)
    for setting, masks, scores in kept:
        yield {"setting_id": setting.id, "image_key": image_key, **truth.measure(masks, scores)}


def _masks(selected: pa.Table, passes: list[Candidates], setting: Setting) -> tuple[list[bytes], NDArray[np.float32]]:
    """The codes and predicted IoUs of a setting's masks, in order of rank."""
    layer_of, ids = selected["layer"].to_numpy(), selected["candidate_id"].to_numpy()
    codes = np.empty(len(ids), np.object_)
    scores = np.zeros(len(ids), np.float32)
    for layer in np.unique(layer_of):
        rows = passes[layer].rows
        level = np.flatnonzero(rows.mask_threshold == setting.generator.mask_threshold)
        at = np.flatnonzero(layer_of == layer)
        place = level[np.searchsorted(rows.candidate_id[level], ids[at])]
        codes[at], scores[at] = rows.counts[place], rows.predicted_iou[place]
    redrawn = selected["counts"].to_pylist()
    return [code if new is None else new for code, new in zip(codes, redrawn, strict=True)], scores
