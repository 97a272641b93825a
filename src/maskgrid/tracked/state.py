"""What sam2 remembers of a video: forget what no frame to come can read; write the rest down, and read it back."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch.serialization import default_restore_location

from maskgrid.tracked.predictor import State

# The rest of the state is made anew from the video.
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
    """How far back a model looks.

    Of ``num_maskmem - 1`` frames the nearest is the one before. The others lie on multiples of the stride, the first of
    them at most ``stride + 1`` frames back.
    """
    stride = int(model.memory_temporal_stride_for_eval)
    farthest = stride + 1 + (model.num_maskmem - 3) * stride if model.num_maskmem > 2 else model.num_maskmem - 1
    return Reach(max(0, farthest), max(0, model.max_obj_ptrs_in_encoder - 1))


@dataclass(frozen=True, slots=True)
class Horizon:
    """What tracking will come back to, after the pass that it is at.

    Attributes:
        starts: frames where later passes begin.
        prompted: frames of prompts that are still to come.
    """

    starts: frozenset[int]
    prompted: frozenset[int]


def forget(state: State, frame: int, reach: Reach, horizon: Horizon) -> None:
    """Drop what no frame to come can read, once a frame has been tracked.

    Conditioning frames stay. Of the others the next frames of a pass read those near them, which lie behind
    ``frame``; the first frames of a later pass, those around its start; a correction, those around its frame, and
    there the mask too.
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


def forget_mask_inputs(state: State) -> None:
    """Drop the masks of prompts that have been given: sam2 asks only on which frames there were any."""
    for inputs in state["mask_inputs_per_obj"].values():
        inputs.update(dict.fromkeys(inputs))


def kept_state(state: State) -> State:
    """The part of an inference state that tracking has made, of tensors and plain values."""
    return {name: state[name] for name in _KEPT}


def read_snapshot(path: Path, device: torch.device) -> dict[str, Any]:
    """What a snapshot holds, for a network on a device.

    The snapshot may come from a process that had another GPU. What it kept in the CPU's memory stays there.
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
