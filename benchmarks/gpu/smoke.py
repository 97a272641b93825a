"""What else runs on a device: refinement, crops, levels, lower precisions, prompts, objects found in a clip."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch

from gpu.check import Check, Image
from gpu.frames import JpegFrames
from gpu.measure import Result, attempt
from maskgrid import MaskGenerator, Prompter, load_model, load_tracker
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.dataset.annotations.objects import Prompt
from maskgrid.dataset.demo import draw_clip
from maskgrid.masks.rle import area_px, encode
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.discovery import track_automatically

_SIZE_HW = (240, 360)
_CASES: dict[str, dict[str, Any]] = {
    "levels": {},
    "m2m": {"use_m2m": True},
    "crops": {"crop_n_layers": 1},
    "one mask a point": {"multimask_output": False},
}


def smoke(check: Check) -> Iterator[Result]:
    """Counts and areas beside the CPU's, for comparison by eye: a few pixels may differ."""
    image = check.image(_SIZE_HW)
    for mode in ("exact", "fast"):
        for name, parameters in _CASES.items():
            yield from _beside_cpu(
                f"{name}, {mode}", check, lambda device, m=mode, p=parameters: _candidates(image, device, m, **p)
            )
        for dtype in ("bfloat16", "float16") if check.is_cuda else ("bfloat16",):
            yield from attempt({"check": f"{dtype}, m2m, {mode}"}, _in_lower_precision(check, mode, dtype))
    yield from _beside_cpu("given objects", check, lambda device: _given(image, device))
    yield from _beside_cpu("found objects of a clip", check, _found)


def _beside_cpu(name: str, check: Check, work: Callable[[torch.device], object]) -> Iterator[Result]:
    def results() -> Iterator[Result]:
        there, here = work(check.device), work(torch.device("cpu"))
        yield {"result": {"device": there, "cpu": here}, "equal": there == here}

    yield from attempt({"check": name}, results())


def _in_lower_precision(check: Check, mode: str, dtype: str) -> Iterator[Result]:
    yield {"result": _candidates(check.image(_SIZE_HW), check.device, mode, dtype, use_m2m=True)}


def _candidates(
    image: Image, device: torch.device, mode: str, dtype: str = "float32", **parameters: object
) -> tuple[list[int], int]:
    """Candidates per pass, and their area."""
    model = load_model("demo", device=str(device), dtype=dtype)
    given: dict[str, Any] = {"points_per_side": 6, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3, **parameters}
    generator = MaskGenerator(model, mode=mode, **given)
    parts = generator.candidates(image, mask_thresholds=[-1.0], stability_score_offsets=[0.5])
    return [len(part.rows) for part in parts], sum(int(part.rows.area_px.sum()) for part in parts)


def _given(image: Image, device: torch.device) -> list[list[int]]:
    """Areas of the masks of a box, a mask and a click."""
    config = PromptConfig(source="demo", prompts_per_batch=2, refine_rounds=1, max_hole_area=5, max_sprinkle_area=5)
    mask = np.zeros(image.shape[:2], np.bool_)
    mask[20:60, 30:90] = True
    prompts = [
        Prompt(box_xyxy=np.array([20.0, 20.0, 80.0, 80.0])),
        Prompt(mask_counts=encode(mask)),
        Prompt(point_coords=np.array([[30.0, 40.0]]), point_labels=np.array([1], np.int32)),
    ]
    found = Prompter(load_model("demo", device=str(device))).run(image, prompts, config)
    return [[area_px(code, image.shape[:2]) for code in each.counts] for each in found]


def _found(device: torch.device) -> list[list[int]]:
    """Areas of the objects found in a clip, by frame."""
    tracker = load_tracker("demo", device=str(device))
    generator = MaskGenerator(tracker, points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)
    with tempfile.TemporaryDirectory() as folder:
        frames = JpegFrames(Path(folder) / "frames", draw_clip(0, 5, (96, 128)).frames)
        automatic, options = AutomaticConfig(max_objects=3), TrackOptions(fill_hole_area=8)
        tracking = track_automatically(tracker, generator, frames, automatic, options)
        return [[mask.area_px for mask in masks] for _, masks in tracking]
