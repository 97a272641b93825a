"""What a scan accepts, as players do, and which damage it finds."""

import math
import struct
import zlib
from dataclasses import replace

import av
import numpy as np
import pytest
from made_files import decoded, moving, status_of, write, write_video

from maskgrid.tracked.videos.checksums import checksum, is_frame
from maskgrid.tracked.videos.frames import VideoFile
from maskgrid.tracked.videos.orientation import rotation_of
from maskgrid.tracked.videos.scan import VideoStatus, scan_video

PADDED = [
    ("libsvtav1", "mkv", "yuv420p"),
    ("libsvtav1", "mkv", "yuv420p10le"),
    ("huffyuv", "avi", "yuv422p"),
    ("ffvhuff", "avi", "yuv420p"),
    ("utvideo", "avi", "gbrp"),
    ("ffv1", "mkv", "yuv420p10le"),
    ("ffv1", "mkv", "gray"),
    ("libvpx-vp9", "webm", "yuv420p"),
    ("libx264", "mp4", "yuv420p"),
    ("v210", "mov", "yuv422p10le"),
    ("rawvideo", "avi", "bgr24"),
    ("mjpeg", "mov", "yuvj420p"),
]


@pytest.mark.parametrize(("codec", "suffix", "pix_fmt"), PADDED)
def test_a_checksum_does_not_depend_on_what_pads_a_decoders_lines(tmp_path, codec, suffix, pix_fmt):
    path = write(tmp_path / f"a.{suffix}", moving(6, (190, 330)), codec, pix_fmt)
    first, second = scan_video(path), scan_video(path)
    assert first.checksums.tolist() == second.checksums.tolist()
    assert len(set(first.checksums.tolist())) == 6
    truth, video = decoded(path), VideoFile(path, scan=first)
    for number in (0, 5, 2, 3):
        assert np.array_equal(video.read(number), truth[number])


FORMATS = [
    "yuv420p",
    "yuv410p",
    "yuv420p10le",
    "gray",
    "gray16le",
    "rgb24",
    "bgr0",
    "gbrp",
    "gbrpf32le",
    "nv12",
    "pal8",
]


