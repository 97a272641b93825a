"""SAMURAI's memory (Yang et al., arXiv:2411.11922), written from the paper, on sam2's modules and weights.

Of the decoder's masks it takes the one that its predicted IoU and the object's motion speak for, and it remembers the
last *good* frames instead of the last ones. What it knows of a frame stands beside sam2's own outputs for the frame, so
that snapshots, corrections and objects that come and go need nothing more.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from maskgrid.io.errors import UserError
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.motion import Motion, boxes_of, overlaps_of
from maskgrid.tracked.propagation.state import State, is_good

# The paper's thresholds for a good frame. Above them lie the predicted IoU, the object's score, and the IoU of the
# mask's box with the expected one.
LEAST_IOU, LEAST_SCORE, LEAST_MOTION_IOU = 0.5, 0.0, 0.0

_PROMPTS = "point_inputs", "mask_inputs"


@dataclass(frozen=True, slots=True)
class Samurai:
    """The policy.

    Attributes:
        motion_weight: the motion's share of a mask's weight; the paper's alpha_kf.
        stable_frames: on how many frames in a row an object is seen before its motion counts; the paper's tau_kf.
    """

    motion_weight: float
    stable_frames: int

    def choice(self, call: State, objects: Sequence[State]) -> "MaskChoice":
        """The choice of masks for objects on a frame.

        Args:
            call: the arguments of sam2's ``_run_single_frame_inference``.
            objects: each object's outputs by frame.
        """
        step = -1 if call["reverse"] else 1
        motions = tuple(motion_on(outputs, call["frame_idx"] - step) for outputs in objects)
        prompted = any(call[name] is not None for name in _PROMPTS)
        return MaskChoice(self, motions, step, prompted)


def samurai_of(options: TrackOptions) -> Samurai | None:
    """The policy that options ask for; None for sam2's memory.

    Raises:
        UserError: there is no such memory.
    """
    if options.memory == "sam2":
        return None
    if options.memory != "samurai":
        raise UserError(f"memory: there is no {options.memory!r}; take sam2 or samurai")
    return Samurai(options.memory_motion_weight, options.memory_stable_frames)


class MaskChoice:
    """Chooses the masks of some objects on a frame, and judges the frame for each."""

    def __init__(self, policy: Samurai, motions: Sequence[Motion], step: int, prompted: bool) -> None:
        """Set up with the objects' motions, as they were on the frame before; ``step`` is 1, or -1 backwards."""
        self._policy, self._motions, self._step, self._prompted = policy, motions, step, prompted
        n = len(motions)
        self._good = np.ones(n, np.bool_)  # what was prompted is what the user says

    def weigh(self, masks: Tensor, ious: Tensor, scores: Tensor) -> Tensor:
        """Weigh the predicted IoUs (n, 3) of masks (n, 3, H, W) by motion: sam2 takes the mask with the highest.

        Args:
            masks: the decoder's logits.
            ious: its predicted IoUs.
            scores: its object scores (n, 1).
        """
        predicted = ious.detach().cpu().double().numpy()
        motion = self._motion_ious(masks) if self._are_known().any() else np.ones(predicted.shape)
        share = self._policy.motion_weight * self._are_known()[:, None]
        weighed = (share * motion + (1 - share) * predicted).astype(np.float32)
        chosen = np.arange(len(weighed)), weighed.argmax(1)
        in_sight = scores.detach().cpu().double().numpy()[:, 0] > LEAST_SCORE
        self._good = in_sight & (predicted[chosen] > LEAST_IOU) & (motion[chosen] > LEAST_MOTION_IOU)
        return torch.from_numpy(weighed).to(ious.device)

    def notes(self, masks: Tensor) -> State:
        """What to keep beside sam2's outputs: tensors with a row for each object.

        Args:
            masks: the logits (n, 1, H, W) of the masks that were chosen.
        """
        boxes = boxes_of(masks[:, 0])
        seen = [None if np.isnan(box).any() else box for box in boxes]
        # A prompt says where the object is, whatever it did before.
        before = [Motion()] * len(seen) if self._prompted else self._motions
        motions = [motion.after(box, self._step) for motion, box in zip(before, seen, strict=True)]
        return {
            "is_good": torch.from_numpy(self._good.copy()),
            "motion_state": torch.from_numpy(np.stack([motion.state for motion in motions])),
            "motion_covariance": torch.from_numpy(np.stack([motion.covariance for motion in motions])),
            "motion_n_seen": torch.tensor([motion.n_seen for motion in motions]),
        }

    @contextmanager
    def made_by(self, decoder: nn.Module) -> Iterator[None]:
        """Have sam2 take the masks chosen here for a while."""

        def weighing(_: object, __: object, output: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            masks, ious, tokens, scores = output
            return masks, self.weigh(masks, ious, scores), tokens, scores

        if self._prompted:
            yield
            return
        hook = decoder.register_forward_hook(weighing)
        try:
            yield
        finally:
            hook.remove()

    def _are_known(self) -> NDArray[np.bool_]:
        """Whose motion counts."""
        return np.array([motion.n_seen >= max(1, self._policy.stable_frames) for motion in self._motions])

    def _motion_ious(self, masks: Tensor) -> NDArray[np.float64]:
        boxes, found = boxes_of(masks), np.ones(masks.shape[:2])
        for number, motion in enumerate(self._motions):
            if self._are_known()[number]:
                found[number] = overlaps_of(boxes[number], motion.expected(self._step))
        return found


def motion_on(outputs: State, frame: int) -> Motion:
    """What is known of an object's motion after a frame; nothing if it was not tracked there."""
    output = outputs["cond_frame_outputs"].get(frame) or outputs["non_cond_frame_outputs"].get(frame)
    if output is None:
        return Motion()
    state, covariance = (output[name][0].numpy() for name in ("motion_state", "motion_covariance"))
    return Motion(state, covariance, int(output["motion_n_seen"]))


def good_outputs(outputs: State, frame: int, reverse: bool) -> State:
    """An object's outputs as if its last good frames had been the last ones: what sam2 then reads as its memory.

    The frame before is always among them, good or not. Conditioning frames stay as they are, and take up their places.

    Args:
        outputs: the object's outputs by frame, from ``output_dict_per_obj``.
        frame: the frame to track.
        reverse: whether tracking goes backwards.
    """
    sign, tracked, cond = 1 if reverse else -1, outputs["non_cond_frame_outputs"], outputs["cond_frame_outputs"]
    past = sorted((t for t in {*tracked, *cond} if (t - frame) * sign > 0), key=lambda t: abs(t - frame))
    chosen = [t for t in past if t in cond or t == frame + sign or is_good(tracked[t])]
    near = {frame + sign * place: tracked[t] for place, t in enumerate(chosen, 1) if t not in cond}
    return {**outputs, "non_cond_frame_outputs": dict(sorted(near.items()))}
