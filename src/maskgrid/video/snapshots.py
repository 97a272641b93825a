"""What must be written down of sam2's state, to go on tracking from it."""

from pathlib import Path
from typing import Any

import torch
from torch.serialization import default_restore_location

from maskgrid.video.predictor import State

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
