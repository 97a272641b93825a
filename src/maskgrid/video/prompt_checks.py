"""Prompts that cannot be given, and why."""

from collections.abc import Iterable, Sequence

import numpy as np

from maskgrid.video.records import FramePrompt, Frames


class BadPrompt(Exception):
    """A prompt that cannot be given.

    Attributes:
        prompt: which.
        message: why, for a person.
    """

    def __init__(self, prompt: FramePrompt, message: str) -> None:
        super().__init__(f"object {prompt.object_id}, frame {prompt.frame}: {message}")
        self.prompt, self.message = prompt, message


def usable_prompts(
    prompts: Iterable[FramePrompt], frames: Frames
) -> tuple[list[FramePrompt], list[tuple[FramePrompt, str]]]:
    """Sort out the prompts that cannot be given: those that can, and the others with the reason."""
    usable, refused = [], []
    for prompt in prompts:
        reason = _refusal(prompt, len(frames), frames.size_hw)
        if reason is None:
            usable.append(prompt)
        else:
            refused.append((prompt, reason))
    return usable, refused


def check_prompts(prompts: Sequence[FramePrompt], frames: Frames) -> None:
    """Verify that all can be given.

    Raises:
        BadPrompt: for the first that cannot.
    """
    for prompt, reason in usable_prompts(prompts, frames)[1]:
        raise BadPrompt(prompt, reason)


def _refusal(prompt: FramePrompt, n_frames: int, size_hw: tuple[int, int]) -> str | None:
    if not 0 <= prompt.frame < n_frames:
        return f"there is no frame {prompt.frame}; frames count from 0 to {n_frames - 1}"
    if prompt.mask is not None:
        if prompt.point_coords is not None or prompt.box_xyxy is not None:
            return "a mask stands alone, without points and box"
        if prompt.mask.shape != size_hw:
            return f"the mask has {_size(prompt.mask.shape)} pixels, and the frame {_size(size_hw)}"
        return None
    return _refusal_of_points(prompt)


def _refusal_of_points(prompt: FramePrompt) -> str | None:
    points, labels, box = prompt.point_coords, prompt.point_labels, prompt.box_xyxy
    n_points = 0 if points is None else len(points)
    if n_points == 0 and box is None:
        return "no points, no box and no mask"
    if n_points != (0 if labels is None else len(labels)):
        return "each point needs a label, 1 or 0"
    if any(part is not None and not np.isfinite(part).all() for part in (points, box)):
        return "a coordinate is no number"
    if box is not None and not prompt.clear_old_points:
        return "a box comes before any points: it cannot be added to them (clear_old_points)"
    return None


def _size(shape_hw: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in reversed(shape_hw))
