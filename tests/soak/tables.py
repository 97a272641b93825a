"""Damaged tables of prompts, annotations, settings and lists: one line, or rows with a status."""

import csv
import io
import json
import logging
import os
import random
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq

from corpus import scene
from maskgrid.config.models import Config
from maskgrid.config.sweep_table import read_rows
from maskgrid.dataset.annotations.objects import PromptStatus
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.sources.listing import list_inputs
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import read_masks
from maskgrid.plan.plan import Plan, make_plan
from maskgrid.prompted.inputs import batches, inputs_of
from maskgrid.prompted.prompts import write_prompts
from maskgrid.prompted.tables import read_prompts
from maskgrid.results.accuracy.stage import read_objects, write_truth
from maskgrid.tracked.parameters import options_of, reading_of
from maskgrid.tracked.prompts.checked import frame_prompts, good_prompts, passes_of
from maskgrid.tracked.videos.index import read_videos
from maskgrid.tracked.videos.stage import write_videos
from soak.damage import damaged_bytes, edited
from soak.trials import Kind, Trial, WrongError

SIZE_HW = (40, 56)
SQUARE = np.zeros(SIZE_HW, bool)
SQUARE[5:20, 8:30] = True
CODE = rle.compressed(rle.encode(SQUARE), SIZE_HW)
RUNS = rle.uncompressed(rle.encode(SQUARE), SIZE_HW)
POLYGON = [[8, 5, 30, 5, 30, 20, 8, 20]]
IMAGES = [{"id": number, "file_name": f"{number}.png", "height": 40, "width": 56} for number in range(3)]
ANNOTATIONS = [
    {"id": 1, "image_id": 0, "category_id": 1, "bbox": [8, 5, 22, 15], "segmentation": POLYGON, "iscrowd": 0},
    {"id": 2, "image_id": 0, "category_id": 2, "bbox": [1.5, 2.5, 9, 9], "segmentation": CODE, "area": 330.0},
    {"id": 3, "image_id": 1, "category_id": 1, "bbox": [8, 5, 22, 15], "segmentation": RUNS, "iscrowd": 1},
    {"id": 4, "image_id": 2, "category_id": 1, "bbox": [0, 0, 56, 40], "segmentation": "mask.png"},
]
CATEGORIES = [{"id": 1, "name": "thing"}, {"id": 2, "name": "other", "supercategory": "x"}]
COCO = {"images": IMAGES, "annotations": ANNOTATIONS, "categories": CATEGORIES}
ROWS: list[dict[str, Any]] = [
    {"image": "0.png", "box_xyxy": [2.0, 3.0, 20.0, 18.0], "object_id": "a", "category": "thing"},
    {"image": "1.png", "point_coords": [[5.0, 6.0], [20.0, 9.0]], "point_labels": [1, 0]},
    {"image": "2.png", "box_xywh": [2.0, 3.0, 20.0, 18.0], "point_coords": [[5.0, 6.0]]},
    {"image": "0.png", "mask": CODE, "object_id": "b"},
    {"image": "1.png", "mask": "mask.png"},
]
CORNERS = [{"file_name": f"{n}.png", "x1": 2.0, "y1": 3.0, "x2": 20.0, "y2": 18.5} for n in range(3)]
VIDEO_ROWS = [
    {**{name: value for name, value in row.items() if name != "image"}, "video": "a", "frame": number % 3}
    for number, row in enumerate(ROWS)
]
VIS = {
    "videos": [{"id": 1, "file_names": ["a/0.png", "a/1.png", "a/2.png"], "height": 40, "width": 56, "length": 3}],
    "annotations": [
        {"id": 1, "video_id": 1, "category_id": 1, "segmentations": [CODE, None, RUNS], "bboxes": [[8, 5, 22, 15]] * 3},
        {
            "id": 2,
            "video_id": 1,
            "category_id": 2,
            "segmentations": [POLYGON] * 3,
            "bboxes": [None, [1, 1, 5, 5], None],
        },
    ],
    "categories": CATEGORIES,
}
FRAMES = [
    {"id": n, "video_id": 1, "file_name": f"a/{n}.png", "frame_id": n, "height": 40, "width": 56} for n in range(3)
]
COCO_VIDEO = {
    "videos": [{"id": 1, "name": "a"}],
    "images": FRAMES,
    "annotations": [{**row, "track_id": 1 + row["id"] % 2, "instance_id": 7} for row in ANNOTATIONS[:3]],
    "categories": CATEGORIES,
}
SETTINGS = [{"name": "x", "pred_iou_thresh": 0.5, "use_m2m": True}, {"name": "y", "pred_iou_thresh": 0.75}]
PATHS = [{"path": f"photos/{number}.png", "note": "a"} for number in range(3)]
TABLES = (".csv", ".parquet", ".jsonl")
# What a file is for, the forms that it may have, and its good contents.
KINDS: dict[str, tuple[tuple[str, ...], list[Any]]] = {
    "prompts": (TABLES, [ROWS, CORNERS, ROWS[:1]]),
    "coco prompts": ((".json",), [COCO]),
    "truth": ((".json",), [COCO]),
    "video prompts": (TABLES, [VIDEO_ROWS, VIDEO_ROWS[:2]]),
    "video documents": ((".json",), [VIS, COCO_VIDEO]),
    "settings": ((".csv", ".parquet"), [SETTINGS]),
    "list": ((".csv", ".parquet"), [PATHS]),
    "coco list": ((".json",), [COCO]),
    "masks": ((".json",), [{**COCO, "annotations": ANNOTATIONS[:3]}]),
}


