import hashlib
import io
import os
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import ImageFile

from corpus import (
    MAX_PIXELS,
    animation,
    bomb_png,
    encode,
    mutations,
    oddities,
    oriented_jpeg,
    png_16_bit,
    png_chunk,
    samples,
    scene,
)
from maskgrid.dataset.pixels.images import BadImageError, Image, ImageStatus, read_image


def read(folder: Path, content: bytes, max_pixels: int = MAX_PIXELS) -> Image:
    path = folder / "image"
    path.write_bytes(content)
    return read_image(path, max_pixels)


def refusal(folder: Path, content: bytes, max_pixels: int = MAX_PIXELS) -> BadImageError:
    with pytest.raises(BadImageError) as caught:
        read(folder, content, max_pixels)
    return caught.value


def grey(values: np.ndarray) -> np.ndarray:
    return np.repeat(values[..., None], 3, axis=2)


GREY_16 = np.linspace(0, 65535, 30).astype(np.uint16).reshape(5, 6)
GREY_16_AS_8 = grey(np.rint(GREY_16 / 257).astype(np.uint8))


def test_rgb_is_read_as_it_is(tmp_path):
    image = read(tmp_path, encode(scene(), "PNG"))
    assert image.pixels.dtype == np.uint8
    assert image.pixels.flags.c_contiguous
    assert image.pixels.flags.writeable
    np.testing.assert_array_equal(image.pixels, scene())
    assert (image.exif_orientation, image.mode, image.format) == (1, "RGB", "PNG")


def test_jpeg_pixels_are_those_of_opencv(tmp_path):
    content = samples()["sample.jpg"]
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    np.testing.assert_array_equal(read(tmp_path, content).pixels, decoded)


@pytest.mark.parametrize("name", [name for name in samples() if "ossless" in name or "sample.webp" not in name])
def test_every_format_shows_the_scene(tmp_path, name):
    difference = read(tmp_path, samples()[name]).pixels.astype(int) - scene()
    assert np.abs(difference).mean() < 12  # JPEG and GIF are lossy


def test_avif_and_lossy_webp(tmp_path):
    for file_format in ("AVIF", "WEBP"):
        image = read(tmp_path, encode(scene(), file_format, quality=95))
        assert image.format == file_format
        assert np.abs(image.pixels.astype(int) - scene()).mean() < 16


def test_1_bit(tmp_path):
    bits = scene()[..., 0] > 100
    for file_format in ("PNG", "TIFF", "BMP", "PPM"):
        image = read(tmp_path, encode(PIL.Image.fromarray(bits), file_format))
        assert image.mode == "1"
        np.testing.assert_array_equal(image.pixels, grey(bits.astype(np.uint8) * 255))


def test_8_bit_grey(tmp_path):
    values = scene()[..., 0]
    image = read(tmp_path, encode(values, "PNG"))
    assert image.mode == "L"
    np.testing.assert_array_equal(image.pixels, grey(values))


@pytest.mark.parametrize("file_format", ["PNG", "TIFF", "PPM"])
def test_16_bit_grey_is_scaled_and_not_clipped(tmp_path, file_format):
    image = read(tmp_path, encode(PIL.Image.fromarray(GREY_16), file_format))
    assert image.mode in ("I;16", "I")
    np.testing.assert_array_equal(image.pixels, GREY_16_AS_8)


def test_16_bit_big_endian_tiff(tmp_path):
    image = read(tmp_path, encode(PIL.Image.fromarray(GREY_16.astype(">u2")), "TIFF"))
    assert image.mode == "I;16B"
    np.testing.assert_array_equal(image.pixels, GREY_16_AS_8)


def test_32_bit_integers_within_16_bits(tmp_path):
    image = read(tmp_path, encode(PIL.Image.fromarray(GREY_16.astype(np.int32)), "TIFF"))
    assert image.mode == "I"
    np.testing.assert_array_equal(image.pixels, GREY_16_AS_8)


@pytest.mark.parametrize("value", [-1, 65536])
def test_integers_beyond_16_bits_are_refused(tmp_path, value):
    values = np.full((2, 2), value, np.int32)
    bad = refusal(tmp_path, encode(PIL.Image.fromarray(values), "TIFF"))
    assert (bad.status, str(value) in bad.message) == (ImageStatus.UNSUPPORTED, True)