@pytest.mark.parametrize("pix_fmt", FORMATS)
def test_a_checksum_covers_every_pixel_and_nothing_else(pix_fmt):
    frame = av.VideoFrame(45, 27, pix_fmt)
    for plane in frame.planes:
        plane.update(bytes(plane.buffer_size))
    before = checksum(frame)
    for index, plane in enumerate(frame.planes):
        if plane.line_size == 0 or (plane.buffer_size == 1024 and pix_fmt == "pal8"):  # a palette has no lines
            continue
        n_lines = plane.buffer_size // plane.line_size
        lines = np.zeros((n_lines, plane.line_size), np.uint8)
        n_bytes = -(-plane.width * frame.format.padded_bits_per_pixel // 8)
        if len(frame.planes) > 1 and pix_fmt != "pal8":
            n_bytes = plane.width * {"yuv420p10le": 2, "gbrpf32le": 4}.get(pix_fmt, 1)
            n_bytes *= 2 if pix_fmt == "nv12" and index == 1 else 1
        if plane.line_size > n_bytes:
            lines[:, n_bytes:] = 7
            plane.update(lines.tobytes())
            assert checksum(frame) == before
        for column in (0, n_bytes - 1):
            lines[:] = 0
            lines[-1, column] = 1
            plane.update(lines.tobytes())
            assert checksum(frame) != before
        plane.update(bytes(plane.buffer_size))


def test_an_index_from_before_still_fits_its_file(tmp_path):
    path = write(tmp_path / "a.mp4", moving(4, (46, 82)), "libx264")
    scan = scan_video(path)
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
    old = []
    for frame in frames:
        assert frame.planes[0].line_size > frame.planes[0].width
        old.append(zlib.crc32(b"".join(bytes(plane) for plane in frame.planes)))
    assert old != scan.checksums.tolist()
    assert is_frame(frames[0], old[0])
    assert not is_frame(frames[0], old[1])
    video = VideoFile(path, scan=replace(scan, checksums=np.array(old, np.uint32)))
    assert np.array_equal(video.read(2), decoded(path)[2])


GAPS = [*range(5), *range(9, 15), 40, 41, 42]


@pytest.mark.parametrize(
    ("suffix", "codec", "times"),
    [
        ("mkv", "libx264", range(50, 80)),  # begins at 2 s, as the parts of a recording
        ("webm", "libvpx-vp9", range(50, 80)),
        ("mkv", "libx264", GAPS),  # of varying frame rate
        ("mp4", "libx264", GAPS),
        ("mp4", "libx264", range(50, 80)),
        ("avi", "mpeg4", GAPS),  # frames that repeat the one before have no packet
        ("avi", "mjpeg", range(50, 80)),
        ("ts", "libx264", range(50, 80)),
        ("flv", "libx264", GAPS),
        ("mov", "mpeg4", GAPS),
        ("mpg", "mpeg2video", range(30)),
    ],
)
def test_videos_that_do_not_begin_at_0_or_have_gaps_are_whole(tmp_path, suffix, codec, times):
    times = list(times)
    path = write(tmp_path / f"a.{suffix}", moving(len(times), (48, 64)), codec, times=times)
    truth = decoded(path)
    video = VideoFile(path)
    assert len(video) == len(truth) == len(times)
    for number in (len(times) - 1, 3, 7, 0):
        assert np.array_equal(video.read(number), truth[number])


@pytest.mark.parametrize(
    ("suffix", "codec"), [("mkv", "libx264"), ("avi", "mpeg4"), ("avi", "mjpeg"), ("webm", "libvpx-vp9")]
)
@pytest.mark.parametrize("times", [range(50, 110), [*range(30), *range(60, 90)]])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_cut_videos_with_gaps_are_found(tmp_path, suffix, codec, times, share):
    path = write(tmp_path / f"a.{suffix}", moving(60, (48, 64)), codec, times=list(times))
    path.write_bytes(path.read_bytes()[: int(path.stat().st_size * share)])
    assert status_of(scan_video, path) == VideoStatus.TRUNCATED


def test_an_avi_whose_end_was_never_written_is_found(tmp_path):
    path = write(tmp_path / "a.avi", moving(60, (48, 64)), "mjpeg")
    content = path.read_bytes()
    half = len(content) // 2
    path.write_bytes(content[:half] + bytes(len(content) - half))
    assert status_of(scan_video, path) == VideoStatus.TRUNCATED


def trimmed(path, out, media_s, length_s):
    """Show only a part of an MP4, by its edit list."""
    data = bytearray(path.read_bytes())

    def scale(box):
        return struct.unpack(">I", data[data.find(box) + 16 : data.find(box) + 20])[0]

    at = data.find(b"elst") + 12
    (media,) = struct.unpack(">i", data[at + 4 : at + 8])
    data[at : at + 8] = struct.pack(">Ii", int(length_s * scale(b"mvhd")), media + int(media_s * scale(b"mdhd")))
    out.write_bytes(data)
    return out


@pytest.mark.parametrize(("media_s", "length_s"), [(0, 2.0), (1.2, 1.2), (0.4, 1.6)])
def test_a_trimmed_mp4_has_the_frames_that_players_show(tmp_path, media_s, length_s):
    long = write(tmp_path / "long.mp4", moving(60, (48, 64)), "libx264", options={"g": "10"})
    path = trimmed(long, tmp_path / "part.mp4", media_s, length_s)
    truth, video = decoded(path), VideoFile(path)
    assert len(video) == len(truth) == round(length_s * 25)
    for number in (len(truth) - 1, 3, 0):
        assert np.array_equal(video.read(number), truth[number])


def with_matrix(path, out, a, b, c, d):
    """Give an MP4 of 64 x 48 pixels a display matrix."""
    data = bytearray(path.read_bytes())
    at = data.find(b"tkhd") + 44
    data[at : at + 36] = struct.pack(">9i", *(round(v * 65536) for v in (a, b, 0, c, d, 0, 0, 0)), 1 << 30)
    out.write_bytes(data)
    return out


@pytest.mark.parametrize(
    ("matrix", "shown"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((-1, 0, 0, 1), np.fliplr),
        ((1, 0, 0, -1), np.flipud),
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),
        ((0, -1, 1, 0), np.rot90),
        ((-2, 0, 0, 1), np.fliplr),
        ((2, 0, 0, 1), lambda p: p),
        ((0, 0, 0, 0), lambda p: p),
    ],
)
def test_a_mirrored_or_turned_video_is_the_picture_that_players_show(tmp_path, matrix, shown):
    base = write(tmp_path / "base.mp4", moving(3, (48, 64)), "libx264")
    path = with_matrix(base, tmp_path / "a.mp4", *matrix)
    expected = [shown(pixels) for pixels in decoded(base)]
    video = VideoFile(path)
    assert video.size_hw == expected[0].shape[:2]
    for number in (0, 2, 1):
        assert np.array_equal(video.read(number), expected[number])


