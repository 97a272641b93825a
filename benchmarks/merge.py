"""Measure the merge of many masks: its speed relative to orjson alone, and its memory by number of shards.

    python benchmarks/merge.py [--masks 1000000] [--shards 10 100 1000] [--repeat 3]

For each number of shards, write tables of made-up masks (discs of many sizes, a hundred per image of 640 x 480 pixels)
and merge them in a separate process; print its time and peak memory. For comparison, print the time that orjson alone
takes to write the same objects from memory to a file, one per line. Times are CPU times, medians over turns in which
both sides alternate.
"""

import argparse
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
import orjson
import pyarrow as pa
from resident import peak_mib

from maskgrid.automatic.merge import merge_annotations
from maskgrid.automatic.tables import CANDIDATES, PASS_IMAGES, SELECTIONS
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import Setting, make_setting
from maskgrid.dataset.tables import IMAGES_FILE
from maskgrid.io.tables import write_table
from maskgrid.masks import rle
from maskgrid.plan.layout import Layout
from maskgrid.plan.passes import PassRun, Recording, setting_runs

SIZE_HW, MASKS_AN_IMAGE, N_SHAPES = (480, 640), 100, 400
GENERATOR = GeneratorConfig()
RECORDING = Recording(0.0, 0.0, (0.0,), (1.0,))
_AT_ONCE = 20_000


def main() -> None:
    """Print a line for each number of shards."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--masks", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[10, 100, 1000])
    parser.add_argument("--repeat", type=int, default=1, help="turns of each side")
    parser.add_argument("--merge", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.merge:
        merge(arguments.merge)
        return
    print(f"{platform.processor() or platform.machine()}, {arguments.masks} masks, {MASKS_AN_IMAGE} an image")
    for n_shards in arguments.shards:
        with tempfile.TemporaryDirectory() as folder:
            write_tables(Path(folder), arguments.masks // MASKS_AN_IMAGE, n_shards)
            turns = [turn(Path(folder)) for _ in range(arguments.repeat)]
        merge_s, alone_s, peak = (statistics.median(figures) for figures in zip(*turns, strict=True))
        ratio = statistics.median(one / other for one, other, _ in turns)
        print(
            f"{n_shards:5} shards  merge {merge_s:.1f} s ({arguments.masks / merge_s:,.0f} masks/s), "
            f"orjson alone {alone_s:.1f} s, ratio {ratio:.1f}; peak memory {peak:.0f} MiB",
            flush=True,
        )


def turn(folder: Path) -> tuple[float, float, float]:
    """Run both sides once; return seconds of the merge and of orjson alone, and the merge's peak memory in MiB."""
    command = [sys.executable, __file__, "--merge", str(folder)]
    merge_s, peak = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return float(merge_s), orjson_alone(folder / "merged.json"), float(peak)


def setting() -> Setting:
    """The one setting, which keeps every candidate."""
    return make_setting("demo", GENERATOR, ("baseline",))


def merge(folder: Path) -> None:
    """Merge, and print this process's CPU seconds and its peak resident memory in MiB."""
    started = time.process_time()
    merge_annotations(setting(), Layout(folder), folder / "merged.json")
    print(time.process_time() - started, round(peak_mib()))


def orjson_alone(path: Path) -> float:
    """CPU seconds that orjson takes to write a file's annotations, not counting the time to read them."""
    total = 0.0
    part: list[Any] = []
    with path.open("rb") as lines, path.with_suffix(".alone").open("wb") as output:
        for line in lines:
            if not line.startswith(b'{"id":') or b'"bbox"' not in line:
                continue
            part.append(orjson.loads(line.rstrip(b",\n")))
            if len(part) == _AT_ONCE:
                total += _dump(part, output)
                part = []
        return total + _dump(part, output)


def _dump(entries: list[Any], output: IO[bytes]) -> float:
    started = time.process_time()
    for entry in entries:
        output.write(orjson.dumps(entry))
        output.write(b",\n")
    return time.process_time() - started