@pytest.mark.parametrize(("colour_type", "mode"), [(2, "RGB"), (6, "RGBA")])
def test_16_bit_colour_png(tmp_path, colour_type, mode):
    values = np.random.default_rng(0).integers(0, 65536, (7, 5, len(mode)), dtype=np.uint16)
    values[..., 3:] = 65535
    image = read(tmp_path, png_16_bit(values, colour_type))
    assert image.mode == mode
    assert np.abs(image.pixels - values[..., :3] / 257).max() <= 1


def tiff(values: np.ndarray, bits: int, photometric: int) -> bytes:
    """A TIFF of one strip, which Pillow cannot write: TIFF 6.0, section 8."""
    height, width = values.shape
    pixels = values.astype("<u2").tobytes()
    if bits == 12:
        pairs = values.reshape(height, -1, 2).astype(np.uint32)
        packed = (pairs[..., 0] << 12) | pairs[..., 1]
        pixels = np.stack([packed >> 16, (packed >> 8) & 255, packed & 255], axis=-1).astype(np.uint8).tobytes()
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: 8 + 2 + 9 * 12 + 4}
    tags |= {277: 1, 278: height, 279: len(pixels)}
    entries = b"".join(
        tag.to_bytes(2, "little") + b"\4\0\1\0\0\0" + value.to_bytes(4, "little") for tag, value in tags.items()
    )
    return b"II*\0\x08\0\0\0" + len(tags).to_bytes(2, "little") + entries + bytes(4) + pixels


def test_12_bit_tiff(tmp_path):
    values = np.linspace(0, 4095, 24).astype(np.uint16).reshape(4, 6)
    image = read(tmp_path, tiff(values, bits=12, photometric=1))
    np.testing.assert_array_equal(image.pixels, grey(np.rint(values * (255 / 4095)).astype(np.uint8)))


def test_16_bit_tiff_with_white_as_zero(tmp_path):
    image = read(tmp_path, tiff(GREY_16, bits=16, photometric=0))
    np.testing.assert_array_equal(image.pixels, 255 - GREY_16_AS_8)


def test_floats_in_0_to_1(tmp_path):
    values = np.linspace(0, 1, 30, dtype=np.float32).reshape(5, 6)
    image = read(tmp_path, encode(PIL.Image.fromarray(values), "TIFF"))
    assert image.mode == "F"
    np.testing.assert_array_equal(image.pixels, grey(np.rint(values * 255).astype(np.uint8)))


@pytest.mark.parametrize("value", [-0.1, 1.1, float("nan"), float("inf")])
def test_other_floats_are_refused(tmp_path, value):
    values = np.full((2, 2), value, np.float32)
    assert refusal(tmp_path, encode(PIL.Image.fromarray(values), "TIFF")).status is ImageStatus.UNSUPPORTED


def on_white(colour: np.ndarray, alpha: np.ndarray) -> np.ndarray:
    share = alpha[..., None] / 255
    return colour * share + 255 * (1 - share)


@pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
def test_rgba_is_put_on_white(tmp_path, file_format):
    alpha = np.arange(2400, dtype=np.uint8).reshape(40, 60)
    image = read(tmp_path, encode(np.dstack([scene(), alpha]), file_format))
    assert image.mode == "RGBA"
    assert np.abs(image.pixels - on_white(scene(), alpha)).max() <= 1


def test_grey_with_alpha_is_put_on_white(tmp_path):
    values, alpha = scene()[..., 0], np.arange(2400, dtype=np.uint8).reshape(40, 60)
    image = read(tmp_path, encode(PIL.Image.fromarray(np.dstack([values, alpha]), mode="LA"), "PNG"))
    assert image.mode == "LA"
    assert np.abs(image.pixels - on_white(grey(values), alpha)).max() <= 1


def palette_image() -> PIL.Image.Image:
    image = PIL.Image.new("P", (3, 1))
    image.putpalette([255, 0, 0, 0, 255, 0, 0, 0, 255])
    image.putdata([0, 1, 2])
    return image


def test_palette(tmp_path):
    image = read(tmp_path, encode(palette_image(), "PNG"))
    assert image.mode == "P"
    np.testing.assert_array_equal(image.pixels[0], np.diag([255, 255, 255]))


@pytest.mark.parametrize("file_format", ["PNG", "GIF"])
def test_transparent_palette_entry_is_white(tmp_path, file_format):
    image = read(tmp_path, encode(palette_image(), file_format, transparency=1))
    np.testing.assert_array_equal(image.pixels[0], [[255, 0, 0], [255, 255, 255], [0, 0, 255]])


