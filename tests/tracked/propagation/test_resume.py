"""Killed and restarted tracking gives the same masks and tracks no finished frame twice."""

import pytest
import torch
from oracle_video import boxed, click, painted

from killing import count_steps, die_at
from maskgrid.io.journal import Journal
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.resume import _n_given, track_resumably
from maskgrid.tracked.propagation.tracker import track
from maskgrid.tracked.videos.frames import FrameFolder

OPTIONS = TrackOptions("both", add_all_frames_to_correct_as_cond=True, max_frame_num_to_track=3)


def resumed(tracker, frames, prompts, output, every):
    return track_resumably(tracker, frames, prompts, OPTIONS, Journal(output, "f"), every)


def prompts_of(masks):
    return [painted(masks[3, 0], 3), boxed(masks[2, 1], 2, 4), click(masks[4, 0], 4, round=1)]


@pytest.fixture(scope="module")
def video(clip):
    folder, masks = clip
    return FrameFolder(folder), prompts_of(masks)


@pytest.fixture(scope="module")
def uninterrupted(tracker, video):
    return list(track(tracker, *video, OPTIONS))


class CountedFrames:
    """Frames that count how many were read."""

    def __init__(self, frames):
        self.frames, self.n_read = frames, 0

    @property
    def size_hw(self):
        return self.frames.size_hw

    def __len__(self):
        return len(self.frames)

    def read(self, frame):
        self.n_read += 1
        return self.frames.read(frame)


def test_a_snapshot_from_another_gpu_can_be_resumed(tracker, video, uninterrupted, tmp_path, monkeypatch):
    tracking = track(tracker, *video, OPTIONS)
    taken = [next(tracking) for _ in range(2)]
    monkeypatch.setattr(torch.serialization, "location_tag", lambda storage: "cuda:3")
    journal = Journal(tmp_path / "x", "f")
    journal.snapshot.parent.mkdir(parents=True, exist_ok=True)
    with journal.snapshot.open("wb") as stream:
        tracking.save(stream)
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(journal.snapshot, weights_only=True)
    rest = track(tracker, *video, OPTIONS, snapshot=journal.snapshot)
    assert [*taken, *rest] == uninterrupted
    assert _n_given(journal.snapshot) == 2


@pytest.mark.parametrize("n_taken", [1, 2, 4, 5])
def test_a_resumed_snapshot_gives_the_same_masks(tracker, video, uninterrupted, tmp_path, n_taken):
    tracking = track(tracker, *video, OPTIONS)
    taken = [next(tracking) for _ in range(n_taken)]
    with (tmp_path / "snapshot").open("wb") as stream:
        tracking.save(stream)
    frames, prompts = video
    counted = CountedFrames(frames)
    rest = track(tracker, counted, prompts, OPTIONS, snapshot=tmp_path / "snapshot")
    assert rest.n_given == n_taken
    assert taken + list(rest) == uninterrupted
    # One more for sam2's warm-up on frame 0, and one more for frame 1 if only frame 0 is left to track backwards.
    assert counted.n_read <= len(uninterrupted) - n_taken + 2


def test_a_process_killed_at_any_write_loses_nothing(tracker, video, uninterrupted, tmp_path):
    def work(output):
        return list(resumed(tracker, *video, output, every=2))

    n_steps = count_steps(lambda: work(tmp_path / "first"))
    assert work(tmp_path / "first") == uninterrupted
    for step in range(2, n_steps, n_steps // 5):
        output = tmp_path / f"killed-{step}"
        assert die_at(lambda output=output: work(output), step)
        assert work(output) == uninterrupted


def test_finished_frames_are_not_tracked_again(tracker, video, uninterrupted, tmp_path):
    frames, prompts = video
    first = resumed(tracker, frames, prompts, tmp_path / "x", every=3)
    assert [next(first) for _ in range(4)] == uninterrupted[:4]
    counted = CountedFrames(frames)
    again = list(resumed(tracker, counted, prompts, tmp_path / "x", every=3))
    assert again == uninterrupted
    assert counted.n_read < len(uninterrupted)


def test_a_damaged_snapshot_restarts_tracking(tracker, video, uninterrupted, tmp_path, caplog):
    first = resumed(tracker, *video, tmp_path / "x", every=2)
    assert [next(first) for _ in range(3)] == uninterrupted[:3]
    snapshot = Journal(tmp_path / "x", "f").snapshot
    snapshot.write_bytes(snapshot.read_bytes()[:1000])
    assert list(resumed(tracker, *video, tmp_path / "x", every=2)) == uninterrupted
    assert "from the beginning" in caplog.text
