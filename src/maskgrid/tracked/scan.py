"""Scan a video file by decoding it once: its frames, or why it cannot be tracked."""

import re
import zlib
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

# FFmpeg takes any text for the output of a terminal, and an image for a video of one frame.
_NO_VIDEO_FORMATS = re.compile(r"tty|image2|\w+_pipe")
# First bytes, from the offset given, of containers whose end is needed before they can be opened.
_CONTAINERS = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"))
# By how much a track may end before the time that its header names.
_TOLERANCE_S = 0.5
_TOLERANCE_FRAMES = 3


class VideoStatus(StrEnum):
    """What became of a video; the values of the column ``status``."""

    OK = "ok"
    MISSING = "missing"  # there is no such file or folder
    UNREADABLE = "unreadable"  # permissions, or the disk or network failed
    EMPTY = "empty"  # no bytes, or a folder without images
    NOT_A_VIDEO = "not_a_video"  # no container that is known, or one without a picture track
    UNSUPPORTED = "unsupported"  # a video of a codec that is not decoded here
    TRUNCATED = "truncated"  # cut short or damaged
    BAD_FRAME = "bad_frame"  # a frame of a folder is no image that can be read
    SIZE_CHANGES = "size_changes"  # frames of more than one size
    TOO_LARGE = "too_large"  # frames of more pixels than the limit
    NO_FRAMES = "no_frames"  # the range chosen holds no frame


class BadVideo(Exception):
    """A video that cannot be tracked.

    Attributes:
        status: why, in one word.
        message: why, for a person; one line that names no path, so that tables do not depend on where files lie.
    """

    def __init__(self, status: VideoStatus, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = " ".join(message.split())[:200]

    def __str__(self) -> str:
        """The message."""
        return self.message


@dataclass(frozen=True, slots=True, eq=False)
class VideoScan:
    """The frames of a video file as decoding gives them.

    Attributes:
        size_hw: height and width as displayed, after the rotation that the file asks for.
        rotation_deg: that rotation, counter-clockwise: 0, 90, 180 or 270.
        frame_rate_hz: the average, as the container states it; None where it does not.
        pts: int64, when each frame is shown, in the stream's own unit; -1 where the file does not say.
        is_key: whether decoding can begin at the frame.
        checksums: CRC-32 of the frame's planes as decoded, uint32.
        complete: whether the scan went on to the end of the video.
    """

    size_hw: tuple[int, int]
    rotation_deg: int
    frame_rate_hz: float | None
    pts: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    checksums: NDArray[np.uint32]
    complete: bool

    def __len__(self) -> int:
        """How many frames were found."""
        return len(self.pts)

    @property
    def seekable(self) -> bool:
        """Whether each frame has a time of its own, in order."""
        return bool((self.pts >= 0).all() and (np.diff(self.pts) > 0).all())


def scan_video(path: Path, stop: int | None = None, max_pixels: int = 100_000_000) -> VideoScan:
    """Decode a video file once, without keeping its pixels.

    Headers count frames wrongly or not at all, so they are counted by decoding.

    Args:
        path: the file.
        stop: how many frames to look at; damage behind them is not seen. None for all.
        max_pixels: a larger width x height is refused.

    Raises:
        BadVideo: the file is no video, holds no frame, is cut short or damaged, or its frames change their size.
    """
    found = _Found()
    with open_video(path) as container:
        stream = picture_track(container)
        rate_hz = float(stream.average_rate) if stream.average_rate else None
        complete = _scan(container, stream, found, stop, max_pixels)
    if found.size_hw is None:
        raise BadVideo(VideoStatus.EMPTY, "the video holds no frame")
    return VideoScan(
        found.size_hw,
        found.rotation_deg,
        rate_hz,
        np.array(found.pts, np.int64),
        np.array(found.is_key, np.bool_),
        np.array(found.checksums, np.uint32),
        complete,
    )


def open_video(path: Path) -> InputContainer:
    """Open a video file.

    Raises:
        BadVideo: it is not there, may not be read, or is no video.
    """
    try:
        if path.stat().st_size == 0 and path.is_file():
            raise BadVideo(VideoStatus.EMPTY, "the file has no bytes")
        container = av.open(str(path))
    except FileNotFoundError:
        raise BadVideo(VideoStatus.MISSING, "there is no such file") from None
    except IsADirectoryError:
        raise BadVideo(VideoStatus.NOT_A_VIDEO, "a folder, not a file") from None
    except PermissionError as error:
        raise BadVideo(VideoStatus.UNREADABLE, error.strerror or "it may not be read") from None
    except (av.FFmpegError, OSError):
        raise _unopened(path) from None
    if _NO_VIDEO_FORMATS.fullmatch(container.format.name):
        container.close()
        raise BadVideo(VideoStatus.NOT_A_VIDEO, "the content is no video that is known here")
    return container


def picture_track(container: InputContainer) -> VideoStream:
    """The first track of moving pictures; covers of songs are none.

    Raises:
        BadVideo: there is none, or none that can be decoded.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise BadVideo(VideoStatus.UNSUPPORTED, "its codec is not decoded here")
            stream.thread_type = "AUTO"
            return stream
    raise BadVideo(VideoStatus.NOT_A_VIDEO, "the file has no track of pictures")


def checksum(frame: VideoFrame) -> int:
    """CRC-32 of a frame's planes, as decoded."""
    value = 0
    for plane in frame.planes:
        value = zlib.crc32(plane, value)
    return value


def size_of(frame: VideoFrame) -> tuple[int, int]:
    """Height and width of a frame as displayed."""
    size = frame.height, frame.width
    return size if frame.rotation % 180 == 0 else size[::-1]


def size_changes(frame: int, size_hw: tuple[int, int], first_hw: tuple[int, int]) -> BadVideo:
    """The error of a frame of another size than the first."""
    sizes = f"{size_hw[1]} x {size_hw[0]} pixels, and those before it {first_hw[1]} x {first_hw[0]}"
    return BadVideo(VideoStatus.SIZE_CHANGES, f"frame {frame} has {sizes}")


@dataclass(slots=True)
class _Found:
    size_hw: tuple[int, int] | None = None
    rotation_deg: int = 0
    pts: list[int] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)