def test_transparent_colour_is_white(tmp_path):
    content = encode(np.array([[[9, 9, 9], [1, 2, 3]]], np.uint8), "PNG", transparency=(1, 2, 3))
    np.testing.assert_array_equal(read(tmp_path, content).pixels, [[[9, 9, 9], [255, 255, 255]]])


@pytest.mark.parametrize(("mode", "file_format"), [("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "TIFF")])
def test_print_and_video_colours(tmp_path, mode, file_format):
    smooth = np.dstack([np.tile(np.arange(0, 240, 4, dtype=np.uint8), (40, 1))] * 2 + [scene()[..., 0] // 2])
    options = {"quality": 100} if file_format == "JPEG" else {}
    image = read(tmp_path, encode(PIL.Image.fromarray(smooth).convert(mode), file_format, **options))
    assert image.mode == mode
    assert np.abs(image.pixels.astype(int) - smooth).mean() < 4


def test_lab(tmp_path):
    # TIFF 6.0, section 23: L* from 0 to 100 is stored as 0 to 255, a* and b* as signed bytes.
    white_black_red = bytes([255, 0, 0, 0, 0, 0, 136, 80, 67])
    image = read(tmp_path, encode(PIL.Image.frombytes("LAB", (3, 1), white_black_red), "TIFF"))
    assert image.mode == "LAB"
    expected = [[255, 255, 255], [0, 0, 0], [255, 0, 0]]
    assert np.abs(image.pixels[0].astype(int) - expected).max() < 12


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("file_format", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_exif_orientation_is_undone(tmp_path, orientation, file_format):
    # EXIF 2.32, tag 0x0112: where the picture's top row and left column lie in the stored rows.
    stored_as = {
        1: lambda a: a,
        2: lambda a: a[:, ::-1],
        3: lambda a: a[::-1, ::-1],
        4: lambda a: a[::-1],
        5: lambda a: a.transpose(1, 0, 2),
        6: lambda a: np.rot90(a, 1),
        7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
        8: lambda a: np.rot90(a, -1),
    }
    stored = np.ascontiguousarray(stored_as[orientation](scene()))
    image = read(tmp_path, oriented_jpeg(stored, orientation, file_format))
    assert image.exif_orientation == orientation
    assert image.pixels.flags.c_contiguous
    assert image.pixels.shape == scene().shape
    assert np.abs(image.pixels.astype(int) - scene()).mean() < 16


def test_orientation_of_16_bit(tmp_path):
    exif = PIL.Image.Exif()
    exif[0x0112] = 6
    image = read(tmp_path, encode(PIL.Image.fromarray(GREY_16), "PNG", exif=exif))
    np.testing.assert_array_equal(image.pixels, np.rot90(GREY_16_AS_8, -1))


@pytest.mark.parametrize("value", [0, 9, 700])
def test_an_impossible_orientation_is_ignored(tmp_path, value):
    assert read(tmp_path, oriented_jpeg(scene(), value)).exif_orientation == 1


def test_broken_exif_is_ignored_as_viewers_do(tmp_path):
    content = encode(scene(), "JPEG", exif=b"Exif\0\0garbage that is no TIFF header")
    assert read(tmp_path, content).exif_orientation == 1


@pytest.mark.parametrize("file_format", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(tmp_path, file_format):
    difference = read(tmp_path, animation(file_format)).pixels.astype(int) - scene(seed=0)
    assert np.abs(difference).mean() < 12


@pytest.mark.parametrize(
    ("name", "content", "statuses"),
    [pytest.param(*case, id=case[0].encode("unicode_escape").decode()) for case in [*mutations(), *oddities()]],
)
def test_corpus(tmp_path, name, content, statuses):
    try:
        read(tmp_path, content)
        status, message = ImageStatus.OK, "fine"
    except BadImageError as bad:
        status, message = bad.status, bad.message
    assert status in statuses
    assert message
    assert "\n" not in message
    assert str(tmp_path) not in message


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(name=st.sampled_from(sorted(samples())), seed=st.integers(0, 2**32), count=st.integers(1, 200))
def test_damage_raises_no_other_exception(tmp_path, name, seed, count):
    content = bytearray(samples()[name])
    random = np.random.default_rng(seed)
    content[int(random.integers(len(content))) :] = random.bytes(count)
    with suppress(BadImageError):
        assert read(tmp_path, bytes(content)).pixels.ndim == 3


def test_pixel_limit_holds_to_the_pixel(tmp_path):
    content = encode(scene(40, 60), "PNG")
    assert read(tmp_path, content, max_pixels=2400).pixels.size == 7200
    bad = refusal(tmp_path, content, max_pixels=2399)
    assert bad.status is ImageStatus.TOO_LARGE
    assert "60 x 40" in bad.message


def test_the_pixel_limit_may_exceed_pillows_own(tmp_path):
    # Pillow refuses 196 million pixels by default. With our limit they pass, and the file fails because it has no data.
    assert refusal(tmp_path, bomb_png(14_000, 14_000), max_pixels=200_000_000).status is ImageStatus.TRUNCATED


def test_process_wide_switches_are_restored(tmp_path, monkeypatch):
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    limit, filters = PIL.Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    for seed in range(40):
        (tmp_path / f"{seed}.jpg").write_bytes(samples()["sample.jpg"][: -600 if seed % 2 else None])

    def verdict(seed):
        try:
            return bool(read_image(tmp_path / f"{seed}.jpg", 300_000_000).pixels.size)
        except BadImageError:
            return False

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(verdict, range(40))) == [True, False] * 20
    assert limit == PIL.Image.MAX_IMAGE_PIXELS
    assert warnings.filters == filters
    assert ImageFile.LOAD_TRUNCATED_IMAGES is True


def test_damaged_tiffs_write_nothing_to_the_log(tmp_path, capfd):
    stream = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    PIL.Image.fromarray(noise).save(stream, "TIFF", compression="tiff_lzw")
    content = bytearray(stream.getvalue())
    content[200:600] = b"\xff" * 400
    (tmp_path / "cut.tif").write_bytes(content)
    with pytest.raises(BadImageError, match="cut short or damaged"):
        read_image(tmp_path / "cut.tif", MAX_PIXELS)
    assert capfd.readouterr().err == ""
    with pytest.raises(OSError, match="decoder error"):
        PIL.Image.open(tmp_path / "cut.tif").load()
    assert capfd.readouterr().err != "", "what others of the process wanted to see is theirs again"


def test_changed_content_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encode(scene(), "PNG"))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert read_image(path, MAX_PIXELS, sha256=digest).pixels.shape == (40, 60, 3)
    path.write_bytes(encode(scene(seed=1), "PNG"))
    with pytest.raises(BadImageError) as caught:
        read_image(path, MAX_PIXELS, sha256=digest)
    assert caught.value.status is ImageStatus.CHANGED


def test_paths_that_are_no_readable_file(tmp_path):
    (tmp_path / "folder.jpg").mkdir()
    (tmp_path / "self.jpg").symlink_to("self.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    expected = {
        "gone.jpg": ImageStatus.MISSING,
        "gone/x.jpg": ImageStatus.MISSING,
        "nul\0.jpg": ImageStatus.MISSING,
        "folder.jpg": ImageStatus.NOT_AN_IMAGE,
        "self.jpg": ImageStatus.UNREADABLE,
        "pipe.jpg": ImageStatus.NOT_AN_IMAGE,
    }
    for name, status in expected.items():
        with pytest.raises(BadImageError) as caught:
            read_image(tmp_path / name, MAX_PIXELS)
        assert caught.value.status is status, name


@pytest.mark.parametrize("number", [13, 5, 116])
def test_system_errors_give_the_status_unreadable(tmp_path, monkeypatch, number):
    (tmp_path / "a.jpg").write_bytes(b"x")

    def fail(*_args, **_kwargs):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(Path, "open", fail)
    with pytest.raises(BadImageError) as caught:
        read_image(tmp_path / "a.jpg", MAX_PIXELS)
    assert (caught.value.status, caught.value.message) == (ImageStatus.UNREADABLE, os.strerror(number))


def test_a_bug_is_not_mistaken_for_a_bad_file(tmp_path, monkeypatch):
    content = samples()["sample.jpg"]
    monkeypatch.setattr(PIL.Image, "open", lambda *_args, **_kwargs: {}["bug"])
    with pytest.raises(KeyError):
        read(tmp_path, content)


XMP = b"""<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/></rdf:RDF></x:xmpmeta>"""


def png_with_xmp_behind_the_pixels() -> bytes:
    content = encode(scene(), "PNG")
    return content[:-12] + png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + XMP) + content[-12:]


@pytest.mark.parametrize(
    "content",
    [
        encode(scene(), "JPEG", xmp=XMP, quality=95),
        encode(scene(), "WEBP", xmp=XMP, lossless=True),
        encode(scene(), "TIFF", tiffinfo={700: XMP}),
        encode(scene(), "TIFF", tiffinfo={700: XMP}, compression="tiff_adobe_deflate"),
        png_with_xmp_behind_the_pixels(),
    ],
    ids=["JPEG", "WEBP", "TIFF", "deflated TIFF", "PNG"],
)
def test_an_orientation_in_xmp_alone_turns_nothing_as_in_opencv_and_browsers(tmp_path, content):
    image = read(tmp_path, content)
    opencv = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)[..., ::-1]
    assert (image.exif_orientation, image.pixels.shape) == (1, scene().shape)
    assert np.abs(image.pixels.astype(int) - opencv).max() <= 3


def packed(values: np.ndarray, bits: int) -> bytes:
    """Rows of a PNG without filter."""
    if bits == 16:
        rows = values.astype(">u2").reshape(len(values), -1).view(np.uint8)
    else:
        rows = np.packbits(
            (values[..., None] >> np.arange(bits)[::-1] & 1).astype(np.uint8).reshape(len(values), -1), 1
        )
    return b"".join(b"\0" + row.tobytes() for row in rows)


@pytest.mark.parametrize(("colour_type", "bits"), [(0, 1), (0, 2), (0, 4), (0, 8), (0, 16), (2, 8), (2, 16)])
def test_a_transparent_colour_is_white_at_every_depth(tmp_path, colour_type, bits):
    """PNG, section 11.3.2: tRNS has one grey or colour, at the depth of the pixels."""
    values = np.random.default_rng(bits).integers(0, 2**bits, (9, 12, 3 if colour_type else 1))
    transparent = values[2, 3]
    header = np.array([12, 9], ">u4").tobytes() + bytes([bits, colour_type, 0, 0, 0])
    chunks = {
        b"IHDR": header,
        b"tRNS": transparent.astype(">u2").tobytes(),
        b"IDAT": zlib.compress(packed(values, bits)),
        b"IEND": b"",
    }
    content = b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(name, data) for name, data in chunks.items())
    expected = np.broadcast_to(values * (255 / (2**bits - 1)), (9, 12, 3)).copy()
    expected[(values == transparent).all(axis=-1)] = 255
    assert np.abs(read(tmp_path, content).pixels - expected).max() <= 1


def bmp(bits: int, compression: int, masks: tuple[int, ...] = ()) -> bytes:
    info = np.array([40, 7, 5], "<u4").tobytes() + np.array([1, bits], "<u2").tobytes()
    info += np.array([compression, 80, 0, 0, 0, 0, *masks], "<u4").tobytes()
    return b"BM" + np.array([94 + len(info), 0, 14 + len(info)], "<u4").tobytes() + info + bytes(80)


def jpeg_with_frame(marker: int, bits: int, n_components: int) -> bytes:
    start = encode(scene(), "JPEG")
    at = start.index(b"\xff\xc0")
    return (
        start[: at + 1]
        + bytes([marker])
        + start[at + 2 : at + 4]
        + bytes([bits])
        + start[at + 5 : at + 9]
        + (bytes([n_components]) + start[at + 10 :])
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (jpeg_with_frame(0xC1, 12, 3), "12 bits, 3 channels"),
        (jpeg_with_frame(0xF7, 8, 3), "JPEG-LS"),
        (jpeg_with_frame(0xC0, 8, 2), "2 channels"),
        (bmp(16, 3, (0xF00, 0xF0, 0xF)), "BMP bitfields"),
        (bmp(2, 0), "BMP pixel depth"),
        (b"P7\nWIDTH 1\n", "a format that is not read"),
        (b"PF\n7 5\n-1.0\n" + bytes(420), "a format that is not read"),
        (b"#?RADIANCE\n", "a format that is not read"),
        (b"\0\0\0\x18ftypmsf1" + bytes(99), "a format that is not read"),
    ],
)
def test_images_of_kinds_that_are_not_read_are_unsupported(tmp_path, content, words):
    bad = refusal(tmp_path, content)
    assert (bad.status, words in bad.message) == (ImageStatus.UNSUPPORTED, True), bad.message


def test_a_cut_avif_is_truncated(tmp_path):
    assert refusal(tmp_path, encode(scene(), "AVIF")[:60]).status is ImageStatus.TRUNCATED
