"""Run one side of a comparison in its own process: sam2's generator, or maskgrid in one of its modes.

Reads a task as JSON from stdin and prints its cost as JSON; the other benchmarks start it. In its own process, peak
memory is that of one side, and sam2 runs with the default allocator.
"""

import sys
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import resident
import torch
from numpy.typing import NDArray
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from synthetic_model import make_model

import maskgrid
from maskgrid.automatic.replay.filters import Replay
from maskgrid.config.settings import GeneratorConfig
from maskgrid.dataset.pixels.images import read_image
from maskgrid.network.model import DTYPES, run_in
from maskgrid.network.predictor import fit_feature_sizes

Image = NDArray[np.uint8]
# For every setting and image, a list of mask records.
Masks = list[list[list[dict[str, Any]]]]


def main() -> None:
    """Run the task from stdin."""
    task = orjson.loads(sys.stdin.buffer.read())
    if task["side"] != "sam2":
        maskgrid.keep_freed_memory()
    torch.set_num_threads(task["threads"])
    model = make_model(task["architecture"], task["device"])
    dtype = DTYPES[task["dtype"]]
    if dtype != torch.float32 and task["side"] != "sam2":
        run_in(model, model.device, dtype)
    images = [_sized(read_image(Path(path), 200_000_000).pixels, task["megapixels"]) for path in task["photos"]]
    before_mib = peak_mib(model.device)
    run = sam2_side if task["side"] == "sam2" else maskgrid_side
    # sam2's NMS accepts scores of lower precision only under autocast, which is also how sam2 is used.
    lower = task["side"] == "sam2" and dtype != torch.float32
    with torch.autocast(model.device.type, dtype=dtype) if lower else nullcontext():
        seconds, masks = run(task, model, images)
    if task["output"]:
        Path(task["output"]).write_bytes(orjson.dumps(masks))
    report = {
        **seconds,
        "peak_mib": peak_mib(model.device) - before_mib,
    }
    sys.stdout.buffer.write(orjson.dumps(report))


def sam2_side(task: dict[str, Any], model: Any, images: list[Image]) -> tuple[dict[str, Any], Masks]:  # noqa: ANN401
    """Run sam2's generator with each setting; return seconds and masks per setting."""
    walls, cpus, masks = [], [], []
    for setting in task["settings"]:
        generator = SAM2AutomaticMaskGenerator(model, **task["network"], **setting, output_mode="coco_rle")
        fit_feature_sizes(generator.predictor)
        warm_up(model.device, generator.generate, images)
        wall_s, cpu_s, found = timed(lambda generator=generator: [generator.generate(image) for image in images])
        walls.append(wall_s)
        cpus.append(cpu_s)
        masks.append(found)
    return {"network_s": walls, "cpu_s": cpus}, masks


def maskgrid_side(task: dict[str, Any], model: Any, images: list[Image]) -> tuple[dict[str, Any], Masks]:  # noqa: ANN401
    """Run the network at the loosest of all settings and replay all; return seconds, and the asked settings' masks."""
    floor = {name: min(setting[name] for setting in task["settings"]) for name in task["settings"][0]}
    parameters = {**task["network"], **floor, "output_mode": "coco_rle"}
    # Another generator, so that the comparison with sam2's decoder on the first batch still counts in the time.
    warm_up(model.device, maskgrid.MaskGenerator(model, mode=task["side"], **parameters).candidates, images)
    generator = maskgrid.MaskGenerator(model, mode=task["side"], **parameters)
    wall_s, cpu_s, candidates = timed(lambda: [generator.candidates(image) for image in images])
    base = generator.parameters.model_dump()
    configs = [GeneratorConfig.model_validate({**base, **setting}) for setting in task["settings"]]
    # Like the replay stage: one Replay per image for all settings.
    replays = [Replay({part.pass_.name: part for part in parts}) for parts in candidates]
    replay_s, _, _ = timed(lambda: [[replay.select(config) for config in configs] for replay in replays])
    asked = [task["settings"][index] for index in task["asked"]]
    masks = [[generator.replay(parts, **setting) for parts in candidates] for setting in asked]
    n_candidates = sum(len(part.rows) for parts in candidates for part in parts)
    return {"network_s": [wall_s], "cpu_s": [cpu_s], "replay_s": replay_s, "n_candidates": n_candidates}, masks


def warm_up(device: torch.device, work: Callable[[Image], Any], images: list[Image]) -> None:
    """Run once on CUDA, so that the start-up of its libraries counts in neither side's time."""
    if device.type == "cuda":
        work(images[0])


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Return wall seconds, CPU seconds and the result."""
    wall_s, cpu_s = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall_s, time.process_time() - cpu_s, result


def peak_mib(device: torch.device) -> float:
    """Peak memory so far in MiB: torch's on a CUDA device, otherwise this process's."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resident.peak_mib()


def _sized(pixels: Image, megapixels: float | None) -> Image:
    """Tile the photograph and cut it to 4:3 with this many megapixels; None leaves it as it is."""
    if megapixels is None:
        return pixels
    height, width = round((megapixels * 1e6 * 3 / 4) ** 0.5), round((megapixels * 1e6 * 4 / 3) ** 0.5)
    times = -(-height // pixels.shape[0]), -(-width // pixels.shape[1])
    return np.ascontiguousarray(np.tile(pixels, (*times, 1))[:height, :width])


if __name__ == "__main__":
    main()