def _scan(container: InputContainer, stream: VideoStream, found: _Found, stop: int | None, max_pixels: int) -> bool:
    """Fill ``found``; tells whether the end was reached."""
    n_packets, end_s = 0, 0.0
    try:
        for packet in container.demux(stream):
            n_packets += packet.size > 0
            if packet.is_corrupt:
                raise _cut(found)
            if packet.pts is not None and packet.time_base is not None:
                end_s = max(end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
            for frame in packet.decode():
                if len(found.pts) == stop:
                    return False
                _note(frame, found, max_pixels)
    except av.FFmpegError as error:
        raise _cut(found, error) from None
    start_s = float((stream.start_time or 0) * stream.time_base) if stream.time_base else 0.0
    if n_packets < stream.frames or end_s - start_s < _declared_s(stream):
        raise _cut(found)
    return True


def _note(frame: VideoFrame, found: _Found, max_pixels: int) -> None:
    size_hw = size_of(frame)
    if found.size_hw is None:
        if size_hw[0] * size_hw[1] > max_pixels:
            message = f"{size_hw[1]} x {size_hw[0]} pixels, more than max_pixels allows ({max_pixels})"
            raise BadVideo(VideoStatus.TOO_LARGE, message)
        found.size_hw, found.rotation_deg = size_hw, frame.rotation % 360
    elif size_hw != found.size_hw:
        raise size_changes(len(found.pts), size_hw, found.size_hw)
    found.pts.append(-1 if frame.pts is None else frame.pts)
    found.is_key.append(bool(frame.key_frame))
    found.checksums.append(checksum(frame))


def _declared_s(stream: VideoStream) -> float:
    """The least length in seconds that the header allows; 0 where it states none. Matroska writes a tag a track."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if match is None:
        return 0.0
    declared_s = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    frames_s = _TOLERANCE_FRAMES / float(stream.average_rate) if stream.average_rate else 0.0
    return declared_s - max(_TOLERANCE_S, frames_s)


def _cut(found: _Found, error: Exception | None = None) -> BadVideo:
    reason = f" ({error})" if error is not None else ""
    return BadVideo(VideoStatus.TRUNCATED, f"cut short or damaged after {len(found.pts)} frames{reason}")


def _unopened(path: Path) -> BadVideo:
    with path.open("rb") as stream:
        head = stream.read(16)
    if any(head[start:].startswith(mark) for start, mark in _CONTAINERS):
        return BadVideo(VideoStatus.TRUNCATED, "begins as a video, and is cut short or damaged")
    return BadVideo(VideoStatus.NOT_A_VIDEO, "the content is no video that is known here")
