"""Pictures written strip by strip, for images that are larger than memory: PNG and tiled TIFF."""

import struct
import zlib
from collections.abc import Iterator
from typing import IO, Any

import numpy as np
import tifffile
from numpy.typing import NDArray

_SIGNATURE, _GREY, _RGB, _UP = b"\x89PNG\r\n\x1a\n", 0, 2, 2
_TILE_PX = 512
_BIG_TIFF_BYTES = 1 << 31

Strips = Iterator[NDArray[Any]]


def write_png(stream: IO[bytes], strips: Strips, size_hw: tuple[int, int]) -> None:
    """Write a PNG (ISO/IEC 15948).

    Args:
        stream: the file.
        strips: from top to bottom, grey (h, W) or RGB (h, W, 3), of uint8 or uint16.
        size_hw: height and width of the whole.
    """
    before, packer = None, zlib.compressobj()
    for strip in strips:
        pixels = strip.astype(strip.dtype.newbyteorder(">"))
        rows = pixels.reshape(len(pixels), -1).view(np.uint8)
        if before is None:
            kind = 8 * strip.dtype.itemsize, _GREY if strip.ndim == 2 else _RGB
            stream.write(_SIGNATURE)
            _write_chunk(stream, b"IHDR", struct.pack(">IIBBBBB", size_hw[1], size_hw[0], *kind, 0, 0, 0))
            before = np.zeros(rows.shape[1], np.uint8)
        filtered = np.full((len(rows), rows.shape[1] + 1), _UP, np.uint8)
        filtered[0, 1:] = rows[0] - before
        filtered[1:, 1:] = rows[1:] - rows[:-1]
        before = rows[-1].copy()
        _write_chunk(stream, b"IDAT", packer.compress(filtered.data))
    _write_chunk(stream, b"IDAT", packer.flush())
    _write_chunk(stream, b"IEND", b"")


def _write_chunk(stream: IO[bytes], name: bytes, content: bytes) -> None:
    if content or name == b"IEND":
        stream.write(struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content)))


def write_tiff(stream: IO[bytes], strips: Strips, size_hw: tuple[int, int]) -> None:
    """Write a tiled TIFF of int32, compressed by deflate; BigTIFF if it may need that.

    Args:
        stream: the file.
        strips: from top to bottom, int32 (h, W).
        size_hw: height and width of the whole.
    """
    is_big = size_hw[0] * size_hw[1] * 4 > _BIG_TIFF_BYTES
    # A temporary file that is named by a number, which tifffile would take for a path.
    handle = tifffile.FileHandle(stream, mode="r+b", name="picture.tif")
    with tifffile.TiffWriter(handle, bigtiff=is_big) as file:
        file.write(
            _tiles(strips),
            shape=size_hw,
            dtype=np.int32,
            photometric="minisblack",
            tile=(_TILE_PX, _TILE_PX),
            compression="zlib",
            metadata=None,
            software=False,
        )


def _tiles(strips: Strips) -> Strips:
    """Strips of any heights as tiles, row by row of tiles, filled up with 0."""
    kept: list[NDArray[Any]] = []
    for strip in strips:
        kept.append(strip)
        rows = np.concatenate(kept)
        n_whole = len(rows) // _TILE_PX * _TILE_PX
        yield from _cut(rows[:n_whole])
        kept = [rows[n_whole:]]
    yield from _cut(np.concatenate(kept))


def _cut(rows: NDArray[Any]) -> Strips:
    height, width = (-(-side // _TILE_PX) * _TILE_PX for side in rows.shape)
    filled = np.pad(rows, ((0, height - rows.shape[0]), (0, width - rows.shape[1])))
    for top in range(0, height, _TILE_PX):
        for left in range(0, width, _TILE_PX):
            yield np.ascontiguousarray(filled[top : top + _TILE_PX, left : left + _TILE_PX])
