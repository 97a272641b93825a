"""A sweep of thresholds, by maskgrid and by sam2's own generator, on the same images in one run.

    python benchmarks/sweep.py [PHOTO ...] [--checkpoint demo] [--compare 3]

maskgrid runs the network once an image and replays every setting; sam2 runs once a setting. sam2 is timed on a few
settings (``--compare``), which are also compared mask by mask; the time of all settings is that of one times their
number. Without photographs named, those of the demo are taken.
"""

import argparse
import platform
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.modeling.sam2_base import SAM2Base

import maskgrid
from maskgrid.demo import write_demo
from maskgrid.fingerprint import package_versions
from maskgrid.images import read_image
from maskgrid.predictor import fit_feature_sizes

GRID = {
    "pred_iou_thresh": (0.5, 0.6, 0.7, 0.8, 0.9),
    "stability_score_thresh": (0.7, 0.8, 0.9, 0.95),
    "box_nms_thresh": (0.5, 0.7, 0.9),
}


def main() -> int:
    """Print both sides and the differences; exit code 1 if there is any."""
    arguments = parse()
    warnings.filterwarnings("ignore", message=".*torch.jit.*")
    model = maskgrid.load_model(arguments.checkpoint, device=arguments.device)
    settings = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
    images = [read_image(path, 100_000_000).pixels for path in arguments.photos or demo_photos()]
    network = {"points_per_side": arguments.points_per_side}
    print(f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, {model.device}")
    print(", ".join(f"{name} {version}" for name, version in package_versions().items()))
    print(
        f"{len(images)} images, {len(settings)} settings, {arguments.points_per_side}**2 points, {arguments.checkpoint}"
    )

    network_s, replay_s, ours = run_maskgrid(model, images, network, settings)
    chosen = [round(index) for index in np.linspace(0, len(settings) - 1, arguments.compare)]
    sam2_s, differences, n_masks = [], 0, 0
    for index in chosen:
        started = time.perf_counter()
        theirs = list(run_sam2(model, images, {**network, **settings[index]}))
        sam2_s.append(time.perf_counter() - started)
        differences += sum(map(count_differences, ours[index], theirs))
        n_masks += sum(map(len, theirs))
    per_setting = statistics.median(sam2_s)
    print(f"maskgrid  network {network_s:.1f} s, replay of {len(settings)} settings {replay_s:.1f} s")
    all_s = per_setting * len(settings)
    print(f"sam2      {per_setting:.1f} s a setting (median of {len(chosen)}), {all_s:.0f} s for all")
    print(f"ratio     one setting {per_setting / network_s:.1f}x, all {all_s / (network_s + replay_s):.0f}x")
    print(f"compared  {len(chosen)} settings, {n_masks} masks, {differences} differences")
    return int(differences > 0)


def parse() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--checkpoint", default="demo")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--points-per-side", type=int, default=32)
    parser.add_argument("--compare", type=int, default=3, help="settings to run with sam2 as well")
    return parser.parse_args()


def demo_photos() -> list[Path]:
    """The photographs of the demo's dataset."""
    folder = Path(tempfile.mkdtemp())
    write_demo(folder)
    return sorted(folder.glob("photos/*.png"))


def run_maskgrid(
    model: SAM2Base, images: list[Any], network: dict[str, Any], settings: list[dict[str, Any]]
) -> tuple[float, float, list[list[Any]]]:
    """Seconds of the network, seconds of the replay, and the masks by setting and image."""
    floor = {name: min(values) for name, values in GRID.items()}
    generator = maskgrid.MaskGenerator(model, **network, **floor, output_mode="coco_rle")
    started = time.perf_counter()
    candidates = [generator.candidates(image) for image in images]
    network_s = time.perf_counter() - started
    started = time.perf_counter()
    masks = [[generator.replay(parts, **setting) for parts in candidates] for setting in settings]
    return network_s, time.perf_counter() - started, masks


def run_sam2(model: SAM2Base, images: list[Any], parameters: dict[str, Any]) -> Iterator[list[dict[str, Any]]]:
    """sam2's masks of each image."""
    generator = SAM2AutomaticMaskGenerator(model, **parameters, output_mode="coco_rle")
    fit_feature_sizes(generator.predictor)
    for image in images:
        yield generator.generate(image)


def count_differences(ours: list[Any], theirs: list[Any]) -> int:
    """Masks that are not equal in every field, in order, and masks that one side alone has."""
    return abs(len(ours) - len(theirs)) + sum(a != b for a, b in zip(ours, theirs, strict=False))


if __name__ == "__main__":
    sys.exit(main())
