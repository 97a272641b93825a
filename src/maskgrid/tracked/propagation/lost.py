"""Objects out of sight: who of them has come back, by what sam2 remembers of them and by where they were."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor
from torch.utils._pytree import tree_map_only

from maskgrid.config.tracking import AutomaticConfig
from maskgrid.masks import rle
from maskgrid.tracked.propagation.held import is_seen
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.snapshots import with_own_storage
from maskgrid.tracked.propagation.state import State, state_of
from maskgrid.tracked.propagation.tracker import tracked_masks
from maskgrid.tracked.records import TrackedMask


@dataclass(frozen=True, slots=True)
class Sight:
    """When an object was last seen.

    Attributes:
        frame: the frame.
        counts: its mask there.
        memory: sam2's outputs for it by frame: those with prompts, and this one.
    """

    frame: int
    counts: bytes
    memory: Mapping[int, State]


class LostObjects:
    """Remembers when each object was last seen, for ``rejoin_within`` frames."""

    def __init__(self, automatic: AutomaticConfig) -> None:
        """Set up with the thresholds; remembers nobody if ``rejoin_within`` is None."""
        self._automatic = automatic
        self._sights: dict[int, Sight] = {}

    def note(self, state: State, frame: int, masks: Sequence[TrackedMask]) -> None:
        """Take down who is seen on a frame that has just been tracked."""
        within = self._automatic.rejoin_within
        if within is None:
            return
        for mask in masks:
            if not is_seen(mask):
                self._set_apart(mask.object_id, frame - 1)
                continue
            outputs = state["output_dict_per_obj"][state["obj_id_to_idx"][mask.object_id]]
            prompted = outputs["cond_frame_outputs"]
            last = {} if frame in prompted else {frame: outputs["non_cond_frame_outputs"][frame]}
            self._sights[mask.object_id] = Sight(frame, mask.counts, {**prompted, **last})
        self._sights = {one: sight for one, sight in self._sights.items() if frame - sight.frame < within}

    def _set_apart(self, object_id: int, last_seen: int) -> None:
        """Copy what is remembered of an object that goes out of sight: a slice keeps its whole batch."""
        sight = self._sights.get(object_id)
        if sight is not None and sight.frame == last_seen:
            memory = tree_map_only(Tensor, with_own_storage, dict(sight.memory))
            self._sights[object_id] = Sight(sight.frame, sight.counts, memory)

    def recognise(
        self, predictor: VideoPredictor, state: State, frame: int, found: Sequence[bytes], seen: Collection[int]
    ) -> dict[int, int]:
        """Find out which of the masks found on a frame are objects that were lost.

        sam2 tracks each lost object on this frame, from its prompts and from when it was last seen alone. If the mask
        that it draws has an IoU of ``rejoin_iou_thresh`` with a found one, and this is not further away than
        ``rejoin_distance_frac`` allows, they are the same object; the highest IoU decides first.

        Args:
            predictor: sam2's.
            state: of the video.
            frame: the frame.
            found: masks of objects that nobody tracks.
            seen: the objects that are seen on this frame.

        Returns:
            The objects by the place of their mask in ``found``.
        """
        lost = {one: sight for one, sight in self._sights.items() if one not in seen}
        if not lost or not found:
            return {}
        size_hw = state["video_height"], state["video_width"]
        drawn = self._drawn(predictor, state, frame, lost)
        iou = rle.pairwise_iou(found, [mask.counts for mask in drawn], size_hw)
        near = _distance_frac(found, [lost[mask.object_id].counts for mask in drawn], size_hw)
        fits = (iou >= self._automatic.rejoin_iou_thresh) & (near <= self._automatic.rejoin_distance_frac)
        fits &= np.array([is_seen(mask) for mask in drawn])
        known: dict[int, int] = {}
        for place in np.argsort(-iou, axis=None, kind="stable"):
            number, column = np.unravel_index(int(place), iou.shape)
            object_id = drawn[column].object_id
            if fits[number, column] and number not in known and object_id not in known.values():
                known[int(number)] = object_id
        return known

    def plain(self) -> dict[int, list[Any]]:
        """The content as tensors, lists, numbers and text, for snapshots."""
        return {
            one: [sight.frame, sight.counts.decode("ascii"), dict(sight.memory)] for one, sight in self._sights.items()
        }

    def restore(self, plain: Mapping[int, Sequence[Any]]) -> None:
        """Take over what :meth:`plain` returned."""
        self._sights = {
            one: Sight(frame, counts.encode("ascii"), memory) for one, (frame, counts, memory) in plain.items()
        }

    @staticmethod
    def _drawn(predictor: VideoPredictor, state: State, frame: int, lost: Mapping[int, Sight]) -> list[TrackedMask]:
        """The lost objects' masks on a frame, by their memories alone."""
        alone = state_of(state, [])
        for object_id, sight in lost.items():
            place = predictor._obj_id_to_idx(alone, object_id)
            alone["output_dict_per_obj"][place]["cond_frame_outputs"].update(sight.memory)
        ((_, ids, logits),) = predictor.propagate_quietly(alone, range(frame, frame + 1))
        return tracked_masks(alone, frame, ids, logits)


def _distance_frac(first: Sequence[bytes], second: Sequence[bytes], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Distances between the middles of masks' boxes, (n, m), as shares of the frame's diagonal."""
    middles = [
        (boxes[:, :2] + boxes[:, 2:]) / 2
        for boxes in (rle.true_boxes_xyxy(masks, size_hw) for masks in (first, second))
    ]
    return np.asarray(np.hypot(*(middles[0][:, None] - middles[1][None]).transpose(2, 0, 1)) / np.hypot(*size_hw))
