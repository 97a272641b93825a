"""Find objects in a video and track them, without prompts."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import IO

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.network.memory import device_errors
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.held import HeldFrames, is_seen
from maskgrid.tracked.propagation.lost import LostObjects
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.proposals import new_objects, propose
from maskgrid.tracked.propagation.shared_frames import SharedFrames
from maskgrid.tracked.propagation.snapshots import write_snapshot
from maskgrid.tracked.propagation.state import (
    NOTHING_LATER,
    State,
    forget,
    forget_mask_inputs,
    kept_state,
    read_snapshot,
    state_of,
)
from maskgrid.tracked.propagation.tracker import LESS_MEMORY, add_prompt, tracked_masks
from maskgrid.tracked.propagation.trails import Followed, follow_back
from maskgrid.tracked.records import FramePrompt, Frames, TrackedMask


def track_automatically(
    tracker: VideoPredictor,
    generator: MaskGenerator,
    frames: Frames,
    automatic: AutomaticConfig | None = None,
    options: TrackOptions | None = None,
    snapshot: Path | None = None,
) -> "AutomaticTracking":
    """Find objects by automatic masks on chosen frames, and track them forward.

    Yields every frame once, in order, with the masks of the objects tracked on it; the mask of an object that is out of
    sight is empty. Objects are numbered from 1 in the order in which they are found. With ``follow_back``, frames come
    that many frames later, when no object found later can be followed back to them. Memory use grows with the number of
    objects tracked at a time, not with the length of the video.

    Args:
        tracker: from :func:`maskgrid.tracked.propagation.tracker.load_tracker`.
        generator: makes automatic masks. ``MaskGenerator(tracker, ...)`` uses the same weights.
        frames: the video. An unreadable frame raises ``BadVideoError`` from the iterator.
        automatic: on which frames to generate masks, and which of them are new objects.
        options: sam2's; objects are only tracked forward from frame 0.
        snapshot: a file written by :meth:`AutomaticTracking.save` with the same arguments, to resume from.

    Raises:
        UserError: options that have no meaning without prompts.
        MachineError: here or while iterating: the device has failed, or its memory is too small.
    """
    options = options or TrackOptions()
    if options.direction != "forward" or options.start_frame_idx or options.max_frame_num_to_track is not None:
        raise UserError(
            "direction, start_frame_idx, max_frame_num_to_track: without prompts, objects are searched in the whole "
            "video and tracked forward; choose frames by start, stop and stride"
        )
    return AutomaticTracking(tracker, generator, frames, automatic or AutomaticConfig(), options, snapshot)


class AutomaticTracking(Iterator[tuple[int, list[TrackedMask]]]):
    """Yields frames with the masks of the objects found so far; see :func:`track_automatically`.

    Attributes:
        n_given: number of frames yielded, including those before a snapshot.
        n_frames: number of frames in total.
        size_hw: height and width of a frame.
        generated_on: frames on which masks were generated, since the snapshot.
    """

    def __init__(
        self,
        tracker: VideoPredictor,
        generator: MaskGenerator,
        frames: Frames,
        automatic: AutomaticConfig,
        options: TrackOptions,
        snapshot: Path | None,
    ) -> None:
        """Set up, from a snapshot if there is one; see :func:`track_automatically`."""
        self._predictor = tracker.with_options(options)
        self._reach = self._predictor.reach
        self._generator, self._frames, self._automatic = generator, SharedFrames(frames), automatic
        with device_errors(LESS_MEMORY):  # the first frame goes through the encoder
            self._state = self._predictor.init_lazily(self._frames, options)
        self._unseen: dict[int, int] = {}  # by tracked object, the number of frames since it was last seen
        self._held, self._lost = HeldFrames(automatic.follow_back or 0), LostObjects(automatic)
        self._n_found, self._last_generation = 0, 0
        self.n_given, self.n_frames, self.size_hw = 0, len(frames), frames.size_hw
        self.generated_on: list[int] = []
        if snapshot is not None:
            saved = read_snapshot(snapshot, self._predictor.device)
            self.n_given, self._unseen = saved["n_given"], saved["unseen"]
            self._n_found, self._last_generation = saved["found"]
            self._state.update(saved["state"])
            self._held.restore(saved.get("held", []))
            self._lost.restore(saved.get("lost", {}))

    def __next__(self) -> tuple[int, list[TrackedMask]]:
        """Return the next frame, and the masks of the objects on it."""
        while not self._held.is_over and self.n_given + len(self._held) < self.n_frames:
            self._advance(self.n_given + len(self._held))
        if not len(self._held):
            raise StopIteration
        self.n_given += 1
        return self._held.take()

    def save(self, stream: IO[bytes]) -> None:
        """Save the state, so that tracking can resume after the last frame yielded."""
        content = {
            "n_given": self.n_given,
            "unseen": self._unseen,
            "found": (self._n_found, self._last_generation),
            "state": kept_state(self._state),
            "held": self._held.plain(),
            "lost": self._lost.plain(),
        }
        write_snapshot(content, stream)

    def _advance(self, frame: int) -> None:
        """Track the next frame."""
        with device_errors(LESS_MEMORY):
            masks = self._track(frame, self._state)
            if self._is_asked_for(frame, masks):
                masks = self._with_new(frame, masks, self._find(frame, masks))
        self._lost.note(self._state, frame, masks)
        self._end(masks)
        forget(self._state, frame, self._reach, NOTHING_LATER)
        self._held.add(frame, masks)

    def _track(self, frame: int, state: State) -> list[TrackedMask]:
        if not state["obj_ids"]:
            return []
        ((_, ids, logits),) = self._predictor.propagate_quietly(state, range(frame, frame + 1))
        return tracked_masks(state, frame, ids, logits)

    def _with_new(self, frame: int, masks: list[TrackedMask], new: Sequence[int]) -> list[TrackedMask]:
        """Add the masks of new objects, by id, to those of a frame."""
        if not new:
            return masks
        if self._predictor.non_overlap_masks:  # the new objects change the others' masks
            return self._track(frame, self._state)
        others = [mask for mask in masks if mask.object_id not in new]  # an object that is found again is prompted anew
        return others + self._track(frame, state_of(self._state, new))

    def _is_asked_for(self, frame: int, masks: list[TrackedMask]) -> bool:
        every = self._automatic.generate_every
        if frame == 0 or (every is not None and frame % every == 0):
            return True
        if self._automatic.follow_back is not None and frame == self.n_frames - 1:
            return True  # or nobody would find who comes in after the last generation
        if frame - self._last_generation < self._automatic.min_generate_gap:
            return False
        height, width = self._frames.size_hw
        covered_px = rle.union_area_px([mask.counts for mask in masks], (height, width))
        return covered_px < self._automatic.min_coverage_frac * height * width

    def _find(self, frame: int, masks: list[TrackedMask]) -> list[int]:
        """Prompt sam2 with the objects on a frame that it does not track; return their ids."""
        size_hw = self._frames.size_hw
        self._last_generation = frame
        self.generated_on.append(frame)
        proposals = propose(self._generator, self._frames.read(frame))
        found = new_objects(proposals, [mask.counts for mask in masks], size_hw, self._automatic)
        most = self._automatic.max_objects
        found = found if most is None else found[: max(0, most - len(self._unseen))]
        ids = self._identified(frame, [one.counts for one in found], masks)
        for object_id, one in zip(ids, found, strict=True):
            if object_id in self._unseen:  # out of sight for sam2, and found again
                self._predictor.remove_object(self._state, object_id, need_output=False)
            self._unseen[object_id] = 0
            prompt = FramePrompt(frame, object_id, mask=rle.decode(one.counts, size_hw))
            add_prompt(self._predictor, self._state, prompt)
        forget_mask_inputs(self._state)
        return ids

    def _identified(self, frame: int, found: Sequence[bytes], masks: Sequence[TrackedMask]) -> list[int]:
        """The ids of found objects: those of objects that were there before, or the next numbers."""
        if not found:
            return []
        seen = frozenset(mask.object_id for mask in masks if is_seen(mask))
        known = self._lost.recognise(self._predictor, self._state, frame, found, seen)
        followed = Followed(self._held, seen, known)
        ids = []
        for trail in follow_back(self._predictor, self._state, frame, found, followed, self._automatic):
            if trail.object_id is None:
                self._n_found += 1
            ids.append(self._n_found if trail.object_id is None else trail.object_id)
            earlier = [replace(mask, object_id=ids[-1]) for mask in trail.masks]
            self._held.amend(earlier, apart=self._predictor.non_overlap_masks)
        return ids

    def _end(self, masks: list[TrackedMask]) -> None:
        """Count the frames since each object was last seen; stop tracking those unseen for ``end_after`` frames."""
        for mask in masks:
            self._unseen[mask.object_id] = 0 if is_seen(mask) else self._unseen[mask.object_id] + 1
            if self._automatic.end_after is not None and self._unseen[mask.object_id] >= self._automatic.end_after:
                del self._unseen[mask.object_id]
                self._predictor.remove_object(self._state, mask.object_id, need_output=False)
