"""The subcommands of ``python -m training``."""

import argparse
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import cast

import torch
from sam2.modeling.sam2_base import SAM2Base

from maskgrid.dataset.demo import EASY, FULL, Clip, draw_clip, draw_scene
from maskgrid.io.errors import UserError
from maskgrid.io.files import atomic_write
from maskgrid.network.device import pick_device
from training.calibration import calibrate, record
from training.clicks import KINDS, ClickFigures, click_figures, click_objects
from training.clip_pool import encode_clips
from training.figures import draw_contact_sheet, measure_automatic, measure_tracking
from training.image_stage import ImageReport, image_step, start_image_stage
from training.measures import FIRST_TRAINING_SEED, held_out_clips, held_out_scenes
from training.memory import initialise_memory
from training.model import Features, build_model, initialise
from training.plans import CALIBRATION, FIRST, MEMORY, SECOND, ImagePlan
from training.pool import Pool, drawn_pool
from training.shards import N_SHARDS, workers
from training.shortfall import with_shortfall
from training.state import State, averaged_weights, restore, save
from training.video_stage import VideoPools, VideoReport, start_video_stage, video_step
from training.weights import load_demo, load_weights, mixed, publish, sharpened, start_from

_EASY_SCENES, _FULL_SCENES_128, _FULL_SCENES_256 = 1500, 5000, 8000
_SAVED_EVERY, _TOLD_EVERY = 20, 10


def train_image(options: argparse.Namespace) -> None:
    """Train on still scenes: at 128 px, then at 256 px."""
    stages = (("image-128", FIRST), ("image-256", SECOND))
    begun = options.start_from or (options.folder / "image-256.pt").exists()
    for name, plan in stages[1:] if begun else stages:
        state = _image_state(options, name, plan)
        path = options.folder / f"{name}.pt"
        last = _last_step(plan.steps, options.steps)
        if state.step >= last:
            continue
        easy = _pool(options.folder, "easy", plan.side_px, _EASY_SCENES) if plan.easy else None
        count = _FULL_SCENES_128 if plan.side_px == 128 else _FULL_SCENES_256
        full = _pool(options.folder, "full", plan.side_px, count)
        with workers(options.workers) as executor:
            if plan.hard_share:
                kept = options.folder / f"shortfall-{plan.side_px}.npy"
                full = with_shortfall(full, kept, cast(SAM2Base, state.model), executor)
            _run(state, path, last, partial(image_step, state, plan, easy or full, full, executor))


def train_video(options: argparse.Namespace) -> None:
    """Train the memory on clips, starting from the weights of the image stage."""
    path = options.folder / "video.pt"
    torch.manual_seed(0)
    model = build_model(MEMORY.input_px).to(pick_device(options.device))
    _start_from(model, options.folder / "image-256.pt")
    pools = _video_pools(model.eval())
    if not options.keep_memory:
        initialise_memory(model, Features([level.float() for level in pools.clips[0].levels], pools.positions))
    state = start_video_stage(model)
    if path.exists():
        restore(state, path)
    with workers(options.workers) as executor:
        step = partial(video_step, state, MEMORY, pools, executor)
        _run(state, path, _last_step(MEMORY.steps, options.steps), step)


def calibrate_judgement(options: argparse.Namespace) -> None:
    """Fit the IoU head to the network of the video stage, or of the image stage if there is no video stage."""
    model = build_model(MEMORY.input_px)
    _start_from(model, _last_state(options.folder, ("video", "image-256")))
    model.to(pick_device(options.device)).eval()
    pool = _pool(options.folder, "full", MEMORY.side_px, _FULL_SCENES_256)
    plan = CALIBRATION if options.quantile is None else replace(CALIBRATION, quantile=options.quantile)
    fit = calibrate(model, record(model, pool, plan), plan)
    print(f"error of the predicted IoU on records held back: {fit.before:.3f} before, {fit.after:.3f} after")
    with atomic_write(options.folder / "calibrated.pt") as stream:
        torch.save({"average": model.cpu().state_dict()}, stream)


def export(options: argparse.Namespace) -> None:
    """Write the weights of the stage that got furthest, in sam2's format."""
    path = _last_state(options.folder, ("calibrated", "video", "image-256", "image-128"))
    weights = sharpened(averaged_weights(path), options.sharpen)
    if options.mix:
        weights = mixed(weights, load_weights(options.mix), options.mix_share)
    print(f"{options.output}: {path.stem}, sha256 {publish(weights, options.output)}")


