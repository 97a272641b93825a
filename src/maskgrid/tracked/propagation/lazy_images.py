"""The network's input: frames of a video as tensors, each made when sam2 asks for it, or shortly before."""

from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import PIL.Image
import torch
from torch import Tensor

from maskgrid.network.transfers import page_locked
from maskgrid.tracked.records import Frames

# ImageNet's, as in sam2.utils.misc.load_video_frames.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# Frames to keep: sam2 reads a frame once while tracking, and two or three times where it has prompts.
_KEPT = 4


class LazyImages:
    """The tensors of sam2's ``load_video_frames_from_jpg_images`` as a sequence, each made on access."""

    def __init__(self, frames: Frames, image_size: int, device: torch.device, *, reads_ahead: bool = False) -> None:
        """Set up, without reading a frame.

        Args:
            frames: the video.
            image_size: width and height of the network's input.
            device: the tensors' device.
            reads_ahead: whether a thread makes the next frame once two in a row have been asked for. It is for a device
                that leaves the CPU time; ``frames`` must then be for several threads.
        """
        self._frames, self._image_size, self._device = frames, image_size, device
        self._mean = torch.tensor(_MEAN, device=device)[:, None, None]
        self._std = torch.tensor(_STD, device=device)[:, None, None]
        self._recent: dict[int, Tensor] = {}
        self._reader = ThreadPoolExecutor(1, "maskgrid-frames") if reads_ahead else None
        self._ahead: tuple[int, Future[Tensor]] | None = None
        self._last = -2

    def __len__(self) -> int:
        """How many frames there are."""
        return len(self._frames)

    def __getitem__(self, frame: int) -> Tensor:
        """A frame as the network's input: float32 (3, image_size, image_size)."""
        image = self._recent.pop(frame, None)
        self._recent[frame] = self._normalised(frame) if image is None else image
        if len(self._recent) > _KEPT:
            del self._recent[next(iter(self._recent))]
        self._read_ahead(frame)
        return self._recent[frame]

    def _normalised(self, frame: int) -> Tensor:
        there, self._ahead = self._ahead, None
        scaled = self._scaled(frame) if there is None or there[0] != frame else there[1].result()
        return scaled.to(self._device, non_blocking=True).sub_(self._mean).div_(self._std)

    def _read_ahead(self, frame: int) -> None:
        step, self._last = frame - self._last, frame
        after = frame + step
        if self._reader is None or abs(step) != 1 or after in self._recent or not 0 <= after < len(self):
            return
        if self._ahead is None:
            self._ahead = after, self._reader.submit(self._scaled, after)

    def _scaled(self, frame: int) -> Tensor:
        """A frame at the network's size, float32 in 0..1, on the CPU; for a CUDA device in page-locked memory."""
        resized = PIL.Image.fromarray(self._frames.read(frame)).resize((self._image_size, self._image_size))
        # In sam2's order of operations and memory layout: the last bits of results depend on both.
        scaled = torch.from_numpy(np.array(resized) / 255.0).permute(2, 0, 1)
        scaled = scaled.to(torch.float32, memory_format=torch.contiguous_format)
        return page_locked(scaled) if self._device.type == "cuda" else scaled
