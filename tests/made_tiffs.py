"""TIFF files of any kind, written by hand after TIFF 6.0 and BigTIFF: most of them no library at hand can write.

GeoTIFFs are an exception: tifffile writes them.
"""

import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

# GeoTIFF's tags: a place in UTM's zone 33, 10 m a pixel.
UTM = 32633
SCALE = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0, 0, 0, 400000.0, 5600000.0, 0), True)]
_TYPES = {3: "H", 4: "I", 16: "Q"}


def tiff_bytes(
    blocks: Sequence[bytes], tags: dict[int, int | Sequence[int]], order: str = "<", big: bool = False
) -> bytes:
    """A file of blocks (strips, or tiles if the tags have a tile's width), with numbers as tags."""
    is_tiled = 322 in tags
    offsets, body, start = [], b"", 16 if big else 8
    for block in blocks:
        offsets.append(start + len(body))
        body += block + bytes(len(block) % 2)
    places = {324 if is_tiled else 273: offsets, 325 if is_tiled else 279: [len(block) for block in blocks]}
    count, word, inline = ("Q", "Q", 8) if big else ("H", "I", 4)
    directory = start + len(body)
    listed = sorted({**tags, **places}.items())
    behind = directory + struct.calcsize(f"={count}{word}") + len(listed) * (4 + 2 * inline)
    entries, extra = b"", b""
    for tag, value in listed:
        values = [value] if isinstance(value, int) else list(value)
        field_type = 4 if tag in (256, 257, 273, 279, 324, 325) else 3
        raw = struct.pack(f"{order}{len(values)}{_TYPES[field_type]}", *values)
        if len(raw) > inline:
            place, extra = struct.pack(f"{order}{word}", behind + len(extra)), extra + raw + bytes(len(raw) % 2)
        else:
            place = raw.ljust(inline, b"\0")
        entries += struct.pack(f"{order}HH{word}", tag, field_type, len(values)) + place
    mark = b"II" if order == "<" else b"MM"
    head = struct.pack(f"{order}HHHQ", 43, 8, 0, directory) if big else struct.pack(f"{order}HI", 42, directory)
    return mark + head + body + struct.pack(f"{order}{count}", len(listed)) + entries + bytes(inline) + extra


def tiff_of(
    values: np.ndarray,
    photometric: int,
    order: str = "<",
    planar: bool = False,
    compressed: bool = False,
    tile: int | None = None,
    extra: Sequence[int] = (),
    big: bool = False,
    **more: int,
) -> bytes:
    """A file of an array (H, W[, C]) of whole bytes, in strips of 7 rows or square tiles.

    Args:
        values: numbers of any dtype.
        photometric: TIFF's PhotometricInterpretation.
        order: ``<`` or ``>``.
        planar: one plane a channel.
        compressed: by zlib.
        tile: side of the tiles.
        extra: TIFF's ExtraSamples.
        big: BigTIFF.
        more: tags by number, ``t281=4095``.
    """
    values = values.reshape(*values.shape[:2], -1)
    height, width, n = values.shape
    kind = {"u": 1, "i": 2, "f": 3}[values.dtype.kind]
    tags: dict[int, int | Sequence[int]] = {
        256: width,
        257: height,
        258: [values.dtype.itemsize * 8] * n,
        259: 8 if compressed else 1,
        262: photometric,
        277: n,
        284: 2 if planar else 1,
        339: [kind] * n,
        **({338: extra} if extra else {}),
        **({322: tile, 323: tile} if tile else {278: 7}),
        **{int(name[1:]): value for name, value in more.items()},
    }
    stored = values.astype(values.dtype.newbyteorder(order))
    blocks = []
    for plane in [stored[..., at : at + 1] for at in range(n)] if planar else [stored]:
        for top in range(0, height, tile or 7):
            for left in range(0, width, tile or width):
                part = plane[top : top + (tile or 7), left : left + (tile or width)]
                if tile:
                    part = np.pad(part, ((0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)))
                blocks.append(zlib.compress(part.tobytes()) if compressed else part.tobytes())
    return tiff_bytes(blocks, tags, order, big)


def keys(code: int, raster: int = 1) -> tuple[Any, ...]:
    """GeoTIFF's keys of a reference system; ``raster`` is 1 if a pixel is an area, 2 if it is a point."""
    is_projected = code == UTM
    entries = [1024, 0, 1, 1 if is_projected else 2, 1025, 0, 1, raster, 3072 if is_projected else 2048, 0, 1, code]
    return (34735, "H", 16, (1, 1, 0, 3, *entries), True)


def geotiff(
    path: Path, code: int = UTM, tags: Sequence[Any] | None = None, raster: int = 1, pixels: np.ndarray | None = None
) -> None:
    """Write a GeoTIFF; of noise with 40 rows and 60 columns unless ``pixels`` (H, W, 3) are given."""
    if pixels is None:
        pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=[keys(code, raster), *(tags or SCALE)])
