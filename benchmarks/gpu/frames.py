"""A video as both sides read it."""

from pathlib import Path

import numpy as np
import PIL.Image
from numpy.typing import NDArray


class JpegFrames:
    """JPEG files, as sam2 reads a video, and their pixels, as maskgrid does."""

    def __init__(self, folder: Path, frames: NDArray[np.uint8]) -> None:
        """Write frames (T, H, W, 3) into a new folder, and read them back."""
        folder.mkdir()
        self.folder, self._frames = folder, []
        for number, pixels in enumerate(frames):
            path = folder / f"{number:05d}.jpg"
            PIL.Image.fromarray(pixels).save(path, quality=92)
            self._frames.append(np.array(PIL.Image.open(path).convert("RGB")))

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of a frame."""
        height, width = self._frames[0].shape[:2]
        return height, width

    def __len__(self) -> int:
        return len(self._frames)

    def read(self, frame: int) -> NDArray[np.uint8]:
        """A frame's pixels."""
        pixels: NDArray[np.uint8] = self._frames[frame]
        return pixels
