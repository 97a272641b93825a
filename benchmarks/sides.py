"""Shared by the benchmarks: start the sides, compare their masks, and describe the machine."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

import torch

from maskgrid.dataset.demo.images import write_demo
from maskgrid.io.fingerprint import package_versions

# A sweep of one hundred settings.
GRID = {
    "pred_iou_thresh": (0.5, 0.6, 0.7, 0.8, 0.9),
    "stability_score_thresh": (0.7, 0.8, 0.9, 0.92, 0.95),
    "box_nms_thresh": (0.5, 0.6, 0.7, 0.9),
}
SWEEP = [dict(zip(GRID, values, strict=True)) for values in product(*GRID.values())]
# sam2's defaults, and the sweep's loosest score thresholds for the demo's small model, which is less sure of its masks.
DEFAULT = {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.95, "box_nms_thresh": 0.7}
DEMO = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.7, "box_nms_thresh": 0.7}


@dataclass(frozen=True, slots=True)
class Cost:
    """The cost of one side, and its masks.

    Attributes:
        network_s: wall seconds of the network; for sam2, one value per setting.
        cpu_s: CPU seconds of the same.
        peak_mib: peak memory above that with the weights and the images loaded.
        replay_s: wall seconds of the replay of all settings.
        n_candidates: masks that the replay chooses from.
        masks: mask records for every asked setting and image.
    """

    network_s: list[float]
    cpu_s: list[float]
    peak_mib: float
    replay_s: float
    n_candidates: int
    masks: list[list[list[dict[str, Any]]]]


def parser(description: str | None, architecture: str = "demo") -> argparse.ArgumentParser:
    """Make a command line with the options that all benchmarks share."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("files", nargs="*", type=Path, metavar="PHOTO")
    made.add_argument("--photos", type=int, help="how many of the demo's photographs to use (default: all)")
    made.add_argument("--architecture", default=architecture, help="demo, tiny, small, base_plus or large")
    made.add_argument("--device", default="auto")
    made.add_argument("--points-per-side", type=int, default=32)
    made.add_argument("--threads", type=int, default=torch.get_num_threads())
    return made


def run_side(
    side: str,
    arguments: argparse.Namespace,
    settings: list[dict[str, float]],
    asked: list[int] | None = None,
    megapixels: float | None = None,
    dtype: str = "float32",
) -> Cost:
    """Run ``sam2``, ``exact`` or ``fast`` in its own process.

    Args:
        side: which of the three.
        arguments: parsed by :func:`parser`.
        settings: sam2 runs each; maskgrid runs the network at the loosest and replays each.
        asked: indices of the settings whose masks maskgrid returns; None means all.
        megapixels: enlarge the photographs to this size.
        dtype: below float32, the network runs under ``torch.autocast``.
    """
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "masks.json"
        photos = arguments.files or demo_photos(Path(folder))[: arguments.photos]
        task = {
            "side": side,
            "architecture": arguments.architecture,
            "device": arguments.device,
            "dtype": dtype,
            "threads": arguments.threads,
            "photos": [str(path) for path in photos],
            "megapixels": megapixels,
            "network": {"points_per_side": arguments.points_per_side},
            "settings": settings,
            "asked": list(range(len(settings))) if asked is None else asked,
            "output": str(output),
        }
        # Without MALLOC_* variables, sam2 runs with glibc's defaults.
        environment = {name: value for name, value in os.environ.items() if not name.startswith("MALLOC_")}
        program = [sys.executable, str(Path(__file__).with_name("side.py"))]
        done = subprocess.run(
            program, input=json.dumps(task).encode(), stdout=subprocess.PIPE, check=True, env=environment
        )
        report = json.loads(done.stdout)
        masks = json.loads(output.read_bytes())
    return Cost(
        report["network_s"],
        report["cpu_s"],
        report["peak_mib"],
        report.get("replay_s", 0.0),
        report.get("n_candidates", 0),
        masks,
    )


def demo_photos(folder: Path) -> list[Path]:
    """Write the demo's dataset and return its photographs."""
    write_demo(folder)
    return sorted(folder.glob("photos/*.png"))


def count_differences(ours: Cost, theirs: Cost) -> int:
    """Count masks that differ in any field, compared in order, and masks that only one side has."""
    differences = 0
    for our_setting, their_setting in zip(ours.masks, theirs.masks, strict=True):
        for our, their in zip(our_setting, their_setting, strict=True):
            differences += abs(len(our) - len(their)) + sum(a != b for a, b in zip(our, their, strict=False))
    return differences


def machine(arguments: argparse.Namespace) -> str:
    """Describe the machine, the versions and the task in three lines."""
    where = f"{_processor()}, {arguments.threads} threads, load {os.getloadavg()[0]:.1f}"
    if torch.cuda.is_available():
        where += f", {torch.cuda.get_device_name()}"
    versions = ", ".join(f"{name} {version}" for name, version in package_versions().items())
    what = f"{arguments.architecture}, {arguments.points_per_side}**2 points, {arguments.device}"
    return f"{where}\n{versions}\n{what}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
