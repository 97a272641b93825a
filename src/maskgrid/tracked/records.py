"""The inputs and outputs of tracking: frames, prompts and masks; and a check of the prompts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import ArrayLike, NDArray

from maskgrid.io.errors import UserError
from maskgrid.masks import rle


@runtime_checkable
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
    """A prompt for one object on one frame: points, a box, or both; or a mask.

    Attributes:
        frame: counted from 0 among the frames that are read; sam2's ``frame_idx``.
        object_id: any whole number, the same in all prompts for one object; sam2's ``obj_id``.
        point_coords: (n, 2), x before y, in pixels of the frame.
        point_labels: (n,), 1 for a point on the object and 0 for one beside it.
        box_xyxy: (4,), in pixels of the frame.
        mask: boolean (H, W).
        clear_old_points: forget earlier points for the same object on the same frame; sam2's.
        round: the round of corrections. Prompts of round 0 come before any tracking; those of round 1 correct its
            result, and so on. After each round the video is tracked again, as in sam2's notebook.
    """

    frame: int
    object_id: int
    point_coords: ArrayLike | None = None
    point_labels: ArrayLike | None = None
    box_xyxy: ArrayLike | None = None
    mask: ArrayLike | None = None
    clear_old_points: bool = True
    round: int = 0


@dataclass(frozen=True, slots=True)
class TrackedMask:
    """An object's mask on a frame, possibly empty.

    Attributes:
        frame: counted from 0 among the frames that are read.
        object_id: the object's number, from its prompts.
        counts: the mask as COCO's compressed run-length code.
        area_px: pixels of the mask; 0 if the object is not seen.
        object_score_logit: sam2's; above 0 the network considers the object visible.
        size_hw: height and width of the frame.
    """

    frame: int
    object_id: int
    counts: bytes
    area_px: int
    object_score_logit: float
    size_hw: tuple[int, int]

    @property
    def segmentation(self) -> NDArray[np.bool_]:
        """The mask as a boolean array (H, W)."""
        return rle.decode(self.counts, self.size_hw)

    @property
    def coco_rle(self) -> dict[str, Any]:
        """The mask as pycocotools and sam2's ``coco_rle`` have it: ``{"size": [h, w], "counts": text}``."""
        return rle.compressed(self.counts, self.size_hw)


class FramePromptError(UserError):
    """A prompt cannot be used.

    Attributes:
        prompt: the prompt.
        message: why, for people.
    """

    def __init__(self, prompt: FramePrompt, message: str) -> None:
        super().__init__(f"object {prompt.object_id}, frame {prompt.frame}: {message}")
        self.prompt, self.message = prompt, message


def check_prompts(prompts: Sequence[FramePrompt], frames: Frames) -> None:
    """Check that all prompts can be used.

    Raises:
        FramePromptError: for the first that cannot.
    """
    for prompt in prompts:
        reason = _refusal(prompt, len(frames), frames.size_hw)
        if reason is not None:
            raise FramePromptError(prompt, reason)


def _refusal(prompt: FramePrompt, n_frames: int, size_hw: tuple[int, int]) -> str | None:
    if not isinstance(prompt.frame, int | np.integer):
        return "the frame is no whole number"
    if not 0 <= prompt.frame < n_frames:
        return f"there is no frame {prompt.frame}; frames count from 0 to {n_frames - 1}"
    if prompt.mask is not None:
        if prompt.point_coords is not None or prompt.box_xyxy is not None:
            return "a mask cannot be combined with points or a box"
        if np.shape(prompt.mask) != size_hw:
            return f"the mask has {_size(np.shape(prompt.mask))} pixels, but the frame {_size(size_hw)}"
        return None
    return _refusal_of_points(prompt)


def _refusal_of_points(prompt: FramePrompt) -> str | None:
    try:
        points, labels, box = (
            np.asarray([] if part is None else part, np.float32)
            for part in (prompt.point_coords, prompt.point_labels, prompt.box_xyxy)
        )
    except ValueError:
        return "points, labels and boxes are arrays of numbers"
    if len(points) == 0 and prompt.box_xyxy is None:
        return "no points, no box and no mask"
    if len(points) and points.shape[1:] != (2,):
        return f"points must be an array (n, 2), not {points.shape}"
    if prompt.box_xyxy is not None and box.shape != (4,):
        return f"a box must be an array (4,), not {box.shape}"
    if labels.shape != points.shape[:1]:
        return "each point needs a label, 1 or 0"
    if not (np.isfinite(points).all() and np.isfinite(box).all()):
        return "a coordinate is not a number"
    if prompt.box_xyxy is not None and not prompt.clear_old_points:
        return "a box cannot be added to earlier points; it must come first (clear_old_points)"
    return None


def _size(shape_hw: tuple[int, ...]) -> str:
    return " x ".join(str(length) for length in reversed(shape_hw))
