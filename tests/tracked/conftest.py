"""Fixtures for the tests of tracking."""

import pytest


@pytest.fixture(scope="session")
def tracker():
    """The demo checkpoint as our tracker."""
    from maskgrid.tracked.propagation.tracker import load_tracker

    return load_tracker("demo", device="cpu")


@pytest.fixture(scope="session")
def sam2_video():
    """The demo checkpoint as sam2's video predictor."""
    from oracle_video import sam2_predictor

    return sam2_predictor()


@pytest.fixture(scope="session")
def clip(tmp_path_factory):
    """A clip of eight frames in a folder, and the masks of its objects (T, N, H, W)."""
    from oracle_video import clip_folder

    return clip_folder(tmp_path_factory.mktemp("clip"))


@pytest.fixture
def logits(monkeypatch):
    """The logits of the returned masks, by frame."""
    from maskgrid.tracked.propagation.predictor import VideoPredictor

    found = {}
    propagate = VideoPredictor.propagate_quietly

    def recording(self, state, frames):
        for frame, ids, logits in propagate(self, state, frames):
            found[frame] = logits[:, 0].numpy().copy()
            yield frame, ids, logits

    monkeypatch.setattr(VideoPredictor, "propagate_quietly", recording)
    return found
