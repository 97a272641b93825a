"""Frames of files and folders: the same pixels in any reading order, and reasons if they cannot be read."""

import numpy as np
import PIL.Image
import pytest
from made_files import CODECS, decoded, status_of, write_video

from maskgrid.tracked.videos.frames import FrameFolder, VideoFile, natural_key
from maskgrid.tracked.videos.scan import VideoStatus, scan_video


@pytest.mark.parametrize("kind", CODECS)
def test_frames_are_the_same_in_any_order(tmp_path, kind):
    path = write_video(tmp_path / f"video.{kind}")
    truth = decoded(path)
    video = VideoFile(path)
    assert (len(video), video.size_hw) == (30, (48, 64))
    random = np.random.default_rng(0)
    for number in (*range(30), *range(29, -1, -1), *random.integers(0, 30, 20)):
        assert np.array_equal(video.read(int(number)), truth[number]), number


def test_range_and_stride(tmp_path):
    path = write_video(tmp_path / "video.mp4")
    truth = decoded(path)
    video = VideoFile(path, start=5, stop=20, stride=4)
    assert (len(video), video.numbers, len(video.scan)) == (4, range(5, 20, 4), 20)
    for frame, number in enumerate((5, 9, 13, 17)):
        assert np.array_equal(video.read(frame), truth[number])


def test_damage_after_the_range_does_no_harm(tmp_path):
    path = write_video(tmp_path / "video.mp4", options={"movflags": "faststart"})
    truth = decoded(path)
    path.write_bytes(path.read_bytes()[:-500])
    assert status_of(VideoFile, path) == VideoStatus.TRUNCATED
    video = VideoFile(path, stop=8)
    assert np.array_equal(video.read(7), truth[7])


@pytest.mark.parametrize("rotation_deg", [90, 180, 270])
def test_videos_are_rotated_like_in_players(tmp_path, rotation_deg):
    path = write_video(tmp_path / "video.mp4", n_frames=2, rotation_deg=rotation_deg)
    video = VideoFile(path)
    assert video.size_hw == ((48, 64) if rotation_deg == 180 else (64, 48))
    assert np.array_equal(video.read(1), np.rot90(decoded(path)[1], rotation_deg // 90))


@pytest.mark.parametrize("kind", ["mp4", "mkv", "avi", "webm"])
def test_a_truncated_video_is_detected(tmp_path, kind):
    path = write_video(tmp_path / f"video.{kind}", n_frames=60)
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * 0.6)])
    assert status_of(VideoFile, path) == VideoStatus.TRUNCATED


def test_files_that_are_no_video(tmp_path):
    text, empty, picture = tmp_path / "text.mp4", tmp_path / "empty.mp4", tmp_path / "picture.png"
    text.write_text("not a video at all " * 20)
    empty.touch()
    PIL.Image.new("RGB", (8, 8)).save(picture)
    assert status_of(VideoFile, text) == VideoStatus.NOT_A_VIDEO
    assert status_of(VideoFile, picture) == VideoStatus.NOT_A_VIDEO
    assert status_of(VideoFile, empty) == VideoStatus.EMPTY
    assert status_of(VideoFile, tmp_path) == VideoStatus.NOT_A_VIDEO
    assert status_of(VideoFile, tmp_path / "none.mp4") == VideoStatus.MISSING


def test_ranges_and_sizes_that_do_not_fit(tmp_path):
    path = write_video(tmp_path / "video.mp4", n_frames=5)
    assert status_of(VideoFile, path, start=5) == VideoStatus.NO_FRAMES
    assert status_of(VideoFile, path, max_pixels=100) == VideoStatus.TOO_LARGE


def test_frames_that_change_their_size(tmp_path):
    # Raw H.264 streams of different sizes can be concatenated.
    first = write_video(tmp_path / "first.h264", n_frames=5)
    second = write_video(tmp_path / "second.h264", n_frames=5, size_hw=(96, 64))
    joined = tmp_path / "joined.h264"
    joined.write_bytes(first.read_bytes() + second.read_bytes())
    assert status_of(VideoFile, joined) == VideoStatus.SIZE_CHANGES


def test_a_changed_file_is_not_read_further(tmp_path):
    path = write_video(tmp_path / "video.mp4")
    scan = scan_video(path)
    write_video(path, codec="mpeg4")
    assert status_of(VideoFile(path, scan=scan).read, 3) == VideoStatus.TRUNCATED


def test_a_folder_in_natural_order(tmp_path):
    for number in (1, 2, 10, 11):
        PIL.Image.new("RGB", (9, 6), (number, 0, 0)).save(tmp_path / f"img{number}.{'png' if number < 5 else 'bmp'}")
    (tmp_path / "notes.txt").touch()
    (tmp_path / ".hidden.png").touch()
    folder = FrameFolder(tmp_path)
    assert folder.size_hw == (6, 9)
    assert [int(folder.read(frame)[0, 0, 0]) for frame in range(len(folder))] == [1, 2, 10, 11]
    part = FrameFolder(tmp_path, start=1, stride=2)
    assert [path.name for path in part.paths] == ["img2.png", "img11.bmp"]
    assert sorted(["b2", "b10", "2", "a", "b02", "10"], key=natural_key) == ["2", "10", "a", "b02", "b2", "b10"]


def test_a_folder_with_bad_frames(tmp_path):
    assert status_of(FrameFolder, tmp_path / "none") == VideoStatus.MISSING
    assert status_of(FrameFolder, tmp_path) == VideoStatus.EMPTY
    PIL.Image.new("RGB", (9, 6)).save(tmp_path / "1.png")
    PIL.Image.new("RGB", (6, 9)).save(tmp_path / "2.png")
    (tmp_path / "3.png").write_bytes((tmp_path / "1.png").read_bytes()[:40])
    folder = FrameFolder(tmp_path)
    assert status_of(folder.read, 1) == VideoStatus.SIZE_CHANGES
    assert status_of(folder.read, 2) == VideoStatus.BAD_FRAME
    assert status_of(FrameFolder, tmp_path, start=7) == VideoStatus.NO_FRAMES