def evaluate(options: argparse.Namespace) -> None:
    """Measure published weights on held-out scenes and clips, and print the figures."""
    model = load_demo(options.weights)
    clicked = click_objects(model, held_out_scenes(options.scenes, options.first))
    print(f"a click in the middle of each object, and its box; {len(clicked)} objects in {options.scenes} scenes")
    print(f"{'':21}objects  best of three  ranked first  error of predicted IoU    box  drawable")
    for kind in (None, *KINDS):
        _print_clicks(kind or "all", click_figures([one for one in clicked if kind in (None, one.kind)]))
    automatic = measure_automatic(model, held_out_scenes(options.automatic, options.first))
    print(f"automatic masks, {automatic.masks} for {automatic.objects} objects in {options.automatic} scenes")
    print(f"  AR at IoU 0.5                     {automatic.recall:.3f}")
    print(f"  AR at IoU 0.5 to 0.95             {automatic.mean_recall:.3f}", flush=True)
    if options.clips:
        tracking = measure_tracking(load_demo(options.weights, video=True), held_out_clips(options.clips))
        print(f"tracking from the first frame's mask, {tracking.objects} masks in {options.clips} clips")
        print(f"  J                                 {tracking.region:.3f}")
        print(f"  F                                 {tracking.contour:.3f}")
        print(f"  J&F                               {tracking.both:.3f}")


def _print_clicks(kind: str, means: ClickFigures) -> None:
    three = f"{means.best_iou:13.3f}  {means.chosen_iou:12.3f}  {means.iou_error:22.3f}"
    print(f"  {kind:17}  {means.objects:7}  {three}  {means.boxed_iou:.3f}  {means.drawable_iou:8.3f}", flush=True)


def photographs(options: argparse.Namespace) -> None:
    """Draw the contact sheet of photographs and their masks."""
    counts = draw_contact_sheet(load_demo(options.weights), options.output)
    print(f"{options.output}: {counts} masks")


def _image_state(options: argparse.Namespace, name: str, plan: ImagePlan) -> State:
    torch.manual_seed(0)
    model = build_model(plan.input_px).to(pick_device(options.device))
    initialise(model)
    path, before = options.folder / f"{name}.pt", options.folder / "image-128.pt"
    if options.start_from and not path.exists():
        start_from(model, options.start_from, options.sharpened)
    state = start_image_stage(model)
    if path.exists():
        restore(state, path)
    elif plan.side_px == 256 and not options.start_from:
        restore(state, before)
        state.step = 0
    return state


def _last_state(folder: Path, names: tuple[str, ...]) -> Path:
    """The first of these states that exists."""
    for name in names:
        if (folder / f"{name}.pt").exists():
            return folder / f"{name}.pt"
    raise UserError(f"{folder} has none of {', '.join(f'{name}.pt' for name in names)}: run the earlier stages first")


def _video_pools(model: SAM2Base) -> VideoPools:
    first, size_hw = FIRST_TRAINING_SEED, (MEMORY.side_px, MEMORY.side_px)
    clips = (draw_clip(seed, MEMORY.length, size_hw) for seed in range(first, first + MEMORY.pool))
    encoded_clips, positions = encode_clips(model, clips)
    scenes = (draw_scene(seed, size_hw) for seed in range(first, first + MEMORY.scenes))
    stills = (Clip(scene.image[None], scene.masks[None]) for scene in scenes)
    encoded_scenes, _ = encode_clips(model, stills)
    return VideoPools(encoded_clips, encoded_scenes, positions)


def _start_from(model: torch.nn.Module, path: Path) -> None:
    if not path.exists():
        raise UserError(f"{path} is missing: run the image stage first")
    model.load_state_dict(averaged_weights(path))


def _pool(folder: Path, name: str, side_px: int, count: int) -> Pool:
    seeds = range(FIRST_TRAINING_SEED, FIRST_TRAINING_SEED + count)
    path = folder / f"pool-{name}-{side_px}.npz"
    return drawn_pool(path, seeds, side_px, EASY if name == "easy" else FULL, workers=N_SHARDS)


def _last_step(planned: int, asked: int | None) -> int:
    return planned if asked is None else min(planned, asked)


def _run(state: State, path: Path, last: int, step: Callable[[], ImageReport | VideoReport]) -> None:
    begun, mean = time.monotonic(), dict[str, float]()
    while state.step < last:
        for name, value in asdict(step()).items():
            mean[name] = 0.96 * mean.get(name, value) + 0.04 * value
        if state.step % _TOLD_EVERY == 0:
            told = "  ".join(f"{name} {value:.3f}" for name, value in mean.items())
            print(f"{path.stem} {state.step}/{last}  {time.monotonic() - begun:.0f} s  {told}", flush=True)
        if state.step % _SAVED_EVERY == 0 or state.step == last:
            save(state, path)
