"""What must be written down of sam2's state, to go on tracking from it."""

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
