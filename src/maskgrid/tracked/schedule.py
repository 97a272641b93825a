"""The passes through a video that prompts and options ask for."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from maskgrid.io.errors import UserError
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.records import FramePrompt


@dataclass(frozen=True, slots=True)
class Pass:
    """One propagation: after the prompts of which round, over which frames, in order."""

    round: int
    frames: range

    @property
    def reverse(self) -> bool:
        """Whether frames are tracked backwards."""
        return self.frames.step < 0


def plan_passes(prompts: Sequence[FramePrompt], options: TrackOptions, n_frames: int) -> list[Pass]:
    """The passes in order, with the frames that sam2's ``propagate_in_video`` would go through.

    Unless the options name a start, each pass begins at the first conditioning frame of any object: one with prompts
    that came before the object was tracked on it, or with ``add_all_frames_to_correct_as_cond`` any with prompts.

    Raises:
        UserError: the start is no frame of the video.
    """
    cond_frames: set[int] = set()
    tracked: list[tuple[range, set[int]]] = []  # frames, and the objects that were tracked on them
    objects: set[int] = set()
    passes: list[Pass] = []
    for number, given in groupby(sorted(prompts, key=_round), key=_round):
        for prompt in given:
            objects.add(prompt.object_id)
            seen = any(prompt.frame in frames and prompt.object_id in ids for frames, ids in tracked)
            if not seen or options.add_all_frames_to_correct_as_cond:
                cond_frames.add(prompt.frame)
        start = min(cond_frames) if options.start_frame_idx is None else options.start_frame_idx
        for frames in _directions(start, options, n_frames):
            passes.append(Pass(number, frames))
            tracked.append((frames, set(objects)))
    return passes


def _directions(start: int, options: TrackOptions, n_frames: int) -> list[range]:
    if not 0 <= start < n_frames:
        raise UserError(f"start_frame_idx: {start} is not one of the video's frames, 0 to {n_frames - 1}")
    most = n_frames if options.max_frame_num_to_track is None else options.max_frame_num_to_track
    ranges = []
    if options.direction in ("forward", "both"):
        ranges.append(range(start, min(start + most, n_frames - 1) + 1))
    if options.direction in ("backward", "both") and start > 0:  # from frame 0, sam2 tracks nothing backwards
        ranges.append(range(start, max(start - most, 0) - 1, -1))
    return ranges


def last_passes(passes: Sequence[Pass]) -> dict[int, int]:
    """For each frame that is reached, the number of the last pass that does."""
    return {frame: number for number, one in enumerate(passes) for frame in one.frames}


def _round(prompt: FramePrompt) -> int:
    return prompt.round
