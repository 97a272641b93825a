"""Tracking: frames per second against sam2's predictor, masks that differ, and objects in batches."""

import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.build_sam import build_sam2_video_predictor
from synthetic_model import CONFIGS, smooth_masks

from gpu.check import Check
from gpu.frames import JpegFrames
from gpu.measure import Peak, Result, arithmetic, failure
from maskgrid import FramePrompt, TrackOptions, load_tracker, track
from maskgrid.dataset.demo import draw_clip
from maskgrid.network.checkpoints import resolve_checkpoint
from maskgrid.network.model import DTYPES, built_by
from maskgrid.tracked.records import TrackedMask

Mask = NDArray[np.bool_]
# Masks by frame and object.
Found = dict[tuple[int, int], Mask]

Step = TypeVar("Step")

# Numbers of objects, and the values of objects_per_batch for each.
_FEW = (1, (16,)), (16, (1, 16))
_MANY = (64, (16, 64))
_BATCHES = (
    ("demo", "float32", (*_FEW, (4, (16,)), _MANY)),
    ("tiny", "bfloat16", (*_FEW, _MANY)),
    ("tiny", "float32", _FEW),
)
_STAND_IN_NUMBERS = (1, (2,)), (2, (1, 2)), (5, (2, 5))
_STAND_IN_BATCHES = tuple((name, dtype, _STAND_IN_NUMBERS) for name, dtype, _ in _BATCHES)


@dataclass(frozen=True, slots=True)
class Side:
    """One side's way to track objects through the first frames of a video."""

    name: str
    track: Callable[[Sequence[Mask], int], Found]


