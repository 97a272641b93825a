"""What decides how prompts are propagated, by sam2's names."""

from dataclasses import dataclass
from typing import Literal

Direction = Literal["forward", "backward", "both"]


@dataclass(frozen=True, slots=True)
class TrackOptions:
    """Arguments of ``SAM2VideoPredictor`` and of its methods, with its defaults.

    Attributes:
        direction: ``forward`` from the start to the end, ``backward`` from the start to frame 0
            (``propagate_in_video(reverse=True)``), or ``both``: forward, and then backward from the same start.
        start_frame_idx: the frame to start from; None for the first conditioning frame of any object.
        max_frame_num_to_track: how many frames after the start are tracked, in each direction; None for all.
        non_overlap_masks: where masks overlap, each pixel goes to the object with the highest score. With it objects
            depend on each other.
        clear_non_cond_mem_around_input: forget what was tracked near a frame that has prompts, so that its memory
            does not contradict a correction.
        add_all_frames_to_correct_as_cond: a frame that was tracked and is then corrected becomes a conditioning frame.
            Without it, sam2's default, a correction is forgotten when its frame is tracked again.
        fill_hole_area: holes of up to this many pixels are filled, in masks of a quarter of the network's image size.
            ``build_sam2_video_predictor`` sets 8, which has an effect only where sam2's CUDA extension was compiled;
            elsewhere it warns and leaves the holes. Here 0 is the default, and any other value does on every device
            what the extension does.
        offload_video_to_cpu: keep the frames that are read ahead in the CPU's memory.
        offload_state_to_cpu: keep the memory of past frames in the CPU's memory.
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
