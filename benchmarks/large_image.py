"""An image larger than memory allows: the memory and time of each stage, and whether seams between tiles lose objects.

Draws a square TIFF, JPEG or PNG of discs and ellipses on a rough ground, strip by strip, and runs index, generate,
replay and merge on it, each in a process of its own:

    python benchmarks/large_image.py --side 30000 --points 8 --folder /tmp/large

With ``--tiles-per-job`` several jobs share the tiles; with ``--jobs`` only the first of them run, and nothing after.

An object is found if a mask has an IoU of 0.5 or more with it, doubled if several have, lost if none has.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile
from numpy.typing import NDArray

from maskgrid.automatic.generate.tile_jobs import n_tile_jobs
from maskgrid.masks import rle
from maskgrid.plan.tiles import tile_boxes

_CELL_PX, _SEGMENT_PX = 250, 512
_FOUND_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Shape:
    """An ellipse: its centre, half axes, angle in degrees, and colour."""

    x: int
    y: int
    half_axes: tuple[int, int]
    degrees: int
    rgb: tuple[int, int, int]

    @property
    def reach_px(self) -> int:
        """How far it reaches from its centre."""
        return max(self.half_axes) + 1

    def draw(self, pixels: NDArray[np.uint8], corner_xy: tuple[int, int], value: Any) -> None:  # noqa: ANN401
        """Draw it into a part of the image."""
        centre = self.x - corner_xy[0], self.y - corner_xy[1]
        cv2.ellipse(pixels, centre, self.half_axes, self.degrees, 0, 360, value, -1)

    def code(self, size_hw: tuple[int, int]) -> bytes:
        """Its mask in the image."""
        x0, y0 = max(0, self.x - self.reach_px), max(0, self.y - self.reach_px)
        x1, y1 = min(size_hw[1], self.x + self.reach_px + 1), min(size_hw[0], self.y + self.reach_px + 1)
        window = np.zeros((y1 - y0, x1 - x0), np.uint8)
        self.draw(window, (x0, y0), 1)
        return rle.encode_window(window.astype(np.bool_), (y0, x0), size_hw)


def shapes(side_px: int) -> list[Shape]:
    """One ellipse a cell, apart from each other; some touch seams."""
    rng = np.random.default_rng(5)
    found = []
    for row in range(side_px // _CELL_PX):
        for column in range(side_px // _CELL_PX):
            axes = int(rng.integers(28, 80)), int(rng.integers(28, 80))
            room = _CELL_PX // 2 - max(axes) - 4
            x, y = (int(cell * _CELL_PX + _CELL_PX // 2 + rng.integers(-room, room + 1)) for cell in (column, row))
            rgb = tuple(int(value) for value in rng.integers((150, 60, 40), (256, 200, 160)))
            found.append(Shape(x, y, axes, int(rng.integers(180)), rgb))  # type: ignore[arg-type]
    return found


def write_image(path: Path, side_px: int, things: list[Shape]) -> None:
    """Write the image as a tiled BigTIFF of uint8 RGB, compressed by deflate, one row of tiles at a time."""
    rng = np.random.default_rng(6)
    noise = rng.integers(0, 26, (_SEGMENT_PX, 4 * _SEGMENT_PX, 3), np.uint8)

    def segments() -> Iterator[NDArray[np.uint8]]:
        for top in range(0, side_px, _SEGMENT_PX):
            width = -(-side_px // _SEGMENT_PX) * _SEGMENT_PX
            rough = np.tile(noise, (1, -(-width // noise.shape[1]), 1))[:, :width]
            strip = rough + np.array([40, 70, 60], np.uint8)
            for thing in things:
                if -thing.reach_px <= thing.y - top <= _SEGMENT_PX + thing.reach_px:
                    thing.draw(strip, (0, top), thing.rgb)
            strip = np.where(strip > 229, strip, strip + rough // 2).astype(np.uint8)
            for left in range(0, width, _SEGMENT_PX):
                yield np.ascontiguousarray(strip[:, left : left + _SEGMENT_PX])

    options: dict[str, Any] = {"photometric": "rgb", "tile": (_SEGMENT_PX, _SEGMENT_PX), "compression": "zlib"}
    with tifffile.TiffWriter(path, bigtiff=True) as file:
        file.write(segments(), shape=(side_px, side_px, 3), dtype=np.uint8, compressionargs={"level": 1}, **options)


def convert(path: Path, suffix: str) -> Path:
    """Write a TIFF as a JPEG or PNG in its place, strip by strip."""
    import pyvips

    converted = path.with_suffix(suffix)
    picture = pyvips.Image.new_from_file(str(path), access="sequential")
    picture.write_to_file(str(converted), **({"Q": 90} if suffix == ".jpg" else {"compression": 1}))
    path.unlink()
    return converted


def run(folder: Path, *words: str) -> dict[str, float]:
    """Run a command of maskgrid; the seconds it took, and the most memory it had, in GB."""
    command = [sys.executable, "-m", "maskgrid", *words, "--config", str(folder / "config.yaml")]
    command += ["--results", str(folder / "results")]
    start_s = time.monotonic()
    pid = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    found = {"seconds": round(time.monotonic() - start_s, 1), "peak_gb": round(usage.ru_maxrss / 1e6, 2)}
    print(" ".join(words[:5]), found, flush=True)
    return found


def crosses_seam(thing: Shape, edges: tuple[NDArray[np.int64], NDArray[np.int64]]) -> bool:
    """Whether an inner edge of a tile cuts a thing's box."""
    return any(
        bool(((lines > at - thing.reach_px) & (lines < at + thing.reach_px)).any())
        for lines, at in zip(edges, (thing.x, thing.y), strict=True)
    )


