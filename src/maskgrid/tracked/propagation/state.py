"""sam2's memory of a video: drop what no later frame can read, and save and restore the rest."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch.serialization import default_restore_location

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
    """

    features: int
    pointers: int


def reach_of(model: SAM2Base) -> Reach:
    """Return how far back a model looks.

    It reads ``num_maskmem - 1`` frames: the previous one, and others at multiples of the stride, the nearest of which
    is at most ``stride + 1`` frames back.
    """
    stride = int(model.memory_temporal_stride_for_eval)
    farthest = stride + 1 + (model.num_maskmem - 3) * stride if model.num_maskmem > 2 else model.num_maskmem - 1
    return Reach(max(0, farthest), max(0, model.max_obj_ptrs_in_encoder - 1))


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
    """
    centres = {frame} | horizon.starts | horizon.prompted
    for outputs in state["output_dict_per_obj"].values():
        remembered = outputs["non_cond_frame_outputs"]
        for t in list(remembered):
            distance = min(abs(t - centre) for centre in centres)
            if distance > max(reach.pointers, reach.features):
                del remembered[t]
            else:
                remembered[t] = _part_of(remembered[t], distance <= reach.features, t in horizon.prompted)
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


def _part_of(output: State, features: bool, mask: bool) -> State:
    dropped: Iterable[str] = (
        *(() if features else ("maskmem_features", "maskmem_pos_enc")),
        *(() if mask else ("pred_masks",)),
    )
    return {**output, **dict.fromkeys(dropped)}
