"""Whether a container's end is there: what it declares, against what reading it to its end gave."""

import re
import struct
from pathlib import Path

from av.container import InputContainer
from av.video.stream import VideoStream

# How far before its declared length a track may end.
_TOLERANCE_S = 0.5
_TOLERANCE_FRAMES = 3
# Formats whose index lists every packet to show. An edit list leaves others out, which the header still counts.
_INDEXED = "mov,mp4,m4a,3gp,3g2,mj2"
_SEGMENT = b"\x18\x53\x80\x67"


def lacks_its_end(path: Path, container: InputContainer, stream: VideoStream, n_packets: int, end_s: float) -> bool:
    """Whether packets are missing that the container declares.

    Args:
        path: the file.
        container: the file, read to its end.
        stream: its track of pictures.
        n_packets: packets read, without empty ones.
        end_s: when the last of them ends, in seconds of the track's own clock.
    """
    if container.format.name == _INDEXED and len(stream.index_entries):
        return n_packets < sum(entry.size > 0 for entry in stream.index_entries)
    if container.format.name == "avi" and _is_whole_avi(path):
        return False  # the header counts frames that repeat the one before and have no packet
    if container.format.name == "matroska,webm" and _is_short_matroska(path):
        return True
    return n_packets < stream.frames or end_s < _declared_end_s(container, stream)


def _declared_end_s(container: InputContainer, stream: VideoStream) -> float:
    """The earliest end in seconds that agrees with the header; 0 if that says nothing."""
    declared_s = 0.0
    # A tag per track in Matroska. FFmpeg writes the time of the track's end; others its length, which is no more.
    if match := re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", "")):
        declared_s = int(match[1]) * 3600 + int(match[2]) * 60 + float(match[3])
    elif container.format.name == "mxf" and stream.duration and stream.time_base:
        declared_s = float(stream.duration * stream.time_base)
    frames_s = _TOLERANCE_FRAMES / float(stream.average_rate) if stream.average_rate else 0.0
    return declared_s - max(_TOLERANCE_S, frames_s)


def _is_whole_avi(path: Path) -> bool:
    """Whether every RIFF chunk of an AVI file ends within it, and the first has its index, which comes last."""
    end, has_index = path.stat().st_size, False
    with path.open("rb") as stream:
        start = 0
        while start + 12 <= end:
            name, length = _chunk(stream.read(8))
            stop = start + 8 + length
            if name != b"RIFF":  # bytes after the end, which players ignore
                break
            if length == 0 or stop > end:
                return False
            at = start + 12
            while start == 0 and at + 8 <= stop and not has_index:
                stream.seek(at)
                name, length = _chunk(stream.read(8))
                has_index = name == b"idx1"
                at += 8 + length + length % 2
            start = stop + stop % 2
            stream.seek(start)
    return has_index


def _is_short_matroska(path: Path) -> bool:
    """Whether a Matroska or WebM file ends before its segment does, whose size stands at the start (RFC 8794)."""
    with path.open("rb") as stream:
        head = stream.read(4096)
    header_bytes, start = _vint(head, 4)
    start += header_bytes or 0
    if head[start : start + 4] != _SEGMENT:
        return False
    segment_bytes, start = _vint(head, start + 4)
    return segment_bytes is not None and start + segment_bytes > path.stat().st_size


def _vint(data: bytes, at: int) -> tuple[int | None, int]:
    """A number of variable length and the place after it; None if it says that the size is unknown."""
    n_bytes = 9 - data[at].bit_length()
    largest = (1 << 7 * n_bytes) - 1
    value = int.from_bytes(data[at : at + n_bytes]) & largest
    return None if value == largest else value, at + n_bytes


def _chunk(head: bytes) -> tuple[bytes, int]:
    name, length = struct.unpack("<4sI", head)
    return name, length