def tally(path: Path, side_px: int, things: list[Shape], tile_px: tuple[int, int]) -> dict[str, dict[str, int]]:
    """How many of the things have one mask, several or none, where seams cut them and elsewhere."""
    size_hw = (side_px, side_px)
    masks = json.loads(path.read_text())["annotations"]
    boxes = np.array([mask["bbox"] for mask in masks], np.float64).reshape(-1, 4)
    boxes[:, 2:] += boxes[:, :2]
    tiles = np.array(tile_boxes(size_hw, *tile_px), np.int64).reshape(-1, 4)
    inner = [np.unique(tiles[:, columns]) for columns in ([0, 2], [1, 3])]
    edges = tuple(lines[(lines > 0) & (lines < side_px)] for lines in inner)
    found: dict[str, dict[str, int]] = {}
    for thing in things:
        reach = thing.reach_px
        near = (np.abs(boxes - [thing.x - reach, thing.y - reach, thing.x + reach, thing.y + reach]) < reach).all(1)
        codes = [masks[place]["segmentation"]["counts"].encode() for place in np.flatnonzero(near)]
        n = int((rle.pairwise_iou(codes, [thing.code(size_hw)], size_hw) >= _FOUND_IOU).sum())
        place = "cut by a seam" if crosses_seam(thing, edges) else "elsewhere"  # type: ignore[arg-type]
        counts = found.setdefault(place, {"objects": 0, "found once": 0, "doubled": 0, "lost": 0})
        counts["objects"] += 1
        counts["lost" if n == 0 else "found once" if n == 1 else "doubled"] += 1
    return found


def main() -> None:
    """Draw, run and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--side", type=int, default=12_000)
    parser.add_argument("--tile", type=int, default=1024)
    parser.add_argument("--points", type=int, default=16)
    parser.add_argument("--max-pixels", type=int, default=100_000_000)
    parser.add_argument("--filters", default="{}", help="the config's section, as JSON")
    parser.add_argument("--format", choices=("tif", "jpg", "png"), default="tif")
    parser.add_argument("--tiles-per-job", type=int, help="share the tiles among jobs of so many")
    parser.add_argument("--jobs", type=int, help="run only so many of these jobs, and nothing after them")
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    folder: Path = options.folder.absolute()
    (folder / "source").mkdir(parents=True, exist_ok=True)
    things, image = shapes(options.side), folder / "source" / f"{options.side}.{options.format}"
    if not image.is_file():
        drawn = image.with_suffix(".tif")
        write_image(drawn, options.side, things)
        if image != drawn:
            convert(drawn, image.suffix)
    dataset = {"source": str(folder / "source"), "max_pixels": options.max_pixels, "ground_truth": None}
    config = {
        "dataset": {**dataset, "tiles_per_job": options.tiles_per_job},
        "model": {"checkpoint": "demo", "device": "cpu"},
        "generator": {"tile_size_px": options.tile, "points_per_side": options.points},
        "filters": json.loads(options.filters),
        "exports": [],
    }
    (folder / "config.yaml").write_text(json.dumps(config))
    figures: dict[str, Any] = {"index": run(folder, "index")}
    whole = ("--checkpoint", "demo", "--pass", f"crop0-grid{options.points}", "--shard", "all")
    figures["whole image"] = run(folder, "generate", *whole)
    tile_px = (options.tile, options.tile // 3)
    figures |= run_tiles(folder, options, tile_px)
    if options.jobs is None:
        figures["replay"] = run(folder, "replay", "--shard", "all")
        run(folder, "gather")
        figures["merge"] = run(folder, "merge", "--setting", "baseline")
        figures["objects"] = tally(folder / "results/annotations/baseline.json", options.side, things, tile_px)
    print(json.dumps(figures, indent=1))


def run_tiles(folder: Path, options: argparse.Namespace, tile_px: tuple[int, int]) -> dict[str, dict[str, float]]:
    """Run the pass over the tiles: in one job, or in several that share them and one that writes the tables."""
    size_hw = (options.side, options.side)
    n_tiles, n_jobs = len(tile_boxes(size_hw, *tile_px)), n_tile_jobs([size_hw], tile_px, options.tiles_per_job)
    of_pass = (
        "--checkpoint",
        "demo",
        "--pass",
        f"tile{tile_px[0]}-{tile_px[1]}-grid{options.points}",
        "--shard",
        "all",
    )
    figures = {}
    for job in range(1, min(n_jobs, options.jobs or n_jobs) + 1):
        figures[f"tiles, job {job} of {n_jobs}"] = run(folder, "tiles", *of_pass, "--job", str(job))
    if options.jobs is None:
        figures["tiles"] = run(folder, "generate", *of_pass) | {"n_tiles": n_tiles}
        figures["tiles"]["seconds_a_tile"] = round(figures["tiles"]["seconds"] / n_tiles, 3)
    return figures


if __name__ == "__main__":
    main()
