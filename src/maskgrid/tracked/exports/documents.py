"""Write masklets as JSON documents: YouTube-VIS for all videos, SA-V's form for a single one."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.io.fingerprint import maskgrid_version
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks import rle
from maskgrid.masks.coco import CATEGORY, MEDIUM_PX, SMALL_PX
from maskgrid.tracked.masklets import Run, by_frames, by_objects

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Categories:
    """COCO's categories of masklets.

    Attributes:
        entries: COCO's ``categories``: the source's, and one for each other name.
        ids: their ids by name.
    """

    entries: list[Entry]
    ids: dict[str, int]

    @classmethod
    def of(cls, runs: Iterable[Run], categories: Sequence[Entry]) -> "Categories":
        """The source's categories, and those of all other objects; without a category it is ``object``."""
        known = [*categories]
        ids = {str(category.get("name")): int(category["id"]) for category in known}
        used = {_category_name(rows[0]) for run in runs for rows in by_objects(run.path)}
        for name in sorted(used - set(ids)):
            ids[name] = max((int(category["id"]) for category in known), default=0) + 1
            known.append({"id": ids[name], "name": name, "supercategory": CATEGORY["supercategory"]})
        return cls(known, ids)

    def id_of(self, row: Entry) -> int:
        """The id of the category of a row's object."""
        category_id = row["category_id"]
        return self.ids[_category_name(row)] if category_id is None else int(category_id)

    def head(self, info: Mapping[str, Any]) -> Entry:
        """The entries of a COCO document before its lists."""
        info = {"maskgrid_version": maskgrid_version(), **info}
        return {"info": info, "licenses": [], "categories": self.entries}


def write_youtube_vis(path: Path, runs: Sequence[Run], categories: Sequence[Entry], info: Mapping[str, Any]) -> None:
    """Write the masklets of all runs as one YouTube-VIS document.

    ``videos`` have the names of the frames read and, in ``frame_numbers``, their numbers in the video. An annotation's
    lists are as long as that, with null where the object is not visible. An object that is never visible gets no
    annotation.

    Args:
        path: the output file; replaced atomically once complete.
        runs: the runs, in the order of their ids.
        categories: COCO categories; objects without a category get one named ``object``.
        info: entries for the document's ``info``.
    """
    known = Categories.of(runs, categories)
    videos = (dumps(video_entry(video_id, run)) for video_id, run in enumerate(runs, start=1))
    write_document(path, known.head(info), {"videos": videos, "annotations": _annotations(runs, known)})


def write_sa_v(path: Path, run: Run, kind: str) -> None:
    """Write the masklets of a run in the form of SA-V's training set: for each frame a list over objects.

    ``masklet_id`` are the object ids. Frames are those that were read. SA-V's fields about places and cameras are left
    out as unknown, and ``masklet_stability_score``, because sam2's tracking has no such score.

    Args:
        path: the output file; replaced atomically once complete.
        run: the run.
        kind: ``manual`` for objects with prompts, ``auto`` for objects found automatically.
    """
    height, width = run.video.size_hw
    objects = [_object_entry(rows, run) for rows in by_objects(run.path)]
    rate_hz = run.video.frame_rate_hz
    head = {
        "video_id": run.video.video_key,
        "video_duration": None if rate_hz is None else int(run.video.n_frames or 0) / rate_hz,
        "video_frame_count": float(len(run.numbers)),
        "video_height": float(height),
        "video_width": float(width),
        "video_resolution": float(height * width),
        "frame_numbers": list(run.numbers),
        **{f"masklet_{name}": [entry[name] for entry in objects] for name in (objects[0] if objects else {"id": []})},
        "masklet_type": [kind] * len(objects),
        "masklet_num": len(objects),
        "fingerprint": run.origin["fingerprint"],
    }
    ids = [entry["id"] for entry in objects]
    write_document(path, head, {"masklet": _frame_lines(run, ids)})


def _frame_lines(run: Run, ids: list[int]) -> Iterator[bytes]:
    empty = rle.compressed(rle.encode(np.zeros(run.video.size_hw, np.bool_)), run.video.size_hw)
    tracked = by_frames(run.path)
    frame, masks = next(tracked, (-1, []))
    for number in run.numbers:
        codes = {}
        if frame == number:
            codes = {row["object_id"]: rle.compressed(row["counts"], run.video.size_hw) for row in masks}
            frame, masks = next(tracked, (-1, []))
        yield dumps([codes.get(object_id, empty) for object_id in ids])


def _object_entry(rows: list[Entry], run: Run) -> Entry:
    """SA-V's fields about a masklet."""
    height, width = run.video.size_hw
    seen = [row for row in rows if row["area_px"]]
    size_px = float(np.mean([row["area_px"] for row in seen])) if seen else 0.0
    visible = [row["area_px"] > 0 for row in rows]
    return {
        "id": rows[0]["object_id"],
        "size_rel": size_px / (height * width),
        "size_abs": size_px,
        # SA-V's classes of size are COCO's.
        "size_bucket": "small" if size_px < SMALL_PX else "medium" if size_px < MEDIUM_PX else "large",
        "visibility_changes": sum(a != b for a, b in pairwise(visible)),
        "first_appeared_frame": float(run.numbers.index(seen[0]["frame"])) if seen else None,
        "frame_count": len(seen),
        "edited_frame_count": sum(row["is_prompted"] for row in rows),
    }


def video_entry(video_id: int, run: Run) -> Entry:
    """YouTube-VIS's entry of a video."""
    stem = run.video.video_key if run.video.kind == "frames" else run.video.video_key.rpartition(".")[0]
    height, width = run.video.size_hw
    return {
        "id": video_id,
        "name": run.video.video_key,
        "width": width,
        "height": height,
        "length": len(run.numbers),
        "file_names": [f"{stem}/{name}" for name in run.frame_files],
        "frame_numbers": list(run.numbers),
    }


def _annotations(runs: Iterable[Run], categories: Categories) -> Iterator[bytes]:
    annotation_id = 0
    for video_id, run in enumerate(runs, start=1):
        for rows in by_objects(run.path):
            seen = {row["frame"]: row for row in rows if row["area_px"]}
            if seen:
                annotation_id += 1
                yield dumps(_annotation(annotation_id, video_id, seen, run, categories))


def _annotation(
    annotation_id: int, video_id: int, seen: Mapping[int, Entry], run: Run, categories: Categories
) -> Entry:
    first = next(iter(seen.values()))
    height, width = run.video.size_hw
    logits = np.array([row["object_score_logit"] for row in seen.values()], np.float64)
    rows = [seen.get(number) for number in run.numbers]
    return {
        "id": annotation_id,
        "video_id": video_id,
        "category_id": categories.id_of(first),
        "height": height,
        "width": width,
        "length": len(run.numbers),
        "segmentations": [row and rle.compressed(row["counts"], run.video.size_hw) for row in rows],
        "bboxes": [row and row["bbox_xywh"] for row in rows],
        "areas": [row and row["area_px"] for row in rows],
        "iscrowd": 0,
        # Mean of the network's probability that the object is there, over the frames on which it is visible.
        "score": float(np.mean(1 / (1 + np.exp(-logits)))),
        "object_id": first["object_id"],
        "source_id": first["source_id"],
    }


def _category_name(row: Entry) -> str:
    return str(row["category"] or CATEGORY["name"])
