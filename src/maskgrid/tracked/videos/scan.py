"""Scan a video file by decoding it once: its frames, or why it cannot be tracked."""

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import av
import numpy as np
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from numpy.typing import NDArray

from maskgrid.tracked.videos.checksums import checksum
from maskgrid.tracked.videos.containers import lacks_its_end
from maskgrid.tracked.videos.orientation import rotation_of

# FFmpeg reads any text as a terminal's output, and an image as a video of one frame.
_NO_VIDEO_FORMATS = re.compile(r"tty|image2|\w+_pipe")
# Offset and magic bytes of containers that cannot be opened if their end is missing.
_CONTAINERS = ((4, b"ftyp"), (4, b"moov"), (4, b"mdat"), (0, b"\x1aE\xdf\xa3"), (0, b"RIFF"))
# Smaller packets may say only that nothing has changed; some decoders then return no frame.
_SMALLEST_PICTURE_BYTES = 16
# Decoders that mend damaged frames, and in threads forget on some runs which: H.264's, and the family of MPEG-4's.
_MENDING_CODECS = re.compile(r"h26[134].*|mpeg\d.*|msmpeg4.*|wmv\d|vc1.*|rv\d+|flv")
# The bit of a VP8 picture's first byte that says that it is shown (RFC 6386, 9.1).
_VP8_SHOWN = 0x10


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
        rotation_deg: that rotation, from :func:`maskgrid.tracked.videos.orientation.rotation_of`.
        frame_rate_hz: the average that the container states; None if it states none.
        pts: int64, when each frame is shown, in the stream's unit; -1 if the file does not say.
        is_key: whether decoding can begin at the frame.
        checksums: uint32, CRC-32 of each frame's decoded planes, without what decoders append to lines.
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
    try:
        return _scanned(path, stop, max_pixels, in_threads=True)
    except BadVideoError as bad:
        if bad.status != VideoStatus.TRUNCATED:
            raise
    # Threads report damage late, on some runs not at all. Alone, the decoder gives the same verdict each time.
    return _scanned(path, stop, max_pixels, in_threads=False)


def _scanned(path: Path, stop: int | None, max_pixels: int, in_threads: bool) -> VideoScan:
    found = _Found()
    with open_video(path) as container:
        stream = picture_track(container)
        if not in_threads or _MENDING_CODECS.fullmatch(stream.codec_context.name):
            stream.thread_type, stream.codec_context.thread_count = "NONE", 1
        rate_hz = float(stream.average_rate) if stream.average_rate else None
        complete = _scan(path, container, stream, found, stop, max_pixels)
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
        container = av.open(str(path), metadata_errors="replace")  # titles may be in any encoding
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


def size_of(frame: VideoFrame) -> tuple[int, int]:
    """Height and width of a frame as displayed."""
    size = frame.height, frame.width
    return size[::-1] if rotation_of(frame) % 180 == 90 else size


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
    is_interlaced: bool = False
    n_packets: int = 0
    end_s: float = 0.0
    has_key: bool = False
    # The times of the packets that should each give a frame.
    pictures: list[int | None] = field(default_factory=list)

    @property
    def n_lost(self) -> int:
        """Pictures of which the decoder made no frame."""
        if self.is_interlaced or not self.pts:  # a packet may be a field, half a frame
            return 0
        times = [pts for pts in self.pictures if pts is not None]
        if not times or self.pts[0] < 0:
            return len(self.pictures) - len(self.pts)
        # Pictures before the first one shown refer to others before the cut, as in the parts of a recording.
        return sum(pts >= self.pts[0] for pts in times) - len(self.pts)


def _scan(
    path: Path, container: InputContainer, stream: VideoStream, found: _Found, stop: int | None, max_pixels: int
) -> bool:
    """Fill ``found``; return whether the scan reached the end."""
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise _cut(found)
            _count(packet, found)
            for frame in packet.decode():
                if len(found.pts) == stop:
                    return False
                if frame.is_corrupt:
                    raise _cut(found, "the decoder made up part of the next one")
                _note(frame, found, max_pixels)
    except av.FFmpegError as error:
        raise _cut(found, error) from None
    if found.n_lost > 0:
        raise _cut(found, f"{found.n_lost} more cannot be decoded")
    if lacks_its_end(path, container, stream, found.n_packets, found.end_s):
        raise _cut(found)
    return True


def _count(packet: "Packet[VideoStream]", found: _Found) -> None:
    found.n_packets += packet.size > 0
    if packet.pts is not None and packet.time_base is not None:
        found.end_s = max(found.end_s, float((packet.pts + (packet.duration or 0)) * packet.time_base))
    if packet.is_keyframe and not found.has_key:
        found.has_key = True
        found.pictures.clear()  # what comes before the first whole picture is not shown
    is_hidden = packet.stream.codec_context.name == "vp8" and packet.size and not bytes(packet)[0] & _VP8_SHOWN
    if packet.size >= _SMALLEST_PICTURE_BYTES and not packet.is_discard and not is_hidden:
        found.pictures.append(packet.pts)


def _note(frame: VideoFrame, found: _Found, max_pixels: int) -> None:
    size_hw = size_of(frame)
    if found.size_hw is None:
        if size_hw[0] * size_hw[1] > max_pixels:
            message = f"{size_hw[1]} x {size_hw[0]} pixels, more than max_pixels allows ({max_pixels})"
            raise BadVideoError(VideoStatus.TOO_LARGE, message)
        found.size_hw, found.rotation_deg = size_hw, rotation_of(frame)
    elif size_hw != found.size_hw:
        raise size_changes(len(found.pts), size_hw, found.size_hw)
    found.is_interlaced |= frame.interlaced_frame
    found.pts.append(-1 if frame.pts is None else frame.pts)
    found.is_key.append(bool(frame.key_frame))
    found.checksums.append(checksum(frame))


def _cut(found: _Found, error: Exception | str | None = None) -> BadVideoError:
    words = error.strerror if isinstance(error, av.FFmpegError) else error
    reason = f" ({words})" if words else ""
    return BadVideoError(VideoStatus.TRUNCATED, f"cut short or damaged after {len(found.pts)} frames{reason}")


def _unopened(path: Path) -> BadVideoError:
    with path.open("rb") as stream:
        head = stream.read(16)
    if any(head[start:].startswith(magic) for start, magic in _CONTAINERS):
        return BadVideoError(VideoStatus.TRUNCATED, "begins as a video, and is cut short or damaged")
    return BadVideoError(VideoStatus.NOT_A_VIDEO, "the content is no video that is known here")