def video(check: Check, name: str) -> Iterator[Result]:
    """One and many objects, in float32 without and with TF32, or in bfloat16."""
    with tempfile.TemporaryDirectory() as folder:
        height = 128 if check.stand_in else 480
        clip = draw_clip(0, check.n_frames, (height, height * 4 // 3))
        frames = JpegFrames(Path(folder) / "frames", clip.frames)
        checkpoint = checkpoint_of(check, name, Path(folder))
        for dtype in ("float32",) if name == "demo" else ("float32", "bfloat16"):
            sides = _sides(check, checkpoint, frames, dtype)
            for objects in ([clip.masks[0, 0]], discs(check.n_objects, frames.size_hw)):
                for tf32 in (False, None) if dtype == "float32" else (None,):
                    told = {"architecture": name, "dtype": dtype, "objects": len(objects), "tf32": tf32 is None}
                    with arithmetic(cudnn=tf32, deterministic=tf32 is False):
                        for result in _both(check, sides, objects):
                            yield {**told, **result}


def discs(n: int, size_hw: tuple[int, int]) -> list[Mask]:
    """Discs in a grid, as masks (H, W) of many objects."""
    height, width = size_hw
    rows, columns = np.mgrid[:height, :width]
    per_row = max(1, round(n**0.5))
    step_y, step_x = height / per_row, width / per_row
    centres = [(step_y * (i // per_row + 0.5), step_x * (i % per_row + 0.5)) for i in range(n)]
    radius = min(step_y, step_x) * 0.35
    return [(rows - y) ** 2 + (columns - x) ** 2 < radius**2 for y, x in centres]


def batches(check: Check) -> Iterator[Result]:
    """Few and many objects: sam2, which takes one at a time, and maskgrid with ``objects_per_batch``.

    Only the demo's masks tell how well both agree: random weights draw discs, which rounding moves.
    """
    for name, dtype, numbers in _STAND_IN_BATCHES if check.stand_in else _BATCHES:
        with tempfile.TemporaryDirectory() as folder:
            n_frames = 4 if check.stand_in else 11
            height = 128 if check.stand_in else 480
            frames = JpegFrames(Path(folder) / "frames", draw_clip(0, n_frames, (height, height * 4 // 3)).frames)
            checkpoint = checkpoint_of(check, name, Path(folder))
            tracker, predictor = tracker_of(check, checkpoint, dtype), predictor_of(check, checkpoint)
            if not check.has_real_masks(name):
                smooth_masks(tracker)
                smooth_masks(predictor)
            list(steps_of_sam2(predictor, frames, dtype, discs(2, frames.size_hw), 3))  # warm
            for n, sizes in numbers:
                objects = discs(n, frames.size_hw)
                told = {"architecture": name, "dtype": dtype, "objects": n}
                given, cost = _timed(check, steps_of_sam2(predictor, frames, dtype, objects, n_frames))
                theirs = {key: mask for found in given for key, mask in found.items()}
                yield {**told, "side": "sam2", **cost}
                for size in sizes:
                    list(steps(tracker, frames, objects, 3, size))  # warm
                    masks, faster = _timed(check, steps(tracker, frames, objects, n_frames, size))
                    ratio = cost["s_per_frame"] / faster["s_per_frame"]
                    told_size = {**told, "side": "maskgrid", "objects_per_batch": size}
                    yield {**told_size, **faster, "times_as_fast": ratio, **differences(_decoded(masks), theirs)}


def _timed(check: Check, steps: Iterator[Step]) -> tuple[list[Step], dict[str, Any]]:
    """What each frame gives, seconds in all, until the prompted frame, and for each frame after it, and peak memory."""
    peak, at_s, found = Peak(check.device), [time.perf_counter()], []
    for step in steps:  # masks are on the CPU, so the device has finished the frame
        at_s.append(time.perf_counter())
        found.append(step)
    seconds = {"s": at_s[-1] - at_s[0], "prompts_s": at_s[1] - at_s[0]}
    return found, {**seconds, "s_per_frame": (at_s[-1] - at_s[1]) / (len(at_s) - 2), "peak_mib": peak.mib()}


def _decoded(steps: Iterable[Sequence[TrackedMask]]) -> Found:
    return {(mask.frame, mask.object_id): mask.segmentation for masks in steps for mask in masks}


def _both(check: Check, sides: Sequence[Side], objects: Sequence[Mask]) -> Iterator[Result]:
    found, seconds = [], []
    for side in sides:
        side.track(objects, 3)  # warm
        peak = Peak(check.device)
        started = time.perf_counter()
        found.append(side.track(objects, check.n_frames))
        check.sync()
        seconds.append(time.perf_counter() - started)
        cost = {"s": seconds[-1], "frames_per_s": check.n_frames / seconds[-1], "peak_mib": peak.mib()}
        yield {"side": side.name, **cost}
    yield {**differences(*found), "ratio": seconds[1] / seconds[0]}


def differences(ours: Found, theirs: Found) -> Result:
    px = [int((ours[key] != theirs[key]).sum()) for key in theirs]
    joint = [int((ours[key] | theirs[key]).sum()) for key in theirs]
    ious = [1.0 - count / max(1, area_px) for count, area_px in zip(px, joint, strict=True)]
    return {
        "masks": len(px),
        "masks_that_differ": sum(count > 0 for count in px),
        "pixels": sum(px),
        "empty": sum(not mask.any() for mask in theirs.values()),
        "iou_lowest": min(ious),
        "iou_mean": sum(ious) / len(ious),
    }


def _sides(check: Check, checkpoint: tuple[str, str | None], frames: JpegFrames, dtype: str) -> list[Side]:
    return [
        Side("maskgrid", partial(tracked, tracker_of(check, checkpoint, dtype), frames)),
        Side("sam2", partial(_tracked_by_sam2, predictor_of(check, checkpoint), frames, dtype)),
    ]


def tracker_of(check: Check, checkpoint: tuple[str, str | None], dtype: str) -> Any:  # noqa: ANN401
    return load_tracker(*checkpoint, str(check.device), dtype, allow_unverified=True)


def predictor_of(check: Check, checkpoint: tuple[str, str | None]) -> Any:  # noqa: ANN401
    predictor = built_by(build_sam2_video_predictor, resolve_checkpoint(*checkpoint, allow_unverified=True))
    predictor = predictor.to(check.device)
    predictor.fill_hole_area = 0  # it would need sam2's CUDA extension
    return predictor


def checkpoint_of(check: Check, name: str, folder: Path) -> tuple[str, str | None]:
    """The checkpoint and the config of a model; random weights are written to a file."""
    name = check.architecture(name)
    if name not in CONFIGS:
        return name, None
    path = folder / "random.pt"
    torch.save({"model": {key: value.cpu() for key, value in check.model(name).state_dict().items()}}, path)
    return str(path), CONFIGS[name]


def tracked(tracker: Any, frames: JpegFrames, objects: Sequence[Mask], most: int) -> Found:  # noqa: ANN401
    """maskgrid's masks on the first frames."""
    return _decoded(steps(tracker, frames, objects, most))


def steps(
    tracker: Any,  # noqa: ANN401
    frames: JpegFrames,
    objects: Sequence[Mask],
    most: int,
    objects_per_batch: int = 1,
) -> Iterator[list[TrackedMask]]:
    """maskgrid's masks, frame by frame."""
    prompts = [FramePrompt(0, number, mask=mask) for number, mask in enumerate(objects)]
    options = TrackOptions(max_frame_num_to_track=most - 1, objects_per_batch=objects_per_batch)
    for _, masks in track(tracker, frames, prompts, options):
        yield masks


def _tracked_by_sam2(
    predictor: Any,  # noqa: ANN401
    frames: JpegFrames,
    dtype: str,
    objects: Sequence[Mask],
    most: int,
) -> Found:
    given = steps_of_sam2(predictor, frames, dtype, objects, most)
    return {key: mask for found in given for key, mask in found.items()}


def steps_of_sam2(
    predictor: Any,  # noqa: ANN401
    frames: JpegFrames,
    dtype: str,
    objects: Sequence[Mask],
    most: int,
) -> Iterator[Found]:
    """sam2's masks, frame by frame."""
    lower = dtype != "float32"
    autocast = torch.autocast(predictor.device.type, DTYPES[dtype]) if lower else nullcontext()
    with torch.inference_mode(), autocast:
        state = predictor.init_state(str(frames.folder))
        for number, mask in enumerate(objects):
            predictor.add_new_mask(state, 0, number, mask)
        for frame, ids, logits in predictor.propagate_in_video(state, max_frame_num_to_track=most - 1):
            masks = (logits[:, 0] > 0).cpu().numpy()
            yield {(frame, number): masks[index] for index, number in enumerate(ids)}


def vos_optimized(check: Check) -> Iterator[Result]:
    """sam2's compiled predictor, as maskgrid completes it: does it run, how long does it compile, the same masks?"""
    if not check.is_cuda:
        try:
            load_tracker("demo", device=str(check.device), vos_optimized=True)
        except Exception as error:
            yield {"refused": failure(error)["error"]}
        return
    with tempfile.TemporaryDirectory() as folder:
        clip = draw_clip(0, check.n_frames, (480, 640))
        frames, objects = JpegFrames(Path(folder) / "frames", clip.frames), [clip.masks[0, 0]]
        usual = tracked(load_tracker("demo", device=str(check.device)), frames, objects, check.n_frames)
        tracker = load_tracker("demo", device=str(check.device), vos_optimized=True)
        for turn in ("first, with compiling", "second"):
            peak, started = Peak(check.device), time.perf_counter()
            found = tracked(tracker, frames, objects, check.n_frames)
            check.sync()
            cost = {"s": time.perf_counter() - started, "peak_mib": peak.mib()}
            yield {"turn": turn, **cost, **differences(found, usual)}
