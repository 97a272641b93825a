"""Propagate prompts through a video with sam2's video predictor, reading one frame at a time."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.typing import NDArray
from sam2.build_sam import build_sam2_video_predictor
from torch import Tensor

from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.network.checkpoints import Checkpoint, resolve_checkpoint
from maskgrid.network.device import pick_device
from maskgrid.network.memory import device_errors
from maskgrid.network.model import DTYPES, built_by, on_device, run_in
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.prompts.given import PromptsLike, prompts_of
from maskgrid.tracked.propagation.predictor import CompiledVideoPredictor, VideoPredictor
from maskgrid.tracked.propagation.schedule import Pass, last_passes, plan_passes
from maskgrid.tracked.propagation.shared_frames import SharedFrames
from maskgrid.tracked.propagation.snapshots import write_snapshot
from maskgrid.tracked.propagation.state import (
    Horizon,
    State,
    forget,
    forget_mask_inputs,
    kept_state,
    read_snapshot,
)
from maskgrid.tracked.records import FramePrompt, Frames, TrackedMask
from maskgrid.tracked.videos.frames import VideoLike, frames_of

LESS_MEMORY = (
    "Track fewer objects at a time (objects_per_job), keep frames and memories in the CPU's memory "
    "(offload_video_to_cpu, offload_state_to_cpu), or end other programs on the device"
)


def load_tracker(
    checkpoint: str,
    config: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    allow_unverified: bool = False,
) -> VideoPredictor:
    """Load a checkpoint as sam2's video predictor.

    Args:
        checkpoint: ``demo``, an official name, or the path of a ``.pt`` file, as for :func:`maskgrid.load_model`.
        config: for a ``.pt`` file, the name of a config of the sam2 package or a YAML file.
        device: ``auto`` prefers CUDA, then MPS, then the CPU.
        dtype: ``float32``, ``bfloat16`` or, on a GPU, ``float16``; below float32 sam2 runs under ``torch.autocast``.
        apply_postprocessing: as in ``sam2.build_sam.build_sam2_video_predictor``, except for ``fill_hole_area``
            (see :class:`TrackOptions`).
        vos_optimized: compile the network, as sam2 does. CUDA only.
        allow_unverified: accept a ``.pt`` file whose sha256 is not that of a known checkpoint.

    Raises:
        UserError: as :func:`maskgrid.load_model`; or compilation without CUDA, or float16 on a CPU.
        MachineError: the device has failed, or its memory is too small for the weights.
    """
    resolved = resolve_checkpoint(checkpoint, config, allow_unverified=allow_unverified)
    return build_tracker(resolved, pick_device(device), dtype, apply_postprocessing, vos_optimized)


def build_tracker(
    checkpoint: Checkpoint,
    device: torch.device,
    dtype: str = "float32",
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
) -> VideoPredictor:
    """Build sam2's video predictor from a resolved checkpoint (see :func:`load_tracker`).

    Raises:
        UserError: the weights do not fit the config; or compilation without CUDA, or float16 on a CPU.
        MachineError: the device has failed, or its memory is too small for the weights.
    """
    if dtype == "float16" and device.type == "cpu":
        raise UserError("model.dtype: torch cannot track in float16 on a CPU; use float32 or bfloat16")
    if vos_optimized and device.type != "cuda":
        raise UserError(f"vos_optimized: sam2 compiles its network for CUDA only, and the device is {device}")
    kind = CompiledVideoPredictor if vos_optimized else VideoPredictor
    target = f"++model._target_={kind.__module__}.{kind.__qualname__}"
    tracker = built_by(
        build_sam2_video_predictor,
        checkpoint,
        apply_postprocessing=apply_postprocessing,
        vos_optimized=vos_optimized,
        hydra_overrides_extra=[target],
    )
    tracker = on_device(tracker, device)
    assert isinstance(tracker, VideoPredictor)
    tracker.dtype = DTYPES[dtype]
    if dtype != "float32":
        run_in(tracker, device, tracker.dtype)  # for images, which do not go through the video methods
    return tracker


def track(
    tracker: VideoPredictor,
    video: VideoLike,
    prompts: PromptsLike,
    options: TrackOptions | None = None,
    passes: Sequence[Pass] | None = None,
    snapshot: Path | None = None,
) -> "Tracking":
    """Track prompted objects through a video.

    Example:
        >>> prompts = [{"frame": 0, "object_id": 1, "box_xyxy": [20, 30, 110, 160]}]
        >>> for frame, masks in track(load_tracker("demo"), "clip.mp4", prompts):
        ...     print(frame, masks[0].segmentation.sum())

    Yields each frame that tracking reaches once, with a mask of every object: ascending for ``forward``, descending for
    ``backward``; for ``both`` first the frames after the start, then the start and those before it. If several passes
    reach a frame, it comes in the last one, with that one's masks, as in a dictionary filled from
    ``propagate_in_video``.

    Masks have the video's resolution, thresholded at a logit of 0. An object that is never visible has only empty masks
    (``area_px`` 0).

    Memory use does not grow with the length of the video.

    Args:
        tracker: from :func:`load_tracker`.
        video: the path of a video file or of a folder of frames, or the frames themselves: arrays (H, W, 3) of uint8
            in RGB, PIL images, or paths. They are read one at a time; an unreadable one raises ``BadVideoError`` from
            the iterator.
        prompts: what to track: dicts with the columns of a table of prompts, or ``FramePrompt``. Objects come in the
            order of their first prompt.
        options: how to track; sam2's defaults if None.
        passes: the passes for the prompts of all objects (:func:`plan_passes`), if ``prompts`` has only a group's.
        snapshot: a file written by :meth:`Tracking.save` with the same arguments, to resume from.

    Raises:
        FramePromptError: a ``UserError`` about a prompt on a missing frame, or one without points, box and mask.
        UserError: the video cannot be read, there are no prompts, one cannot be used, or the start is not a frame of
            the video.
        MachineError: here or while iterating: the device has failed, or its memory is too small.
    """
    options = options or TrackOptions()
    frames = frames_of(video)
    shown = [] if passes is not None and not prompts else prompts_of(prompts, frames)
    passes = plan_passes(shown, options, len(frames)) if passes is None else passes
    return Tracking(tracker, frames, shown, options, passes, snapshot)


class Tracking(Iterator[tuple[int, list[TrackedMask]]]):
    """Yields frames with the masks of their objects; see :func:`track`.

    Attributes:
        n_given: number of frames yielded, including those before a snapshot.
        n_frames: number of frames in total.
        size_hw: height and width of a frame.
    """

    def __init__(
        self,
        tracker: VideoPredictor,
        frames: Frames,
        prompts: Sequence[FramePrompt],
        options: TrackOptions,
        passes: Sequence[Pass],
        snapshot: Path | None,
    ) -> None:
        """Set up, from a snapshot if there is one; see :func:`track`."""
        self._predictor = tracker.with_options(options)
        self._reach = self._predictor.reach
        self._prompts, self._passes = prompts, passes
        self.size_hw, self._frames = frames.size_hw, SharedFrames(frames)
        with device_errors(LESS_MEMORY):  # the first frame goes through the encoder
            self._state = self._predictor.init_lazily(self._frames, options)
        self._at = 0, 0  # number of the pass, and how many of its frames are done
        self.n_given, self.n_frames = 0, len(last_passes(passes))
        if snapshot is not None:
            saved = read_snapshot(snapshot, self._predictor.device)
            self._at, self.n_given = saved["at"], saved["n_given"]
            self._state.update(saved["state"])
        self._results = self._run()

    def __next__(self) -> tuple[int, list[TrackedMask]]:
        """Return the next frame, and the masks of all objects on it."""
        with device_errors(LESS_MEMORY):
            return next(self._results)

    def pixels(self, frame: int) -> NDArray[np.uint8]:
        """The pixels of a frame, RGB, shape (H, W, 3); ``frame`` as in the results.

        Fastest for the frame that came last, also of a video file.
        """
        return self._frames.read(frame)

    def save(self, stream: IO[bytes]) -> None:
        """Save the state, so that tracking can resume after the last frame yielded."""
        write_snapshot({"at": self._at, "n_given": self.n_given, "state": kept_state(self._state)}, stream)

    def _run(self) -> Iterator[tuple[int, list[TrackedMask]]]:
        begun, done = self._at
        for number, one in enumerate(self._passes[begun:], begun):
            if number > begun:
                done = 0
            if done == 0 and (number == 0 or self._passes[number - 1].round != one.round):
                self._add_prompts(one.round)
            horizon = self._horizon(number)
            for frame, masks in self._propagate(one.frames[done:]):
                done += 1
                forget(self._state, frame, self._reach, horizon)
                self._at = number, done
                if not any(frame in later.frames for later in self._passes[number + 1 :]):
                    self.n_given += 1
                    yield frame, masks

    def _propagate(self, frames: range) -> Iterator[tuple[int, list[TrackedMask]]]:
        if not self._state["obj_ids"]:  # the objects of this group come in a later round
            yield from ((frame, []) for frame in frames)
        elif frames:
            for frame, ids, logits in self._predictor.propagate_quietly(self._state, frames):
                yield frame, tracked_masks(self._state, frame, ids, logits)

    def _add_prompts(self, round_: int) -> None:
        for prompt in self._prompts:
            if prompt.round == round_:
                add_prompt(self._predictor, self._state, prompt)
        forget_mask_inputs(self._state)

    def _horizon(self, number: int) -> Horizon:
        later = self._passes[number + 1 :]
        prompted = (prompt.frame for prompt in self._prompts if prompt.round > self._passes[number].round)
        return Horizon(frozenset(one.frames[0] for one in later), frozenset(prompted))


def add_prompt(predictor: VideoPredictor, state: State, prompt: FramePrompt) -> None:
    """Call sam2's ``add_new_mask`` or ``add_new_points_or_box``."""
    if prompt.mask is not None:
        predictor.add_new_mask(state, prompt.frame, prompt.object_id, prompt.mask)
        return
    predictor.add_new_points_or_box(
        state,
        prompt.frame,
        prompt.object_id,
        points=prompt.point_coords,
        labels=prompt.point_labels,
        box=prompt.box_xyxy,
        clear_old_points=prompt.clear_old_points,
    )


