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

# FFmpeg reads any text as a terminal's output, and an image as a video of one frame.
_NO_VIDEO_FORMATS = re.compile(r"tty|image2|\w+_pipe")
# Offset and magic bytes of containers that cannot be opened if their end is missing.
_CONTAINERS = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"))
# How far before its declared length a track may end.
_TOLERANCE_S = 0.5
_TOLERANCE_FRAMES = 3


class VideoStatus(StrEnum):
    """The state of a video; the values of the column ``status``."""

    OK = "ok"
    MISSING = "missing"  # there is no such file or folder
    UNREADABLE = "unreadable"  # permissions, or the disk or network failed
    EMPTY = "empty"  # no bytes, or a folder without images
    NOT_A_VIDEO = "not_a_video"  # an unknown container, or one without a video track
    UNSUPPORTED = "unsupported"  # FFmpeg cannot decode its codec here
    TRUNCATED = "truncated"  # truncated or damaged
    BAD_FRAME = "bad_frame"  # a frame of a folder is not a readable image
    SIZE_CHANGES = "size_changes"  # frames of more than one size
    TOO_LARGE = "too_large"  # frames with more pixels than the limit
    NO_FRAMES = "no_frames"  # no frame in the chosen range


class BadVideoError(Exception):
    """A video cannot be tracked.

    Attributes:
        status: why, in one word.
        message: why, for people; one line without paths, so that tables do not depend on the files' location.
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
    """The result of decoding a video file.

    Attributes:
        size_hw: height and width as displayed, after the rotation that the file asks for.
        rotation_deg: that rotation, counter-clockwise: 0, 90, 180 or 270.
        frame_rate_hz: the average that the container states; None if it states none.
        pts: int64, when each frame is shown, in the stream's unit; -1 if the file does not say.
        is_key: whether decoding can begin at the frame.
        checksums: uint32, CRC-32 of each frame's decoded planes.
        complete: whether the scan reached the end of the video.
    """

    size_hw: tuple[int, int]
    rotation_deg: int
    frame_rate_hz: float | None
    pts: NDArray[np.int64]
    is_key: NDArray[np.bool_]
    checksums: NDArray[np.uint32]
    complete: bool

    def __len__(self) -> int:
        """The number of frames found."""
        return len(self.pts)

    @property
    def seekable(self) -> bool:
        """Whether frames have distinct, ascending times."""
        return bool((self.pts >= 0).all() and (np.diff(self.pts) > 0).all())


def scan_video(path: Path, stop: int | None = None, max_pixels: int = 100_000_000) -> VideoScan:
    """Decode a video file once, without keeping its pixels.

    Headers often have a wrong number of frames or none, so this counts them by decoding.

    Args:
        path: the file.
        stop: number of frames to decode; damage after them goes unnoticed. None for all.
        max_pixels: reject a larger width x height.

    Raises:
        BadVideoError: the file is not a video, has no frames, is truncated or damaged, or its frames change size.
    """
    found = _Found()
    with open_video(path) as container:
        stream = picture_track(container)
        rate_hz = float(stream.average_rate) if stream.average_rate else None
        complete = _scan(container, stream, found, stop, max_pixels)
    if found.size_hw is None:
        raise BadVideoError(VideoStatus.EMPTY, "the video holds no frame")
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
        BadVideoError: it does not exist, cannot be read, or is not a video.
    """
    try:
        if path.stat().st_size == 0 and path.is_file():
            raise BadVideoError(VideoStatus.EMPTY, "the file has no bytes")
        container = av.open(str(path))
    except FileNotFoundError:
        raise BadVideoError(VideoStatus.MISSING, "there is no such file") from None
    except IsADirectoryError:
        raise BadVideoError(VideoStatus.NOT_A_VIDEO, "a folder, not a file") from None
    except PermissionError as error:
        raise BadVideoError(VideoStatus.UNREADABLE, error.strerror or "it may not be read") from None
    except (av.FFmpegError, OSError):
        raise _unopened(path) from None
    if _NO_VIDEO_FORMATS.fullmatch(container.format.name):
        container.close()
        raise BadVideoError(VideoStatus.NOT_A_VIDEO, "the content is no video that is known here")
    return container


def picture_track(container: InputContainer) -> VideoStream:
    """Return the first video track, skipping cover pictures.

    Raises:
        BadVideoError: there is none, or it cannot be decoded.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic:
            if stream.codec_context is None:
                raise BadVideoError(VideoStatus.UNSUPPORTED, "its codec is not decoded here")
            stream.thread_type = "AUTO"
            return stream
    raise BadVideoError(VideoStatus.NOT_A_VIDEO, "the file has no track of pictures")


def checksum(frame: VideoFrame) -> int:
    """Return the CRC-32 of a frame's decoded planes."""
    value = 0
    for plane in frame.planes:
        value = zlib.crc32(plane, value)
    return value


def size_of(frame: VideoFrame) -> tuple[int, int]:
    """Height and width of a frame as displayed."""
    size = frame.height, frame.width
    return size if frame.rotation % 180 == 0 else size[::-1]


def size_changes(frame: int, size_hw: tuple[int, int], first_hw: tuple[int, int]) -> BadVideoError:
    """Return the error for a frame whose size differs from the first one's."""
    sizes = f"{size_hw[1]} x {size_hw[0]} pixels, and those before it {first_hw[1]} x {first_hw[0]}"
    return BadVideoError(VideoStatus.SIZE_CHANGES, f"frame {frame} has {sizes}")


@dataclass(slots=True)
class _Found:
    size_hw: tuple[int, int] | None = None
    rotation_deg: int = 0
    pts: list[int] = field(default_factory=list)
    is_key: list[bool] = field(default_factory=list)
    checksums: list[int] = field(default_factory=list)


def _scan(container: InputContainer, stream: VideoStream, found: _Found, stop: int | None, max_pixels: int) -> bool:
    """Fill ``found``; return whether the scan reached the end."""
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
            raise BadVideoError(VideoStatus.TOO_LARGE, message)
        found.size_hw, found.rotation_deg = size_hw, frame.rotation % 360
    elif size_hw != found.size_hw:
        raise size_changes(len(found.pts), size_hw, found.size_hw)
    found.pts.append(-1 if frame.pts is None else frame.pts)
    found.is_key.append(bool(frame.key_frame))
    found.checksums.append(checksum(frame))


def _declared_s(stream: VideoStream) -> float:
    """The shortest length in seconds that agrees with the header (a tag per track in Matroska); 0 if it has none."""
    match = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    if match is None:
        return 0.0
    declared_s = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    frames_s = _TOLERANCE_FRAMES / float(stream.average_rate) if stream.average_rate else 0.0
    return declared_s - max(_TOLERANCE_S, frames_s)


def _cut(found: _Found, error: Exception | None = None) -> BadVideoError:
    reason = f" ({error})" if error is not None else ""
    return BadVideoError(VideoStatus.TRUNCATED, f"cut short or damaged after {len(found.pts)} frames{reason}")


def _unopened(path: Path) -> BadVideoError:
    with path.open("rb") as stream:
        head = stream.read(16)
    if any(head[start:].startswith(magic) for start, magic in _CONTAINERS):
        return BadVideoError(VideoStatus.TRUNCATED, "begins as a video, and is cut short or damaged")
    return BadVideoError(VideoStatus.NOT_A_VIDEO, "the content is no video that is known here")
