"""Films of overlays: every frame, the video's rate, even sizes, colours within the codec's error, the same bytes."""

from fractions import Fraction

import av
import numpy as np
import pytest
from made_files import write_video
from made_runs import made_run
from made_videos import drawn, write_frames

from maskgrid.dataset.demo.clips import encode_clip
from maskgrid.io.errors import UserError
from maskgrid.masks.pictures import colour
from maskgrid.tracked.exports import overlay_video
from maskgrid.tracked.exports.overlay_video import painted, write_overlay_mp4
from maskgrid.tracked.videos.shown_frames import ShownFrames


def decoded(path):
    with av.open(path) as container:
        (track,) = container.streams
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(track)]
        return frames, track.average_rate, track.codec_context.name


def discs(n_frames, size_hw):
    """Two masks a frame: a large one that moves, and one that is out of sight on every third frame."""
    rows, columns = np.ogrid[: size_hw[0], : size_hw[1]]
    masks = np.zeros((n_frames, 2, *size_hw), bool)
    for frame in range(n_frames):
        masks[frame, 0] = (rows - size_hw[0] * 0.6) ** 2 + (columns - 20 - 3 * frame) ** 2 < 14**2
        masks[frame, 1, 2:12, -14:-2] = frame % 3 != 2
    return masks


def expected(run, reading, masks):
    frames = ShownFrames.of(run.video, reading)
    for position, of_frame in enumerate(masks):
        pixels = frames.read(position)
        pixels = np.full((*run.video.size_hw, 3), 128, np.uint8) if pixels is None else pixels
        rows = [overlay_row(number, mask) for number, mask in enumerate(of_frame, start=1) if mask.any()]
        yield painted(pixels, rows)


def overlay_row(number, mask):
    from maskgrid.masks import rle

    return {"object_id": number, "counts": rle.encode(mask)}


def lossless(path, n_frames, size_hw, rate_hz):
    path.write_bytes(encode_clip(drawn(n_frames=n_frames, size_hw=size_hw), rate_hz))
    return path


CASES = {
    "odd sizes, every second frame": (
        lambda folder: lossless(folder / "odd.mkv", 9, (61, 83), 30),
        (61, 83),
        {"start": 1, "stride": 2},
        Fraction(15),
    ),
    "turned": (
        lambda folder: write_video(folder / "turned.mp4", n_frames=6, rotation_deg=90, size_hw=(48, 96)),
        (96, 48),
        {},
        None,
    ),
    "a folder": (lambda folder: write_frames(folder / "a", drawn(n_frames=4).frames) or folder / "a", (48, 64), {}, 25),
}


@pytest.mark.parametrize("case", CASES)
def test_a_film_has_all_frames_masks_and_colours(tmp_path, case):
    make, size_hw, frames, rate = CASES[case]
    video = make(tmp_path)
    count = {"odd.mkv": 4, "turned.mp4": 6, "a": 4}[video.name]
    masks = discs(count, size_hw)
    run, reading = made_run(video, masks, tmp_path, **frames)
    assert run.video.size_hw == size_hw
    write_overlay_mp4(run, reading, tmp_path / "film.mp4")
    found, rate_found, codec = decoded(tmp_path / "film.mp4")
    assert (len(found), codec) == (count, "h264")
    assert rate_found == (rate or Fraction(run.video.frame_rate_hz))
    height, width = size_hw
    assert {frame.shape for frame in found} == {(height + height % 2, width + width % 2, 3)}
    for frame, wanted in zip(found, expected(run, reading, masks), strict=True):
        # Colours have half the resolution of H.264's usual form, so single pixels at edges differ more.
        difference = np.abs(frame[:height, :width].astype(int) - wanted)
        assert difference.mean() < 14
        assert np.abs(difference.mean((0, 1))).max() < 18
        assert np.abs(frame[:height, :width].mean((0, 1)) - wanted.mean((0, 1))).max() < 3


def test_the_middle_of_a_mask_has_its_objects_colour(tmp_path):
    """Of a grey film, so that nothing but the mask, half over grey, is in the way."""
    masks = np.zeros((3, 1, 96, 128), bool)
    masks[:, 0, 20:80, 30:110] = True
    write_frames(tmp_path / "a", np.full((3, 96, 128, 3), 128, np.uint8))
    run, reading = made_run(tmp_path / "a", masks, tmp_path)
    write_overlay_mp4(run, reading, tmp_path / "film.mp4")
    frames, *_ = decoded(tmp_path / "film.mp4")
    tint = 128 + (np.array(colour("masklet", 1)) - 128) * 0.45
    for frame in frames:
        assert np.abs(frame[26:34, 40:100].mean((0, 1)) - tint).max() < 4
        assert np.abs(frame[2:14, 2:20].mean((0, 1)) - 128).max() < 3
        assert frame[44:56, 60:80].max() > 240  # the id


def test_the_same_masks_give_the_same_bytes(tmp_path):
    masks = discs(5, (48, 64))
    write_frames(tmp_path / "a", drawn(n_frames=5).frames)
    run, reading = made_run(tmp_path / "a", masks, tmp_path)
    for name in ("one", "two"):
        write_overlay_mp4(run, reading, tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


def test_frames_of_a_video_that_is_gone_are_grey_under_their_masks(tmp_path):
    masks = discs(4, (48, 64))
    video = lossless(tmp_path / "gone.mkv", 4, (48, 64), 10)
    run, reading = made_run(video, masks, tmp_path)
    video.unlink()
    write_overlay_mp4(run, reading, tmp_path / "film.mp4")
    frames, rate, _ = decoded(tmp_path / "film.mp4")
    assert (len(frames), rate) == (4, 10)
    for frame, wanted in zip(frames, expected(run, reading, masks), strict=True):
        assert np.abs(frame.astype(int) - wanted).mean() < 6
        assert np.abs(frame[:4, :40].astype(int) - 128).max() < 16


def test_without_an_encoder_the_message_says_what_to_install(tmp_path, monkeypatch):
    masks = discs(2, (48, 64))
    write_frames(tmp_path / "a", drawn(n_frames=2).frames)
    run, reading = made_run(tmp_path / "a", masks, tmp_path)
    monkeypatch.setattr(overlay_video, "_ENCODERS", ("no-such-encoder",))
    with pytest.raises(UserError, match="this build of PyAV has neither no-such-encoder"):
        write_overlay_mp4(run, reading, tmp_path / "film.mp4")
    assert not (tmp_path / "film.mp4").exists()