def tracked_masks(state: State, frame: int, ids: Sequence[int], logits: Tensor) -> list[TrackedMask]:
    """Build the masks of a frame that sam2 has just tracked, from its logits of shape (objects, 1, H, W).

    Raises:
        FloatingPointError: the network returned values that are not numbers.
    """
    # The ends tell whether all logits are numbers, without a copy of them; with the scores, the device is asked once.
    ends = torch.stack(torch.aminmax(logits))
    *scores, lowest, highest = torch.cat([_object_scores(state, frame, len(ids)), ends]).tolist()
    # If an object's score is not a number, sam2 makes its mask empty, as if the object were out of sight.
    if not np.isfinite([*scores, lowest, highest]).all():
        raise FloatingPointError(f"frame {frame}: the network returned scores or logits that are not numbers")
    masks = logits[:, 0] > 0
    areas_px: list[int] = masks.sum((1, 2)).tolist()
    size_hw = masks.shape[1], masks.shape[2]
    found = zip(ids, rle.encode_planes(masks), areas_px, scores, strict=True)
    return [TrackedMask(frame, *columns, size_hw) for columns in found]


def _object_scores(state: State, frame: int, n: int) -> Tensor:
    """The scores (n,) of all objects on a frame."""
    scores = []
    for index in range(n):
        outputs = state["output_dict_per_obj"][index]
        output = outputs["cond_frame_outputs"].get(frame) or outputs["non_cond_frame_outputs"][frame]
        scores.append(output["object_score_logits"].flatten())
    return torch.cat(scores)
