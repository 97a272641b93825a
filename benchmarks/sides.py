"""What the benchmarks share: starting the sides, comparing their masks, and saying on what they ran."""

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
# sam2's defaults; and the loosest of the sweep for the demo's small model, which is less sure of its masks.
DEFAULT = {"pred_iou_thresh": 0.8, "stability_score_thresh": 0.95, "box_nms_thresh": 0.7}
DEMO = {"pred_iou_thresh": 0.5, "stability_score_thresh": 0.7, "box_nms_thresh": 0.7}


@dataclass(frozen=True, slots=True)
class Cost:
    """What a side took.

    Attributes:
        network_s: wall seconds of the network, one number a setting with sam2.
        cpu_s: CPU seconds of the same.
        peak_mib: memory at its largest, above that with the weights and the images loaded.
        replay_s: wall seconds of the replay of all settings.
        n_candidates: masks that a replay chooses from.
        masks: records of every asked setting and image.
    """

    network_s: list[float]
    cpu_s: list[float]
    peak_mib: float
    replay_s: float
    n_candidates: int
    masks: list[list[list[dict[str, Any]]]]


def parser(description: str | None, architecture: str = "demo") -> argparse.ArgumentParser:
    """A command line with what all benchmarks take."""
    made = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("files", nargs="*", type=Path, metavar="PHOTO")
    made.add_argument("--photos", type=int, help="of the demo's photographs, so many; all by default")
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
    """Run ``sam2``, ``exact`` or ``fast`` in a process of its own.

    Args:
        side: which.
        arguments: of :func:`parser`.
        settings: sam2 runs each; maskgrid runs the network at the loosest and replays each.
        asked: positions of the settings whose masks maskgrid gives back; all by default.
        megapixels: enlarge the photographs to this size.
        dtype: below float32 the network's parts run under ``torch.autocast``.
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
        # Without a choice of its own, sam2 runs with glibc's defaults.
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
    """The photographs of the demo's dataset."""
    write_demo(folder)
    return sorted(folder.glob("photos/*.png"))


def count_differences(ours: Cost, theirs: Cost) -> int:
    """Masks that are not equal in every field, in order, and masks that one side alone has."""
    differences = 0
    for our_setting, their_setting in zip(ours.masks, theirs.masks, strict=True):
        for our, their in zip(our_setting, their_setting, strict=True):
            differences += abs(len(our) - len(their)) + sum(a != b for a, b in zip(our, their, strict=False))
    return differences


def machine(arguments: argparse.Namespace) -> str:
    """The machine, the versions and what is measured, in three lines."""
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