@pytest.mark.parametrize("degrees", [3, -3, 45, 91, 350])
def test_other_turns_are_made_in_the_frames_own_size(tmp_path, degrees):
    base = write(tmp_path / "base.mp4", [np.full((48, 64, 3), 200, np.uint8)] * 2, "libx264")
    turn = math.radians(degrees)
    path = with_matrix(base, tmp_path / "a.mp4", math.cos(turn), math.sin(turn), -math.sin(turn), math.cos(turn))
    video = VideoFile(path)
    with av.open(str(path)) as container:
        assert rotation_of(next(container.decode(video=0))) == video.scan.rotation_deg == -degrees % 360
    pixels = video.read(1)
    assert pixels.shape == (48, 64, 3)
    inside = np.abs(pixels[20:28, 28:36].astype(int) - 200).max()
    assert inside < 4
    assert pixels.min() < 20  # a corner


def damaged(path, out, which, whole):
    """Damage a packet: some bits, or all of it."""
    data = bytearray(path.read_bytes())
    with av.open(str(path)) as container:
        packet = [packet for packet in container.demux(video=0) if packet.size][which]
        start, end = packet.pos, packet.pos + packet.size
    if whole:
        data[start + 4 : end] = bytes(end - start - 4)
    else:
        random = np.random.default_rng(0)
        for place in random.integers(start + 20, end, 12):
            data[place] ^= 1 << int(random.integers(8))
    out.write_bytes(data)
    return out


DAMAGE = [
    ("mp4", "libx264", 12, False),
    ("mp4", "libx264", 23, True),
    ("mp4", "libx264", 10, True),
    ("mkv", "libx264", 23, True),
    ("avi", "mpeg4", 12, False),
    ("avi", "mpeg4", 23, True),
    ("mp4", "mpeg4", 12, True),
    ("mp4", "libx265", 12, True),
    ("mp4", "libx265", 23, True),
    ("mov", "mjpeg", 23, True),
    ("webm", "libvpx-vp9", 12, True),
    ("webm", "libvpx-vp9", 23, True),
    ("flv", "flv1", 12, False),
]


@pytest.mark.parametrize(("suffix", "codec", "which", "whole"), DAMAGE)
def test_damage_that_the_decoder_conceals_is_found(tmp_path, suffix, codec, which, whole):
    base = write(
        tmp_path / f"base.{suffix}",
        moving(24, (180, 320)),
        codec,
        options={} if codec in ("flv1", "mjpeg") else {"g": "12", "bf": "2"},
    )
    assert len(scan_video(base)) == 24
    path = damaged(base, tmp_path / f"a.{suffix}", which, whole)
    assert status_of(scan_video, path) == VideoStatus.TRUNCATED


def test_the_part_of_a_recording_begins_with_its_first_whole_picture(tmp_path):
    path = write(tmp_path / "a.ts", moving(60, (48, 64)), "libx264", options={"g": "10", "bf": "2"})
    content = path.read_bytes()
    start = len(content) // 188 // 3 * 188
    path.write_bytes(content[start:])
    truth, video = decoded(path), VideoFile(path)
    assert 30 <= len(truth) == len(video) < 60
    assert np.array_equal(video.read(5), truth[5])


def test_frames_in_the_right_order_when_none_has_a_time(tmp_path):
    path = write_video(tmp_path / "a.h264", n_frames=20)
    assert not VideoFile(path).scan.seekable
    assert np.array_equal(VideoFile(path).read(13), decoded(path)[13])


def test_a_title_in_another_encoding(tmp_path):
    """FFmpeg gives titles as the bytes that are in the file."""
    path = tmp_path / "a.mp4"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "Gruesse aus Koeln"
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 48, 64, "yuv420p"
        for pixels in moving(3, (48, 64)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    content = path.read_bytes()
    assert content.count(b"Gruesse aus Koeln") == 1
    path.write_bytes(content.replace(b"Gruesse aus Koeln", "Gr\xfc\xdfe  aus K\xf6ln".encode("latin-1").ljust(17)))
    scan = scan_video(path)
    assert len(scan) == 3
    assert VideoFile(path, scan=scan).read(1).shape == (48, 64, 3)


def test_a_damaged_mpeg4_has_the_same_verdict_each_time(tmp_path):
    content = bytearray(write(tmp_path / "a.avi", moving(12, (48, 64)), "mpeg4").read_bytes())
    second = content.index(b"\x00\x00\x01\xb6", content.index(b"\x00\x00\x01\xb6") + 4)
    content[second + 30 : second + 40] = bytes(10)
    (tmp_path / "a.avi").write_bytes(content)
    assert {status_of(scan_video, tmp_path / "a.avi") for _ in range(5)} == {VideoStatus.TRUNCATED}
