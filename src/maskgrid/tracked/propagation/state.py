"""sam2's memory of a video: drop what no later frame can read, and save and restore the rest."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor
from torch.serialization import default_restore_location
from torch.utils._pytree import tree_map_only

from maskgrid.tracked.propagation.snapshots import with_own_storage

State = dict[str, Any]

# Saved in snapshots; the rest of the state is rebuilt from the video.
_KEPT = (
    "point_inputs_per_obj",
    "mask_inputs_per_obj",
    "constants",
    "obj_id_to_idx",
    "obj_idx_to_id",
    "obj_ids",
    "output_dict_per_obj",
    "temp_output_dict_per_obj",
    "frames_tracked_per_obj",
)

_PER_OBJECT = tuple(name for name in _KEPT if name.endswith("_per_obj"))


@dataclass(frozen=True, slots=True)
class Reach:
    """How far back, in frames, tracking a frame looks (``SAM2Base._prepare_memory_conditioned_features``).

    Attributes:
        features: for the spatial memory of frames without prompts.
        pointers: for their object pointers.
        good_only: whether only good frames count, and the one before (see :func:`is_good`).
    """

    features: int
    pointers: int
    good_only: bool = False


def reach_of(model: SAM2Base, *, good_only: bool = False) -> Reach:
    """Return how far back a model looks.

    It reads ``num_maskmem - 1`` frames: the previous one, and others at multiples of the stride, the nearest of which
    is at most ``stride + 1`` frames back.
    """
    stride = int(model.memory_temporal_stride_for_eval)
    farthest = stride + 1 + (model.num_maskmem - 3) * stride if model.num_maskmem > 2 else model.num_maskmem - 1
    return Reach(max(0, farthest), max(0, model.max_obj_ptrs_in_encoder - 1), good_only)


@dataclass(frozen=True, slots=True)
class Horizon:
    """The frames that tracking will come back to after the current pass.

    Attributes:
        starts: frames where later passes begin.
        prompted: frames of later prompts.
    """

    starts: frozenset[int]
    prompted: frozenset[int]


NOTHING_LATER = Horizon(frozenset(), frozenset())


def forget(state: State, frame: int, reach: Reach, horizon: Horizon) -> None:
    """Drop memory that no later frame can read, once ``frame`` has been tracked.

    Conditioning frames stay. Of the others, the pass's next frames read those near ``frame``, the first frames of a
    later pass those around its start, and a correction those around its frame, and on the frame itself also the mask.

    Where only good frames count, those near a frame are the next good ones on each side of it, however far they are:
    as many as sam2 keeps, so memory does not grow.
    """
    centres = {frame} | horizon.starts | horizon.prompted
    for outputs in state["output_dict_per_obj"].values():
        remembered = outputs["non_cond_frame_outputs"]
        distances = [_distances(remembered, centre, reach) for centre in centres]
        for t in list(remembered):
            distance = min(found.get(t, math.inf) for found in distances)
            if distance > max(reach.pointers, reach.features):
                del remembered[t]
                continue
            remembered[t] = _part_of(remembered[t], distance <= reach.features, t in horizon.prompted)
            if min(abs(t - centre) for centre in centres) > max(reach.pointers, reach.features):
                # It may stay long after the other objects' outputs of its batch, which a slice would keep.
                remembered[t] = tree_map_only(Tensor, with_own_storage, remembered[t])
    for tracked in state["frames_tracked_per_obj"].values():
        for t in [t for t in tracked if t not in horizon.prompted]:
            del tracked[t]


def state_of(state: State, object_ids: Sequence[int]) -> State:
    """A state of the same video with some of a state's objects, or none.

    The objects' memories are the same in both: to track an object in one is to track it in the other.
    """
    places = [state["obj_id_to_idx"][object_id] for object_id in object_ids]
    return {
        **state,
        "obj_ids": list(object_ids),
        "obj_id_to_idx": {object_id: place for place, object_id in enumerate(object_ids)},
        "obj_idx_to_id": dict(enumerate(object_ids)),
        **{name: {place: state[name][old] for place, old in enumerate(places)} for name in _PER_OBJECT},
    }


def forget_mask_inputs(state: State) -> None:
    """Drop the masks of prompts already added: sam2 only needs to know which frames had one."""
    for inputs in state["mask_inputs_per_obj"].values():
        inputs.update(dict.fromkeys(inputs))


def kept_state(state: State) -> State:
    """The part of an inference state that tracking changes: tensors and plain values."""
    return {name: state[name] for name in _KEPT}


def read_snapshot(path: Path, device: torch.device) -> dict[str, Any]:
    """Load a snapshot for a network on a device.

    The snapshot may come from a process with another GPU. Tensors that were in the CPU's memory stay there.
    """

    def moved(storage: Any, location: str) -> Any:  # noqa: ANN401
        there = "cpu" if location == "cpu" else str(device)
        return default_restore_location(storage, there)  # type: ignore[no-untyped-call]

    content: dict[str, Any] = torch.load(path, map_location=moved, weights_only=True)
    return content


def is_good(output: State) -> bool:
    """Whether a memory that chooses keeps an object's outputs of a frame: what its policy noted there."""
    return bool(output["is_good"].item())


def _distances(remembered: Mapping[int, State], centre: int, reach: Reach) -> dict[int, int]:
    """How far frames are from one, counting those frames that can be read."""
    if not reach.good_only:
        return {t: abs(t - centre) for t in remembered}
    found = {t: abs(t - centre) for t in remembered if abs(t - centre) <= 1}  # the frame before, good or not
    for side in (-1, 1):
        good = [t for t in remembered if (t - centre) * side > 0 and is_good(remembered[t])]
        found |= {t: rank for rank, t in enumerate(sorted(good, key=lambda t: abs(t - centre)), 1)}
    return found


def _part_of(output: State, features: bool, mask: bool) -> State:
    dropped: Iterable[str] = (
        *(() if features else ("maskmem_features", "maskmem_pos_enc")),
        *(() if mask else ("pred_masks",)),
    )
    return {**output, **dict.fromkeys(dropped)}
