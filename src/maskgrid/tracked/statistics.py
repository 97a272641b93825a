"""Statistics of objects, videos and settings: lengths, gaps, coverage, and objects never seen."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.masks import rle
from maskgrid.tracked.masklets import Run, by_frames, by_objects
from maskgrid.tracked.prompts.checked import VideoPrompt
from maskgrid.tracked.videos.index import Video

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class RunStatistics:
    """The rows of ``OBJECTS`` and the row of ``SUMMARY`` for one run."""

    objects: list[Row]
    summary: Row


def run_statistics(run: Run, prompts: Sequence[VideoPrompt], setting: str) -> RunStatistics:
    """Compute the statistics of a run.

    Args:
        run: a tracked video.
        prompts: all prompts of the video, including bad ones.
        setting: the setting's name.
    """
    tracked = {rows[0]["object_id"]: rows for rows in by_objects(run.path)}
    lost = _object_rows(prompts, run.video.video_key, setting, set(tracked), run.origin)
    objects = sorted(
        [*lost, *(_object_row(rows, run, prompts, setting) for rows in tracked.values())],
        key=lambda row: int(row["object_id"]),
    )
    return RunStatistics(objects, _summary_row(run, objects, setting))


def lost_statistics(video_key: str, video: Video | None, prompts: Sequence[VideoPrompt], setting: str) -> RunStatistics:
    """Make the rows of a video that was not tracked, and of its prompted objects.

    Args:
        video_key: the video's key; the prompts' name for it if there is no such video.
        video: the video, if there is one.
        prompts: its prompts.
        setting: the setting's name.
    """
    objects = _object_rows(prompts, video_key, setting, set(), {})
    status, message = "no_prompt", "there is no prompt for the video" if not prompts else prompts[0].message
    if video is None or video.status != "ok":
        status = "unknown_video" if video is None else video.status
        message = "the source has no such video" if video is None else video.message
    empty = {"n_frames_read": None, "mean_length": None, "median_length": None}
    counts = {"n_objects": len(objects), "n_masklets": 0, "n_never_visible": 0, "n_gaps": 0}
    values = {"setting": setting, "video_key": video_key, "status": status, "message": message}
    return RunStatistics(objects, {**values, **empty, **counts, "masks_per_frame": None, "coverage_frac": None})


def _object_row(rows: list[Row], run: Run, prompts: Sequence[VideoPrompt], setting: str) -> Row:
    first, n_read = rows[0], len(run.numbers)
    seen = [row for row in rows if row["area_px"] > 0]
    gaps = _gaps(np.array([run.numbers.index(row["frame"]) for row in seen], np.int64))
    area_px = mean(row["area_px"] for row in seen) if seen else None
    status = ("ok", None) if seen else ("never_visible", "the network found no pixel of the object on any frame")
    return {
        "setting": setting,
        **{name: first[name] for name in ("video_key", "object_id", "source_id", "category_id", "category")},
        "status": status[0],
        "message": status[1],
        "n_prompts": sum(row.object_id == first["object_id"] and row.status == "ok" for row in prompts),
        "n_frames": len(rows),
        "n_visible": len(seen),
        "visible_frac": len(seen) / n_read,
        "first_frame": seen[0]["frame"] if seen else None,
        "last_frame": seen[-1]["frame"] if seen else None,
        "n_gaps": len(gaps),
        "longest_gap": int(gaps.max()) if len(gaps) else 0,
        "mean_area_px": area_px,
        "mean_area_frac": None if area_px is None else area_px / (run.video.size_hw[0] * run.video.size_hw[1]),
        "mean_score_logit": mean(row["object_score_logit"] for row in seen) if seen else None,
    }


def _object_rows(
    prompts: Sequence[VideoPrompt], video_key: str, setting: str, tracked: set[int], origin: Row
) -> list[Row]:
    """Rows for the prompted objects that were not tracked, with the reasons."""
    rows: dict[int, Row] = {}
    for prompt in prompts:
        if prompt.object_id in tracked or prompt.object_id in rows:
            continue
        mine = [row for row in prompts if row.object_id == prompt.object_id]
        bad = None if any(row.status == "ok" for row in mine) else mine[0]
        lost = ("not_tracked", _not_followed(prompts, origin))
        failed = origin.get("status", "ok") != "ok"
        status, message = (bad.status, bad.message) if bad is not None else lost
        rows[prompt.object_id] = {
            "setting": setting,
            "video_key": video_key,
            **{name: getattr(prompt, name) for name in ("object_id", "source_id", "category_id", "category")},
            "status": origin["status"] if failed else status,
            "message": origin["message"] if failed else message,
            "n_prompts": sum(row.status == "ok" for row in mine),
            "n_frames": 0,
            "n_visible": 0,
            "visible_frac": 0.0,
            "n_gaps": 0,
            "longest_gap": 0,
        }
    return list(rows.values())


def _not_followed(prompts: Sequence[VideoPrompt], origin: Row) -> str:
    """Why good prompts led to no mask on any frame, by the options and passes of their run."""
    frames = [row.frame for row in prompts if row.status == "ok" and row.frame is not None]
    if origin.get("passes") != [] or not frames:
        return "it was not followed"
    direction = origin["options"]["direction"]
    return f"direction: {direction} follows nobody from frame {min(frames)}, the first read: take forward or both"


def _summary_row(run: Run, objects: Sequence[Row], setting: str) -> Row:
    lengths = [row["n_visible"] for row in objects if row["n_visible"]]
    n_read = len(run.numbers)
    status, message = run.origin["status"], run.origin["message"]
    if status == "ok" and not lengths:
        reasons = {row["message"] for row in objects if row["status"] == "not_tracked"}
        reason = reasons.pop() if len(reasons) == 1 and not any(row["n_frames"] for row in objects) else None
        status, message = "no_masklets", reason or "no object was seen on any frame"
    return {
        "setting": setting,
        "video_key": run.video.video_key,
        "status": status,
        "message": message,
        "n_frames_read": n_read,
        "n_objects": len(objects),
        "n_masklets": len(lengths),
        "n_never_visible": sum(row["status"] == "never_visible" for row in objects),
        "mean_length": mean(lengths) if lengths else None,
        "median_length": float(median(lengths)) if lengths else None,
        "masks_per_frame": sum(lengths) / n_read,
        "coverage_frac": _coverage(run) / n_read,
        "n_gaps": sum(row["n_gaps"] for row in objects),
    }


def _coverage(run: Run) -> float:
    """The share of each frame under at least one mask, summed over the frames."""
    size_hw = run.video.size_hw
    total = sum(
        rle.union_area_px([mask["counts"] for mask in masks if mask["area_px"]], size_hw)
        for _, masks in by_frames(run.path)
    )
    return total / math.prod(size_hw)


def _gaps(positions: NDArray[np.int64]) -> NDArray[np.int64]:
    """Lengths of the gaps between ascending positions."""
    between = np.diff(positions) - 1
    gaps: NDArray[np.int64] = between[between > 0]
    return gaps


def settings_rows(summary: Sequence[Row], objects: Sequence[Row], parameters: Mapping[str, str | None]) -> list[Row]:
    """Make the rows of ``SETTINGS``: each setting's statistics over all its videos.

    Args:
        summary: rows of ``SUMMARY``.
        objects: rows of ``OBJECTS``.
        parameters: each setting's parameters as JSON, in the order of the rows.
    """
    return [_settings_row(name, values, summary, objects) for name, values in parameters.items()]


def _settings_row(name: str, values: str | None, summary: Sequence[Row], objects: Sequence[Row]) -> Row:
    videos = [row for row in summary if row["setting"] == name and row["n_frames_read"] is not None]
    lengths = [row["n_visible"] for row in objects if row["setting"] == name and row["n_visible"]]
    n_read = sum(row["n_frames_read"] for row in videos)
    return {
        "setting": name,
        "parameters": values,
        "n_videos": len(videos),
        **{column: sum(row[column] for row in videos) for column in ("n_masklets", "n_never_visible", "n_gaps")},
        "mean_length": mean(lengths) if lengths else None,
        "median_length": float(median(lengths)) if lengths else None,
        **{
            column: sum(row[column] * row["n_frames_read"] for row in videos) / n_read if n_read else None
            for column in ("masks_per_frame", "coverage_frac")
        },
    }
