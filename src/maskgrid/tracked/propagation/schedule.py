"""Plan the passes through a video from prompts and options."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import attrgetter

from maskgrid.io.errors import UserError
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.records import FramePrompt


@dataclass(frozen=True, slots=True)
class Pass:
    """One propagation.

    Attributes:
        round: the round whose prompts come before it.
        frames: the frames, in the order of tracking.
    """

    round: int
    frames: range

    @property
    def reverse(self) -> bool:
        """Whether the pass goes backwards."""
        return self.frames.step < 0


def plan_passes(prompts: Sequence[FramePrompt], options: TrackOptions, n_frames: int) -> list[Pass]:
    """Return the passes in order, with the frames that sam2's ``propagate_in_video`` would visit.

    Unless the options set a start, each pass begins at the first conditioning frame of any object. A frame is a
    conditioning frame if an object got a prompt on it before being tracked on it; with
    ``add_all_frames_to_correct_as_cond``, every frame with a prompt is one.

    Raises:
        UserError: the start is not a frame of the video.
    """
    cond_frames: set[int] = set()
    tracked: list[tuple[range, set[int]]] = []  # frames, and the objects tracked on them
    objects: set[int] = set()
    passes: list[Pass] = []
    by_round = attrgetter("round")
    for number, members in groupby(sorted(prompts, key=by_round), key=by_round):
        for prompt in members:
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
    """For each frame that any pass visits, the number of the last such pass."""
    return {frame: number for number, one in enumerate(passes) for frame in one.frames}