def write_tables(folder: Path, n_images: int, n_shards: int) -> None:
    """Write the index, and each shard's candidates and selections."""
    layout, (run,) = Layout(folder), setting_runs(setting())
    keys = [f"{number:06d}.jpg" for number in range(n_images)]
    shards = [f"s{number % n_shards}" for number in range(n_images)]
    n = len(keys)
    columns = {
        "image_key": keys,
        "status": ["ok"] * n,
        "width": pa.array([SIZE_HW[1]] * n, pa.int32()),
        "height": pa.array([SIZE_HW[0]] * n, pa.int32()),
        "exif_orientation": pa.array([1] * n, pa.int8()),
        "sha256": ["0" * 64] * n,
        "shard": shards,
    }
    write_table(folder / "dataset" / IMAGES_FILE, pa.table(columns), {})
    shapes = list(make_shapes())
    for shard in range(n_shards):
        _write_shard(layout, f"s{shard}", keys[shard::n_shards], shapes, run)


def make_shapes() -> Iterator[tuple[bytes, list[int], int]]:
    """Make discs: their RLE codes, boxes and areas."""
    random = np.random.default_rng(0)
    y, x = np.ogrid[: SIZE_HW[0], : SIZE_HW[1]]
    for _ in range(N_SHAPES):
        mask = (y - random.integers(SIZE_HW[0])) ** 2 + (x - random.integers(SIZE_HW[1])) ** 2
        mask = mask <= random.uniform(3, 90) ** 2
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        yield rle.encode(mask), [columns[0], rows[0], columns[-1], rows[-1]], int(mask.sum())


def _write_shard(layout: Layout, shard: str, keys: list[str], shapes: list[Any], run: PassRun) -> None:
    n = len(keys) * MASKS_AN_IMAGE
    random = np.random.default_rng(1)
    chosen = random.integers(len(shapes), size=n)
    key_column = pa.DictionaryArray.from_arrays(np.repeat(np.arange(len(keys), dtype=np.int32), MASKS_AN_IMAGE), keys)
    ids = np.tile(np.arange(MASKS_AN_IMAGE, dtype=np.int32), len(keys))
    boxes = np.array([box for _, box, _ in shapes], np.int32)[chosen]
    candidates = [
        key_column,
        ids,
        np.zeros(n, np.int16),
        _lists(random.random((n, 2), np.float32) * 480, None),
        random.random(n, np.float32),
        np.zeros(n),
        _lists(random.random((n, 1), np.float32), None),
        np.zeros(n, np.bool_),
        _lists(boxes, 4),
        np.array([area for _, _, area in shapes], np.int32)[chosen],
        pa.array([code for code, _, _ in shapes], pa.binary()).take(pa.array(chosen)),
    ]
    origin = {"recording": RECORDING.as_dict()}
    arrays = [
        pa.array(column, field.type) if isinstance(column, np.ndarray) else column.cast(field.type)
        for column, field in zip(candidates, CANDIDATES, strict=True)
    ]
    write_table(layout.candidates(run, shard), pa.table(arrays, schema=CANDIDATES), origin)
    of_images = {
        "image_key": keys,
        "status": ["ok"] * len(keys),
        "message": [None] * len(keys),
        "height": [SIZE_HW[0]] * len(keys),
        "width": [SIZE_HW[1]] * len(keys),
        "crop_boxes_xyxy": [[[0, 0, SIZE_HW[1], SIZE_HW[0]]]] * len(keys),
        "proposed_iou": [[]] * len(keys),
    }
    write_table(layout.pass_images(run, shard), pa.table(of_images, schema=PASS_IMAGES), origin)
    setting_column = pa.DictionaryArray.from_arrays(np.zeros(n, np.int32), [setting().id])
    nothing = [pa.nulls(n, SELECTIONS.field(name).type) for name in ("counts", "area_px", "box_xyxy")]
    selected = [setting_column, key_column, pa.array(ids), pa.array(np.zeros(n, np.int16)), pa.array(ids), *nothing]
    write_table(layout.selections(shard), pa.table(selected, schema=SELECTIONS), {})


def _lists(values: np.ndarray, size: int | None) -> pa.Array:
    flat = pa.array(values.ravel())
    if size:
        return pa.FixedSizeListArray.from_arrays(flat, size)
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, flat)


if __name__ == "__main__":
    main()
