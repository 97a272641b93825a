"""Frames in the place where sam2 holds a whole video as one tensor."""

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from maskgrid.video.records import Frames

# Those of ImageNet, as in sam2.utils.misc.load_video_frames.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# sam2 asks for a frame once while it tracks, and twice or three times where there are prompts.
_KEPT = 4


class LazyImages:
    """A sequence of what sam2's ``load_video_frames_from_jpg_images`` makes of frames, made when it is asked for."""

    def __init__(self, frames: Frames, image_size: int, device: torch.device) -> None:
        """Set up; nothing is read.

        Args:
            frames: the video.
            image_size: width and height of the network's input.
            device: where the tensors go.
        """
        self._frames, self._image_size, self._device = frames, image_size, device
        self._mean = torch.tensor(_MEAN, device=device)[:, None, None]
        self._std = torch.tensor(_STD, device=device)[:, None, None]
        self._recent: dict[int, Tensor] = {}

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._frames)

    def __getitem__(self, frame: int) -> Tensor:
        """A frame as the network takes it: float32 (3, image_size, image_size)."""
        image = self._recent.pop(frame, None)
        self._recent[frame] = self._make(frame) if image is None else image
        if len(self._recent) > _KEPT:
            del self._recent[next(iter(self._recent))]
        return self._recent[frame]

    def _make(self, frame: int) -> Tensor:
        resized = PIL.Image.fromarray(self._frames.read(frame)).resize((self._image_size, self._image_size))
        # In this order, and laid out in memory as sam2 has it: every last bit of a result depends on it.
        scaled = torch.from_numpy(np.array(resized) / 255.0).permute(2, 0, 1)
        image = scaled.to(torch.float32, memory_format=torch.contiguous_format).to(self._device)
        return image.sub_(self._mean).div_(self._std)
