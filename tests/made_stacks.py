"""Files of deep, many-banded and many-paged images, each with the values in it: (H, W, n), upright."""

from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import tifffile

H, W = 70, 90
ROWS, COLUMNS = np.mgrid[0:H, 0:W]
WAVES = np.stack([(np.sin(ROWS / (5 + band)) + np.cos(COLUMNS / (9 - band))) / 4 + 0.5 for band in range(5)], -1)


def values(dtype: str, n: int = 1, top: float = 4095.0) -> np.ndarray:
    """Smooth values from 0 to ``top``; for signed types half of them below 0, for floats far from 0 to 1."""
    found = WAVES[..., :n] * top
    if np.dtype(dtype).kind == "i":
        found = found - top / 2
    return (found if np.dtype(dtype).kind == "f" else np.rint(found)).astype(dtype)


GREY, RGB = {"photometric": "minisblack"}, {"photometric": "rgb"}
TILED = {"tile": (32, 48)}
ZLIB = {"compression": "zlib", "predictor": True}

# Name: values, how tifffile writes them, the config's section, the bands that are shown, whether they share a stretch.
KINDS = {
    "12 bits in 16": (values("u2"), GREY, {}, (1,), False),
    "16 bits": (values("u2", top=65535), GREY, {}, (1,), False),
    "16 bits, big-endian": (values("u2"), GREY | {"byteorder": ">"}, {}, (1,), False),
    "16 bits, BigTIFF, big-endian": (values("u2"), GREY | {"byteorder": ">", "bigtiff": True}, {}, (1,), False),
    "16 bits, tiled": (values("u2"), GREY | TILED, {}, (1,), False),
    "16 bits, tiled, zlib and predictor": (values("u2"), GREY | TILED | ZLIB, {}, (1,), False),
    "16 bits, LZMA": (values("u2"), GREY | {"compression": "lzma"}, {}, (1,), False),
    "signed 16": (values("i2"), GREY, {}, (1,), False),
    "32 bits": (values("u4", top=3e9), GREY, {}, (1,), False),
    "signed 32": (values("i4", top=1e6), GREY, {}, (1,), False),
    "half floats": (values("f2", top=900), GREY, {}, (1,), False),
    "floats": (values("f4", top=9000), GREY, {}, (1,), False),
    "doubles": (values("f8", top=1e-3), GREY, {}, (1,), False),
    "white is zero": (values("u2"), {"photometric": "miniswhite"}, {}, (1,), False),
    "RGB of 16 bits": (values("u2", 3), RGB, {}, (1, 2, 3), True),
    "RGB of 16 bits, planes": (values("u2", 3), RGB | {"planarconfig": "separate"}, {}, (1, 2, 3), True),
    "RGB of 16 bits, tiled, zlib": (values("u2", 3), RGB | TILED | ZLIB, {}, (1, 2, 3), True),
    "RGB of floats": (values("f4", 3), RGB, {}, (1, 2, 3), True),
    "three bands": (values("u2", 3), GREY | {"planarconfig": "contig"}, {}, (1, 2, 3), False),
    "five bands, three asked for": (
        values("u2", 5),
        GREY | {"planarconfig": "contig"},
        {"bands": [5, 3, 1]},
        (5, 3, 1),
        False,
    ),
    "five planes, one asked for": (values("f4", 5), GREY | {"planarconfig": "separate"}, {"bands": 4}, (4,), False),
    "minmax": (values("u2"), GREY, {"stretch": "minmax"}, (1,), False),
    "a range": (values("u2", 3), RGB, {"stretch": {"low": 100, "high": 2000.5}}, (1, 2, 3), False),
    "8 bits by percentile": (values("u1", 3, 200), RGB, {"stretch": "percentile"}, (1, 2, 3), True),
    "8 bits, five bands": (
        values("u1", 5, 200),
        GREY | {"planarconfig": "contig"},
        {"bands": [1, 2, 5]},
        (1, 2, 5),
        False,
    ),
}

# Those that tifffile writes with imagecodecs.
PACKED = {
    "16 bits, PackBits": (values("u2"), GREY | {"compression": "packbits"}, {}, (1,), False),
    "floats, zlib and predictor": (values("f4", top=9000), GREY | ZLIB, {}, (1,), False),
    "16 bits, LZW": (values("u2"), GREY | {"compression": "lzw"}, {}, (1,), False),
    "RGB of 16 bits, Zstandard": (values("u2", 3), RGB | {"compression": "zstd"}, {}, (1, 2, 3), True),
    "16 bits, JPEG 2000": (values("u2"), GREY | TILED | {"compression": "jpeg2000"}, {}, (1,), False),
    "floats, LERC": (values("f4"), GREY | TILED | {"compression": "lerc"}, {}, (1,), False),
    "12 bits, JPEG XL": (values("u2"), GREY | TILED | {"compression": "jpegxl"}, {}, (1,), False),
}


def write_tiff(path: Path, array: np.ndarray, options: dict) -> None:
    """Write values (H, W, n) with tifffile."""
    stored = np.moveaxis(array, -1, 0) if options.get("planarconfig") == "separate" else array
    tifffile.imwrite(path, stored[..., 0] if array.shape[-1] == 1 else stored, **options)


def write_png(path: Path, array: np.ndarray) -> None:
    """Write 16 bits as PNG with OpenCV."""
    cv2.imwrite(str(path), array[..., ::-1] if array.shape[-1] == 3 else array)


def write_ppm(path: Path, array: np.ndarray, highest: int) -> None:
    """Write colours of 16 bits as binary PPM."""
    height, width, _ = array.shape
    path.write_bytes(f"P6\n{width} {height}\n{highest}\n".encode() + array.astype(">u2").tobytes())


def write_pfm(path: Path, array: np.ndarray) -> None:
    """Write grey floats with Pillow."""
    PIL.Image.fromarray(array[..., 0]).save(path)