def prepare(folder: Path) -> Trial:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    # pycocotools does not support NumPy 2's __array__ yet; harmless
    warnings.filterwarnings("ignore", "__array__ implementation", DeprecationWarning)
    os.chdir(folder)
    for name in [f"photos/{number}.png" for number in range(3)] + [f"clips/a/{number}.png" for number in range(3)]:
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(scene(*SIZE_HW, seed=len(name))).save(name)
    PIL.Image.fromarray(SQUARE).save("mask.png")
    config = plan_with("truth.json")
    index_dataset(config)

    def trial(chance: random.Random) -> Iterator[str]:
        kind = chance.choice(list(KINDS))
        suffixes, contents = KINDS[kind]
        suffix, values = chance.choice(suffixes), chance.choice(contents)
        is_whole = chance.random() < 0.7
        for _ in range(chance.choice((1, 1, 1, 2, 4)) if is_whole else 0):
            values, _ = edited(values, chance)
        content, suffix = written(values, suffix)
        if not is_whole:
            content = damaged_bytes(content, [b'{"a": [1, 2]}', written(ROWS, ".csv")[0]], chance)
        path = Path(f"given{suffix}")
        path.write_bytes(content)
        try:
            read(kind, path)
        except UserError as error:
            if any(not line.startswith("  ") for line in str(error).split("\n")[1:]):  # reasons, one to a line
                raise WrongError(f"{kind}: not one line: {error!s}") from error
            yield f"{kind} refused"
        else:
            yield f"{kind} read"

    return trial


def written(values: Any, suffix: str) -> tuple[bytes, str]:
    """A table or document as a file of this form; JSON lines where the form cannot hold it."""
    if suffix == ".json":
        return json.dumps(values, default=str).encode(), suffix
    rows = values if isinstance(values, list) else [values]
    try:
        if suffix == ".csv":
            return _csv(rows), suffix
        if suffix == ".parquet":
            stream = io.BytesIO()
            pq.write_table(pa.Table.from_pylist(rows), stream)
            return stream.getvalue(), suffix
    except (pa.ArrowException, AttributeError, TypeError, ValueError, OverflowError, UnicodeEncodeError):
        pass
    return "\n".join(json.dumps(row, default=str) for row in rows).encode(), ".csv" if suffix == ".csv" else ".jsonl"


def _csv(rows: list[Any]) -> bytes:
    stream = io.StringIO()
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(stream, names)
    writer.writeheader()
    for row in rows:
        cells = {
            name: json.dumps(value, default=str) if isinstance(value, list | dict) else value
            for name, value in row.items()
        }
        writer.writerow(cells)
    return stream.getvalue().encode()


def plan_with(file: str, **changes: Any) -> Plan:
    config = {"dataset": {"source": "photos", "ground_truth": file}, "model": {"checkpoint": "demo"}, **changes}
    return make_plan(Config.model_validate(config), Path(), Path("results"))


def read(kind: str, path: Path) -> None:
    """Read a file through the stage that reads it, and what it wrote as the next stage does."""
    if kind in READERS:
        READERS[kind](path)
    elif kind == "settings" and path.suffix != ".jsonl":
        list(read_rows(path, "sweep"))
        make_plan(Config.model_validate({"sweep": str(path)}), Path(), Path("results"))
    elif "list" in kind and path.suffix != ".jsonl":
        for item in list_inputs(str(path), Path()):
            item.key.encode()


def _prompts(path: Path) -> None:
    for use in ("box", "mask", "box_and_point") if path.suffix == ".json" else ("box",):
        plan = plan_with("truth.json", prompts={"source": str(path), "use": use})
        write_prompts(plan)
        for shard in plan.shards():
            rows = read_prompts(plan.layout.prompts, shard)
            _require_statuses(row.status for row in rows)
            usable = [row.prompt for row in rows if row.prompt is not None]
            for members in batches(usable, 2):
                given = inputs_of([usable[index] for index in members], SIZE_HW, (64, 64))
                _require_within(given.point_coords, given.box_xyxy)


def _require_within(*arrays: Any) -> None:
    for array in arrays:
        if array is not None and not (np.isfinite(array.astype(np.float32)).all()):
            raise WrongError(f"a usable prompt has no place in the image: {array}")


def _require_statuses(found: Any) -> None:
    if unknown := set(found) - set(PromptStatus):
        raise WrongError(f"unknown statuses: {unknown}")


def _truth(path: Path) -> None:
    plan = plan_with(str(path))
    write_truth(plan)
    keys = read_table(plan.layout.ground_truth("images"))["image_key"].to_pylist()
    for objects in read_objects(plan, keys).values():
        for code in objects.codes if hasattr(objects, "codes") else ():
            rle.decode(code, SIZE_HW)


def _video_prompts(path: Path) -> None:
    for use in ("mask", "box") if path.suffix == ".json" else ("mask",):
        tracking = {"source": "clips", "prompts": str(path), "use": use, "prompt_frames": "all"}
        plan = plan_with("truth.json", tracking=tracking)
        write_videos(plan)
        layout, reading = plan.layout.tracked, reading_of(plan)
        for video in read_videos(layout.files):
            prompts = good_prompts(layout.prompts, video.video_key)
            frame_prompts(prompts, video, reading)
            passes_of(prompts, video, reading, options_of(plan.tracking))


def _masks(path: Path) -> None:
    for image in read_masks(path, "--other").values():
        for code in image.codes:
            if np.prod(image.size_hw) < 1e6:
                rle.decode(code, image.size_hw)


READERS: dict[str, Callable[[Path], None]] = {
    "prompts": _prompts,
    "coco prompts": _prompts,
    "truth": _truth,
    "video prompts": _video_prompts,
    "video documents": _video_prompts,
    "masks": _masks,
}
KIND = Kind("tables", prepare, 100_000, 1000, 60.0, 6.0, "damaged tables and documents")
