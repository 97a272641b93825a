"""Checksums of decoded frames, by which a file is known again."""

import zlib
from collections.abc import Iterator

import numpy as np
from av.video.frame import VideoFrame


def is_frame(frame: VideoFrame, known: int) -> bool:
    """Whether a frame has a checksum, or had it before checksums left out the bytes that pad each line."""
    if checksum(frame) == known:
        return True
    value = 0
    for plane in frame.planes:
        value = zlib.crc32(plane, value)
    return value == known


def checksum(frame: VideoFrame) -> int:
    """Return the CRC-32 of a frame's decoded planes: their pixels, without the bytes that pad each line."""
    value = 0
    for plane, length in zip(frame.planes, _line_bytes(frame), strict=True):
        stride = abs(plane.line_size)
        if length in (0, stride):
            value = zlib.crc32(plane, value)
            continue
        lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, stride)
        value = zlib.crc32(lines[:, :length].tobytes(), value)
    return value


def _line_bytes(frame: VideoFrame) -> Iterator[int]:
    """The bytes of a line that hold pixels, for each plane; 0 where that is unknown."""
    for index, plane in enumerate(frame.planes):
        parts = [part for part in frame.format.components if part.plane == index]
        if frame.format.has_palette or not parts:
            # Pixels are one byte each; the second plane is the palette.
            yield plane.width if index == 0 and frame.format.has_palette else 0
        elif frame.format.is_bit_stream:
            yield -(-plane.width * frame.format.bits_per_pixel // 8)
        elif len(parts) == len(frame.format.components):  # packed: all components in one plane
            yield -(-plane.width * frame.format.padded_bits_per_pixel // 8)
        else:
            bits = max(part.bits for part in parts)
            yield plane.width * len(parts) * (1 if bits <= 8 else 2 if bits <= 16 else 4)
