"""Frames that the network's input and other readers share, so that one thread can read ahead."""

from threading import Lock

import numpy as np
from numpy.typing import NDArray

from maskgrid.tracked.records import Frames

# The frame that came last, for whoever draws it, the one that the network works on, and the one after that.
_KEPT = 3


class SharedFrames:
    """The frames of a video for several threads: one reads at a time, and the last three frames stay."""

    def __init__(self, frames: Frames) -> None:
        """Wrap frames; from now on, nobody else may read them."""
        self._frames, self._lock = frames, Lock()
        self._recent: dict[int, NDArray[np.uint8]] = {}

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self._frames.size_hw

    def __len__(self) -> int:
        """How many frames there are, after range and stride."""
        return len(self._frames)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """The pixels of a frame, RGB, shape (H, W, 3); raises what the frames raise."""
        with self._lock:
            pixels = self._recent.pop(frame, None)
            self._recent[frame] = self._frames.read(frame) if pixels is None else pixels
            if len(self._recent) > _KEPT:
                del self._recent[next(iter(self._recent))]
            return self._recent[frame]
