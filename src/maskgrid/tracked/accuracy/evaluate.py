"""The stage ``track-evaluate``: measure a run's masklets against its video's true objects."""

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_table, write_table
from maskgrid.plan.plan import Plan
from maskgrid.tracked.accuracy.identities import IdentityCounts
from maskgrid.tracked.accuracy.measure import MeasuredFrame, VideoAccuracy, measure
from maskgrid.tracked.accuracy.notes import evaluation_origin, how_measured
from maskgrid.tracked.accuracy.objects import ObjectAccuracy
from maskgrid.tracked.accuracy.tables import RUN_ACCURACY
from maskgrid.tracked.masklets import Run, by_frames, read_run, slices
from maskgrid.tracked.prompts.checks import number_from_0

log = logging.getLogger(__name__)

Row = dict[str, Any]
_MOST_SHOWN = 5  # ids, in messages


def evaluate_run(plan: Plan, name: str) -> None:
    """Write ``tracked/ground_truth/runs/{run}.parquet``: a row per true object, and the run's counts in its origin.

    Raises:
        maskgrid.io.errors.UserError: the masklets or the true objects are missing.
    """
    run, layout = read_run(plan, name), plan.layout.tracked
    (status,) = read_table(layout.ground_truth("videos"), filters=[("video_key", "=", run.video.video_key)]).to_pylist()
    rows = read_table(layout.ground_truth("masks"), filters=[("video_key", "=", run.video.video_key)])
    truth = _Truth(rows, run.numbers)
    masklets = _masklets(run)
    found = _measured(run, truth, masklets, plan.tracking)
    objects = [
        _row(run.video.video_key, truth_id, truth.categories.get(truth_id), one, [*masklets])
        for truth_id, one in zip(truth.ids, found.objects, strict=True)
    ]
    results = {"video": _video_row(status, objects, found, truth), "counts": _plain(found.identities)}
    origin = {**evaluation_origin(plan, name), **results}
    write_table(layout.run_accuracy(name), pa.Table.from_pylist(objects, RUN_ACCURACY), origin)
    log.info("%s: %d true objects, %d frames", name, len(objects), found.n_frames)


class _Truth:
    """The true objects of a video, on the frames that were read.

    Attributes:
        ids: the objects that are visible on some frame, numbered by their places.
        categories: their categories by id.
        frames: the annotated ones, in order.
    """

    def __init__(self, table: pa.Table, numbers: range) -> None:
        is_read = pc.is_in(table["frame"], pa.array(numbers, pa.int32()))
        self._table = table.filter(pc.and_(is_read, pc.equal(table["status"], "ok")))
        good = self._table.filter(pc.invert(self._table["is_void"]))
        visible = pc.unique(good.filter(pc.greater(good["area_px"], 0))["truth_id"]).to_pylist()
        self.ids = sorted(visible, key=lambda one: (-1 if (number := number_from_0(one)) is None else number, one))
        self._number = {truth_id: place for place, truth_id in enumerate(self.ids)}
        spans = good.group_by("truth_id").aggregate([("frame", "min_max"), ("category", "min")]).to_pylist()
        self._ends = {row["truth_id"]: set(row["frame_min_max"].values()) for row in spans}
        self.categories = {row["truth_id"]: row["category_min"] for row in spans}
        self.frames = sorted(pc.unique(self._table["frame"]).to_pylist())

    def by_frames(self, skips: bool) -> Iterator[tuple[int, MeasuredFrame]]:
        """Yield each annotated frame, without masklets."""
        for frame, part in slices(self._table, "frame", "truth_id"):
            rows = part.to_pylist()
            known = {self._number[row["truth_id"]]: row for row in rows if row["truth_id"] in self._number}
            ends = {place for place, row in known.items() if skips and frame in self._ends[row["truth_id"]]}
            void = tuple(row["counts"] for row in rows if row["is_void"])
            yield (
                frame,
                MeasuredFrame({place: row["counts"] for place, row in known.items()}, {}, void, frozenset(ends)),
            )


def _masklets(run: Run) -> dict[int, str]:
    """The masklets' object ids in the order of their numbers here, with their ids in the source."""
    rows = read_table(run.path, ["object_id", "source_id"]).group_by(["object_id", "source_id"]).aggregate([])
    return dict(sorted(zip(rows["object_id"].to_pylist(), rows["source_id"].to_pylist(), strict=True)))


