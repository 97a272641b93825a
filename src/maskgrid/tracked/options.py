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


@dataclass(frozen=True, slots=True)
class AutomaticOptions:
    """How objects are found where nobody prompts for them.

    Attributes:
        generate_every: automatic masks are generated on frame 0, and on every so many frames after it; None for frame
            0 alone.
        min_coverage_frac: they are also generated on a frame of which the masks of all objects cover less than this
            share; 0 for never.
        min_generate_gap: frames between two generations at least, where it is the coverage that asks for them.
        join_iou_thresh: a generated mask whose IoU with the mask of a tracked object, or with a better generated mask,
            is at least this is taken for the same object.
        join_containment_thresh: a generated mask of which more than this share lies within the mask of a tracked
            object, or within a larger generated mask, is taken for a part of it. With 1 parts become objects too.
        end_after: an object ends, and is tracked no further, after so many frames without a visible pixel; where it
            comes back later, it is found as another object. None for never.
        max_objects: how many objects are tracked at a time at most; those of the highest predicted IoU come first.
            None for any number.
    """

    generate_every: int | None = 10
    min_coverage_frac: float = 0.0
    min_generate_gap: int = 5
    join_iou_thresh: float = 0.5
    join_containment_thresh: float = 0.8
    end_after: int | None = 5
    max_objects: int | None = None
