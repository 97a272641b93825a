"""Write masklets as COCO-video: an image for each frame, an annotation for each object on it."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks import rle
from maskgrid.tracked.exports.documents import Categories, Entry, video_entry
from maskgrid.tracked.masklets import Run, by_objects


def write_coco_frames(path: Path, runs: Sequence[Run], categories: Sequence[Entry], info: Mapping[str, Any]) -> None:
    """Write the masklets of all runs as one COCO document with an image for each frame that was read.

    ``images`` have ``video_id``, ``frame_id`` (0, 1, ... among the frames read) and ``frame_number`` (the video's own).
    Annotations have ``track_id`` and ``instance_id``, the object's number over all videos, which is its annotation's
    id in YouTube-VIS. There is none where the object is not visible.

    Args:
        path: the output file; replaced atomically once complete.
        runs: the runs, in the order of their ids.
        categories: COCO categories; objects without a category get one named ``object``.
        info: entries for the document's ``info``.
    """
    known = Categories.of(runs, categories)
    videos = [video_entry(video_id, run) for video_id, run in enumerate(runs, start=1)]
    named = [{name: video[name] for name in ("id", "name", "width", "height", "length")} for video in videos]
    lists = {"images": map(dumps, _images(videos)), "annotations": map(dumps, _annotations(runs, known))}
    write_document(path, known.head(info) | {"videos": named}, lists)


def _images(videos: Sequence[Entry]) -> Iterator[Entry]:
    image_id = 0
    for video in videos:
        for index, (name, number) in enumerate(zip(video["file_names"], video["frame_numbers"], strict=True)):
            image_id += 1
            yield {
                "id": image_id,
                "file_name": name,
                "width": video["width"],
                "height": video["height"],
                "video_id": video["id"],
                "frame_id": index,
                "frame_number": number,
            }


def _annotations(runs: Sequence[Run], categories: Categories) -> Iterator[Entry]:
    annotation_id = track_id = n_images = 0
    for video_id, run in enumerate(runs, start=1):
        image_ids = {number: n_images + place for place, number in enumerate(run.numbers, start=1)}
        for rows in by_objects(run.path):
            seen = [row for row in rows if row["area_px"]]
            track_id += bool(seen)
            for row in seen:
                annotation_id += 1
                yield {
                    "id": annotation_id,
                    "image_id": image_ids[row["frame"]],
                    "video_id": video_id,
                    "track_id": track_id,
                    "instance_id": track_id,
                    "category_id": categories.id_of(row),
                    "segmentation": rle.compressed(row["counts"], run.video.size_hw),
                    "bbox": row["bbox_xywh"],
                    "area": row["area_px"],
                    "iscrowd": 0,
                    # The network's probability that the object is there.
                    "score": float(1 / (1 + np.exp(-np.float64(row["object_score_logit"])))),
                    "object_id": row["object_id"],
                    "source_id": row["source_id"],
                }
        n_images += len(run.numbers)
