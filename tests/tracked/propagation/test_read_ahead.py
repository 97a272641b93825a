"""Frames that a thread reads ahead: the same tensors, masks and errors as without, and one reader at a time."""

import time
from threading import Lock

import numpy as np
import pytest
import torch

from maskgrid import FramePrompt, TrackOptions, track
from maskgrid.dataset.demo import draw_clip
from maskgrid.io.errors import UserError
from maskgrid.tracked.propagation import predictor
from maskgrid.tracked.propagation.lazy_images import LazyImages
from maskgrid.tracked.propagation.shared_frames import SharedFrames
from maskgrid.tracked.videos.frames import FrameImages

CPU = torch.device("cpu")
ORDERS = {
    "forwards": range(8),
    "backwards": range(7, -1, -1),
    "a prompt in the middle, then both ways": [0, 4, 4, 5, 6, 7, 3, 2, 1, 0],
    "jumps": [0, 5, 2, 7, 1, 1, 0],
    "a step back": [0, 1, 2, 1, 2, 3, 4],
}


class Counted:
    """Frames that note what is read, and fail if two threads read at once."""

    def __init__(self, images):
        self.frames, self.read_so_far, self.lock = FrameImages(images), [], Lock()
        self.size_hw = self.frames.size_hw

    def __len__(self):
        return len(self.frames)

    def read(self, frame):
        assert self.lock.acquire(blocking=False), "two threads read at once"
        try:
            time.sleep(0.002)
            self.read_so_far.append(frame)
            return self.frames.read(frame)
        finally:
            self.lock.release()


class Ahead(LazyImages):
    """Reads ahead on any device."""

    def __init__(self, frames, image_size, device, reads_ahead):
        super().__init__(frames, image_size, device, reads_ahead=True)


@pytest.fixture(scope="module")
def clip():
    return draw_clip(0, 8, (60, 80))


@pytest.mark.parametrize("order", ORDERS)
def test_tensors_are_the_same_in_any_order(clip, order):
    counted = Counted(clip.frames)
    shared = SharedFrames(counted)
    ahead = LazyImages(shared, 64, CPU, reads_ahead=True)
    usual = LazyImages(FrameImages(clip.frames), 64, CPU)
    for frame in ORDERS[order]:
        assert torch.equal(ahead[frame], usual[frame])
        assert np.array_equal(shared.read(frame), clip.frames[frame])
    if order in ("forwards", "backwards"):  # each once, although it was read twice
        assert counted.read_so_far == list(ORDERS[order])


@pytest.mark.parametrize("direction", ["forward", "backward", "both"])
def test_masks_are_the_same(clip, direction, tracker, monkeypatch):
    prompts = [FramePrompt(4, 1, mask=clip.masks[4, 0])]
    options = TrackOptions(direction=direction)
    usual = dict(track(tracker, clip.frames, prompts, options))
    monkeypatch.setattr(predictor, "LazyImages", Ahead)
    tracking = track(tracker, Counted(clip.frames), prompts, options)
    found = {}
    for frame, masks in tracking:
        found[frame] = masks
        assert np.array_equal(tracking.pixels(frame), clip.frames[frame])
    assert found == usual


def test_a_frame_that_cannot_be_read_is_an_error_once_its_turn_comes(clip, tracker, monkeypatch):
    monkeypatch.setattr(predictor, "LazyImages", Ahead)
    frames = [*clip.frames[:5], "missing.png", *clip.frames[6:]]
    tracking = track(tracker, frames, [FramePrompt(0, 1, mask=clip.masks[0, 0])])
    assert [next(tracking)[0] for _ in range(5)] == [0, 1, 2, 3, 4]
    with pytest.raises(UserError, match=r"missing\.png"):
        next(tracking)
