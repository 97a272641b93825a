"""The options of tracking, with sam2's names."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["forward", "backward", "both"]
Memory = Literal["sam2", "samurai"]


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """Arguments of ``SAM2VideoPredictor`` and its methods, with sam2's defaults (but see ``fill_hole_area``).

    Attributes:
        direction: ``forward`` from the start to the end, ``backward`` from the start to frame 0
            (``propagate_in_video(reverse=True)``), or ``both``: forward, then backward from the same start.
        start_frame_idx: the frame to start from; None for the first conditioning frame of any object.
        max_frame_num_to_track: number of frames to track after the start, in each direction; None for all.
        non_overlap_masks: where masks overlap, give each pixel to the object with the highest score. This makes objects
            depend on each other.
        clear_non_cond_mem_around_input: forget the memory of tracked frames near a frame with prompts, so that it does
            not contradict a correction.
        add_all_frames_to_correct_as_cond: make a tracked frame that is then corrected a conditioning frame. Without
            this, sam2's default, a correction is forgotten when its frame is tracked again.
        fill_hole_area: fill holes of up to this many pixels, in masks of a quarter of the network's image size.
            ``build_sam2_video_predictor`` sets 8, but without its compiled CUDA extension sam2 only warns and leaves
            the holes. Here the default is 0, and other values work on every device like the extension.
        offload_video_to_cpu: keep the recently read frames in the CPU's memory.
        offload_state_to_cpu: keep the memory of past frames in the CPU's memory.
        objects_per_batch: track up to this many objects together. 1, as in sam2, is one at a time; more is faster,
            takes more memory, and gives the same masks within rounding.
        memory: ``sam2``, or ``samurai``: the last good frames are remembered instead of the last ones, and of the
            decoder's masks the one is taken that also fits the object's motion (Yang et al., arXiv:2411.11922).
        memory_motion_weight: for ``samurai``, the motion's share of a mask's weight; the predicted IoU has the rest.
        memory_stable_frames: for ``samurai``, on how many frames in a row an object is seen before its motion counts.
    """

    direction: Direction = "forward"
    start_frame_idx: int | None = None
    max_frame_num_to_track: int | None = None
    non_overlap_masks: bool = False
    clear_non_cond_mem_around_input: bool = False
    add_all_frames_to_correct_as_cond: bool = False
    fill_hole_area: int = 0
    offload_video_to_cpu: bool = False
    offload_state_to_cpu: bool = False
    objects_per_batch: int = 1
    memory: Memory = "sam2"
    memory_motion_weight: float = 0.25
    memory_stable_frames: int = 15
