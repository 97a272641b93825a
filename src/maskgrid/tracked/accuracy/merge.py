"""Tables of accuracy over all runs: by true object, by video, and by setting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any

import pyarrow as pa

from maskgrid.io.tables import read_origin, read_table, write_table
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan
from maskgrid.tracked.accuracy.identities import IdentityCounts
from maskgrid.tracked.accuracy.tables import ACCURACY, ACCURACY_SETTINGS, ACCURACY_VIDEOS, RUN_ACCURACY
from maskgrid.tracked.masklets import Run

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Accuracies:
    """The rows of ``ACCURACY``, ``ACCURACY_VIDEOS`` and ``ACCURACY_SETTINGS``."""

    objects: list[Row]
    videos: list[Row]
    settings: list[Row]


def write_accuracies(
    plan: Plan, runs: Sequence[Run], parameters: Mapping[str, str | None], origin: Origin
) -> Accuracies | None:
    """Write the tables ``accuracy``, ``accuracy_videos`` and ``accuracy_settings``; None without ground truth.

    Args:
        plan: the plan.
        runs: all runs.
        parameters: each setting's parameters as JSON, in the order of the rows.
        origin: what the tables are made from.

    Raises:
        maskgrid.io.errors.UserError: a run has not been evaluated.
    """
    if plan.tracking.ground_truth is None:
        return None
    found = accuracies(plan, runs, parameters)
    layout = plan.layout.tracked
    for path, schema, rows in (
        (layout.accuracy, ACCURACY, found.objects),
        (layout.accuracy_videos, ACCURACY_VIDEOS, found.videos),
        (layout.accuracy_settings, ACCURACY_SETTINGS, found.settings),
    ):
        write_table(path, pa.Table.from_pylist(rows, schema), origin)
    return found


def accuracies(plan: Plan, runs: Sequence[Run], parameters: Mapping[str, str | None]) -> Accuracies:
    """Join the accuracies of all runs, and summarize them; arguments as for :func:`write_accuracies`."""
    by_setting: dict[str, list[tuple[Run, list[Row], Row, IdentityCounts]]] = {name: [] for name in parameters}
    for run in sorted(runs, key=lambda run: run.video.video_key):
        path = plan.layout.tracked.run_accuracy(run.name)
        origin = read_origin(path)
        rows = read_table(path, schema=RUN_ACCURACY).to_pylist()
        by_setting[run.setting].append((run, rows, origin["video"], IdentityCounts.of(origin["counts"])))
    objects, videos, settings = list[Row](), list[Row](), list[Row]()
    for name, members in by_setting.items():
        for run, rows, video, counts in members:
            objects += [{"setting": name, **row} for row in rows]
            head = {"setting": name, "video_key": run.video.video_key, "n_masklets": video["n_masklets"]}
            state = {key: video[key] for key in ("status", "message", "n_frames")}
            videos.append({**head, **state, **_measures(rows, [counts])})
        good = [member for member in members if member[2]["status"] == "ok"]
        head = {
            "setting": name,
            "parameters": parameters[name],
            "n_videos": len(good),
            "n_masklets": sum(video["n_masklets"] for _, _, video, _ in good),
        }
        rows = [row for _, of_run, _, _ in good for row in of_run]
        settings.append({**head, **_measures(rows, [counts for *_, counts in good])})
    return Accuracies(objects, videos, settings)


def _measures(rows: Sequence[Row], counts: Iterable[IdentityCounts]) -> Row:
    """The columns that videos and settings share."""
    measured = [row for row in rows if row["n_frames"]]
    total = IdentityCounts.total(counts)
    has_masks = bool(total.n_found[0] + total.n_missed[0] + total.n_extra[0])
    return {
        "n_truth": len(measured),
        "n_matched": sum(row["object_id"] is not None for row in measured),
        **{name: mean(row[name] for row in measured) if measured else None for name in ("j", "f", "j_and_f")},
        **{name: getattr(total, name) if has_masks else None for name in ("hota", "det_a", "ass_a", "idf1")},
    }