def _measured(run: Run, truth: _Truth, masklets: Mapping[int, str], config: TrackingConfig) -> VideoAccuracy:
    how = how_measured(config)
    pairs = _same_ids(truth.ids, masklets) if how["match_truth_by"] == "ids" else None
    if pairs is not None and (alone := [one for one, row in zip(truth.ids, pairs, strict=True) if not row.any()]):
        hint = "" if pairs.any() else "; tracking.match_truth_by: masks matches them by their masks"
        log.warning(
            "%s: %d of %d true objects have no masklet with their id and are measured with empty masks: %s; "
            "masklets' ids: %s%s",
            run.name, len(alone), len(truth.ids), _shown(alone), _shown([*masklets.values()]) or "none", hint,
        )  # fmt: skip
    frames = shown(
        _frames(run, truth, [*masklets], how["skip_first_and_last"]),
        len(truth.frames),
        f"evaluate {run.name}",
        "frames",
    )
    return measure(frames, run.video.size_hw, len(truth.ids), len(masklets), pairs)


def _frames(run: Run, truth: _Truth, object_ids: Sequence[int], skips: bool) -> Iterator[MeasuredFrame]:
    place = {object_id: number for number, object_id in enumerate(object_ids)}
    tracked = by_frames(run.path, truth.frames)
    number, rows = next(tracked, (None, []))
    for frame, known in truth.by_frames(skips):
        masks = {}
        if number == frame:
            masks = {place[row["object_id"]]: row["counts"] for row in rows if row["area_px"]}
            number, rows = next(tracked, (None, []))
        yield replace(known, masks=masks)


def _same_ids(truth_ids: Sequence[str], masklets: Mapping[int, str]) -> NDArray[np.bool_]:
    """Bool (n_truth, n_masklets): the masklet of each true object's id: ``1``, ``1.0`` and ``001`` are the same.

    Ids of prompts come before our own numbers of the objects, which stand in our exports of pictures and in SA-V's.
    """
    by_id = {str(object_id): column for column, object_id in enumerate(masklets)}
    by_id |= {_plain_id(source_id): column for column, source_id in reversed([*enumerate(masklets.values())])}
    pairs = np.zeros((len(truth_ids), len(masklets)), np.bool_)
    for row, truth_id in enumerate(truth_ids):
        if (column := by_id.get(_plain_id(truth_id))) is not None:
            pairs[row, column] = True
    return pairs


def _shown(ids: Sequence[str]) -> str:
    return ", ".join(ids[:_MOST_SHOWN]) + (", ..." if len(ids) > _MOST_SHOWN else "")


def _plain_id(text: str) -> str:
    number = number_from_0(text)
    return text if number is None else str(number)


def _row(key: str, truth_id: str, category: str | None, found: ObjectAccuracy, object_ids: Sequence[int]) -> Row:
    status, message = "ok", None
    if not found.n_frames:
        status, message = "no_frames", "none of its annotated frames is measured"
    elif found.masklet is None:
        status, message = "no_masklet", "no masklet of its own overlaps it"
    return {
        "video_key": key,
        "truth_id": truth_id,
        "category": category,
        "status": status,
        "message": message,
        "object_id": None if found.masklet is None else object_ids[found.masklet],
        "n_frames": found.n_frames,
        "j": found.j,
        "f": found.f,
        "j_and_f": None if found.j is None or found.f is None else (found.j + found.f) / 2,
    }


def _video_row(truth: Row, objects: Sequence[Row], found: VideoAccuracy, true: _Truth) -> Row:
    """The counts of a video that its rows do not have."""
    status, message = truth["status"], truth["message"]
    if status == "ok" and not any(row["n_frames"] for row in objects):
        status, message = "no_frames", "no annotated frame with an object is measured"
        if not true.frames:
            message = "none of the frames that were read is annotated"
    return {"status": status, "message": message, "n_frames": found.n_frames, "n_masklets": found.n_masklets}


def _plain(counts: IdentityCounts) -> dict[str, Any]:
    content: dict[str, Any] = orjson.loads(orjson.dumps(counts, option=orjson.OPT_SERIALIZE_NUMPY))
    return content
