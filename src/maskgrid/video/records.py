"""The words of tracking: a prompt on a frame, a mask on a frame, the frames of a video."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray


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
