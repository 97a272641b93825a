"""Prompts that cannot be given, and why."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


def _size(shape_hw: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in reversed(shape_hw))


class Frames(Protocol):
    """The frames of one video, in order, read one at a time; all of one size."""

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        ...

    def __len__(self) -> int:
        """How many frames there are, after range and stride."""
        ...

    def read(self, frame: int) -> NDArray[np.uint8]:
        """The pixels of a frame, RGB, shape (H, W, 3); ``frame`` counts from 0."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class FramePrompt:
    """What shows one object on one frame: points, a box, or both; or a mask.

    ``frame`` counts from 0 among the frames that are read. ``point_coords`` is float32 of shape (n, 2), x before y, in
    pixels of the frame; ``point_labels`` int32 of shape (n,), 1 for the object and 0 for what is not; ``box_xyxy``
    float32 of shape (4,); ``mask`` boolean of shape (H, W). ``clear_old_points`` is sam2's: whether points given
    earlier for the same object on the same frame are forgotten.

    ``round`` orders corrections. The prompts of round 0 are all given before anything is tracked; those of round 1 once
    the video has been tracked with them, as corrections of what was found, and so on. After each round the video is
    tracked again, as in sam2's notebook.
    """

    frame: int
    object_id: int
    point_coords: NDArray[np.float32] | None = None
    point_labels: NDArray[np.int32] | None = None
    box_xyxy: NDArray[np.float32] | None = None
    mask: NDArray[np.bool_] | None = None
    clear_old_points: bool = True
    round: int = 0


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


@dataclass(frozen=True, slots=True)
class TrackedMask:
    """An object's mask on a frame: COCO's compressed counts, empty masks included.

    ``object_score_logit`` is sam2's: above 0 the network takes the object to be visible.
    """

    frame: int
    object_id: int
    counts: bytes
    area_px: int
    object_score_logit: float
