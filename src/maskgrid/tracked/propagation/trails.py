"""Follow new objects back from where they were found: to where they came into view, or to an object that was there."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from maskgrid.config.tracking import AutomaticConfig
from maskgrid.masks import rle
from maskgrid.tracked.propagation.held import HeldFrames, is_seen
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.state import NOTHING_LATER, State, forget, forget_mask_inputs, state_of
from maskgrid.tracked.propagation.tracker import add_prompt, tracked_masks
from maskgrid.tracked.records import FramePrompt, TrackedMask


@dataclass(slots=True)
class Trail:
    """Where a found object was before.

    Attributes:
        object_id: the known object that it is; None if it is new.
        masks: the latest first, with a number of their own for ``object_id``.
        n_unseen: number of frames since it was last seen, going back.
        ends: whether following it back has ended.
        joins: whether it ended at the object that it is.
    """

    object_id: int | None
    masks: list[TrackedMask] = field(default_factory=list)
    n_unseen: int = 0
    ends: bool = False
    joins: bool = False


@dataclass(frozen=True, slots=True)
class Followed:
    """Who can be met on the way back.

    Attributes:
        held: the frames to follow back through, with the masks of the objects there.
        seen: the objects that are seen where the new ones were found: none of these is a new one.
        known: objects that new ones are already known to be, by the place of the new one.
    """

    held: HeldFrames
    seen: frozenset[int]
    known: Mapping[int, int]


def follow_back(
    predictor: VideoPredictor,
    state: State,
    frame: int,
    found: Sequence[bytes],
    followed: Followed,
    automatic: AutomaticConfig,
) -> list[Trail]:
    """Propagate masks found on a frame back through the frames held, as sam2 does with ``reverse=True``.

    An object's trail ends where it meets an object that was there: a mask coincides with the new one (by
    ``join_iou_thresh``), or holds it (by ``join_containment_thresh``). If it coincides, and is out of sight where the
    new object was found, both are the same. A trail also ends after ``end_after`` frames out of sight, or after
    ``rejoin_within`` if that is more.

    Args:
        predictor: sam2's.
        state: of the video, whose objects stay as they are.
        frame: the frame; the frames held are those before it.
        found: the objects' masks.
        followed: who can be met.
        automatic: the thresholds.

    Returns:
        A trail for each mask. The masks of a trail begin with the first that shows the object, or follow the last of
        the object that it met.
    """
    trails = [Trail(followed.known.get(number)) for number in range(len(found))]
    if not len(followed.held):
        return trails
    back, reach = state_of(state, []), predictor.reach
    size_hw = state["video_height"], state["video_width"]
    for number, counts in enumerate(found):
        add_prompt(predictor, back, FramePrompt(frame, number, mask=rle.decode(counts, size_hw)))
    forget_mask_inputs(back)
    for earlier in followed.held.backwards():
        if not back["obj_ids"]:
            break
        ((_, ids, logits),) = predictor.propagate_quietly(back, range(earlier, earlier - 1, -1))
        _extend(trails, tracked_masks(back, earlier, ids, logits), followed, automatic)
        forget(back, earlier, reach, NOTHING_LATER)
        for number in [number for number in back["obj_ids"] if trails[number].ends]:
            predictor.remove_object(back, number, need_output=False)
    for trail in trails:
        while not trail.joins and trail.masks and not is_seen(trail.masks[-1]):
            trail.masks.pop()
    return trails


def _extend(
    trails: Sequence[Trail], masks: Sequence[TrackedMask], followed: Followed, automatic: AutomaticConfig
) -> None:
    """Extend or end the trails of these masks, which are of one frame."""
    passed: list[TrackedMask] = []
    for mask in masks:
        trail = trails[mask.object_id]
        if not is_seen(mask):
            trail.masks.append(mask)
            trail.n_unseen += 1
            trail.ends = trail.n_unseen >= _patience(automatic)
            continue
        trail.n_unseen = 0
        there = followed.held.seen(mask.frame)
        same = _same_as(mask, there, automatic)
        if trail.object_id is None and same is not None and same not in followed.seen:
            trail.object_id = None if same in {other.object_id for other in trails} else same
        trail.joins = trail.object_id in {one.object_id for one in there}
        trail.ends = trail.joins or same is not None or _is_of(mask, [*there, *passed], automatic)
        if not trail.ends:
            trail.masks.append(mask)
            passed.append(mask)


def _same_as(mask: TrackedMask, others: Sequence[TrackedMask], automatic: AutomaticConfig) -> int | None:
    """The object whose mask coincides with this one, if any."""
    iou = rle.pairwise_iou([mask.counts], [other.counts for other in others], mask.size_hw)[0]
    best = max(range(len(others)), key=lambda place: float(iou[place]), default=None)
    return others[best].object_id if best is not None and iou[best] >= automatic.join_iou_thresh else None


def _is_of(mask: TrackedMask, others: Sequence[TrackedMask], automatic: AutomaticConfig) -> bool:
    """Whether a mask coincides with another, or is a part of it."""
    inside = rle.containment([mask.counts], [other.counts for other in others], mask.size_hw).max(initial=0)
    return bool(inside > automatic.join_containment_thresh) or _same_as(mask, others, automatic) is not None


def _patience(automatic: AutomaticConfig) -> float:
    """After how many frames out of sight a trail ends."""
    return math.inf if automatic.end_after is None else max(automatic.end_after, automatic.rejoin_within or 0)
