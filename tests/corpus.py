"""Good, odd and hostile image files, generated from a seed.

``mutations`` yields damaged files; ``write_corpus`` writes the whole folder and returns each file's possible statuses.
"""

import io
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import ExifTags, Image

OK = frozenset({"ok"})
# A damaged byte can be anywhere: in the picture (which then still decodes), the header, the size.
DAMAGED = frozenset({"ok", "truncated", "not_an_image", "too_large", "unsupported"})
CUT = frozenset({"truncated"})

STRANGE_NAMES = (
    "naïve 写真 🙂.png",
    " leading and trailing space .png",
    "two\nlines.png",
    "-rf.png",
    "--help.png",
    'it\'s "quoted".png',
    "<script>alert(1)<script>.png",
    "semi;colon & $(touch pwned) `x`.png",
    "brackets[1]{2}*.png",
    "percent%20d.PNG",
    "back\\slash.png",
    "#hash.png",
)


def scene(height: int = 40, width: int = 60, seed: int = 0) -> np.ndarray:
    """A picture without symmetry, ``uint8 (H, W, 3)``: gradients, noise, and a block in one corner."""
    rows, columns = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(seed).integers(0, 40, (height, width))
    picture = np.stack([rows * 200 // height, columns * 200 // width, noise], axis=-1)
    picture[: height // 4, : width // 3] = 250
    return picture.astype(np.uint8)


def encode(image: Image.Image | np.ndarray, file_format: str, **options: object) -> bytes:
    if isinstance(image, np.ndarray):
        image = Image.fromarray(image)
    stream = io.BytesIO()
    image.save(stream, file_format, **options)
    return stream.getvalue()


def oriented_jpeg(picture: np.ndarray, orientation: int, file_format: str = "JPEG") -> bytes:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    options = {"quality": 95} if file_format == "JPEG" else {}
    return encode(picture, file_format, exif=exif, **options)


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims ``width`` x ``height`` grey pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    pixels = zlib.compress(bytes(1000))
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", pixels) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def png_16_bit(values: np.ndarray, colour_type: int) -> bytes:
    """A 16-bit PNG from ``uint16 (H, W[, C])``; Pillow itself can write only grey ones."""
    height, width = values.shape[:2]
    header = struct.pack(">IIBBBBB", width, height, 16, colour_type, 0, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in values)
    chunks = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def animation(file_format: str) -> bytes:
    frames = [Image.fromarray(scene(seed=seed)) for seed in range(3)]
    return encode(frames[0], file_format, save_all=True, append_images=frames[1:], duration=50)


def samples() -> dict[str, bytes]:
    """A good file of every supported format, by name."""
    picture = scene()
    return {
        "sample.jpg": encode(picture, "JPEG"),
        "progressive.jpg": encode(picture, "JPEG", progressive=True),
        "sample.png": encode(picture, "PNG"),
        "sample.webp": encode(picture, "WEBP"),
        "lossless.webp": encode(picture, "WEBP", lossless=True),
        "sample.tif": encode(picture, "TIFF"),
        "deflated.tif": encode(picture, "TIFF", compression="tiff_adobe_deflate"),
        "sample.bmp": encode(picture, "BMP"),
        "sample.gif": encode(picture, "GIF"),
        "sample.ppm": encode(picture, "PPM"),
    }


def flip_bytes(content: bytes, seed: int, count: int = 20) -> bytes:
    random = np.random.default_rng(seed)
    damaged = bytearray(content)
    for position in random.integers(0, len(damaged), count):
        damaged[position] ^= int(random.integers(1, 256))
    return bytes(damaged)


def mutations() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Yield name, content and possible statuses of damaged files."""
    for name, content in samples().items():
        for percent in (10, 50, 90):
            yield f"cut{percent}-{name}", content[: len(content) * percent // 100], CUT
    names = sorted(samples())
    for seed in range(50):
        name = names[seed % len(names)]
        yield f"flipped{seed:02d}-{name}", flip_bytes(samples()[name], seed), DAMAGED


def oddities() -> Iterator[tuple[str, bytes, frozenset[str]]]:
    """Yield name, content and possible statuses of files that are odd but undamaged."""
    yield "empty.jpg", b"", frozenset({"empty"})
    yield "page.jpg", b"<!DOCTYPE html><html><body>404</body></html>", frozenset({"not_an_image"})
    yield "text.png", b"not a picture\n" * 100, frozenset({"not_an_image"})
    yield "zeros.jpg", bytes(5000), frozenset({"not_an_image"})
    # By whether pillow-heif is installed.
    yield "photo.heic", b"\0\0\0\x18ftypheic" + bytes(100), frozenset({"unsupported", "truncated"})
    for side in (9_500, 14_000, 40_000):
        yield f"bomb{side}.png", bomb_png(side, side), frozenset({"too_large"})
    yield "dot.png", encode(scene(1, 1), "PNG"), OK
    yield "line.png", encode(scene(1, 20_000), "PNG"), OK
    yield "column.jpg", encode(scene(20_000, 1), "JPEG"), OK
    yield "animated.gif", animation("GIF"), OK
    yield "animated.webp", animation("WEBP"), OK
    yield "animated.png", animation("PNG"), OK
    for orientation in range(1, 9):
        yield f"turned{orientation}.jpg", oriented_jpeg(scene(), orientation), OK
    for seed, name in enumerate(STRANGE_NAMES):
        yield name, encode(scene(8, 9, seed), "PNG"), OK


MAX_PIXELS = 50_000_000


def write_corpus(folder: Path) -> dict[str, frozenset[str]]:
    """Write every file into ``folder``, with duplicates and links; return each image key's possible statuses.

    The statuses hold for ``MAX_PIXELS``.
    """
    expected = {}
    folder.mkdir(parents=True, exist_ok=True)
    for name, content, statuses in [*mutations(), *oddities()]:
        (folder / name).write_bytes(content)
        expected[name] = statuses
    for name, content in samples().items():
        for copy in ("first", "second"):
            target = folder / "copies.jpg" / copy / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
            expected[target.relative_to(folder).as_posix()] = OK
    (folder / "copies.jpg" / "loop").symlink_to("..")
    (folder / "gone.jpg").symlink_to("nowhere.jpg")
    expected["gone.jpg"] = frozenset({"missing"})
    (folder / "notes.txt").write_text("not an input")
    (folder / ".hidden.png").write_bytes(samples()["sample.png"])
    return expected
