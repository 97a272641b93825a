"""Windows of a picture are cuts of the whole picture, and what is measured strip by strip is what the whole gives."""

import hashlib
from contextlib import closing
from itertools import product

import numpy as np
import PIL.Image
import pytest
import tifffile

from made_stacks import KINDS, PACKED, RGB, TILED, ZLIB, H, W, values, write_tiff
from made_tiffs import tiff_of
from maskgrid.config.pixels import PixelsConfig
from maskgrid.dataset.pixels import measured_windows, strip_look, tiff_windows, windows
from maskgrid.dataset.pixels.decoding import Wish
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, measure_image, read_image
from maskgrid.dataset.pixels.look import Raster, look_of
from maskgrid.dataset.pixels.measured_windows import measure_windows
from maskgrid.dataset.pixels.strip_look import look_of_strips
from maskgrid.dataset.pixels.windows import TiffWindows, WholePicture, open_picture, shrink_of, shrunk
from maskgrid.dataset.sources.spans import Span

LIMIT = 10**6
GREY_8, RGB_8 = values("u1", 1, 255), values("u1", 3, 255)
ALPHA = np.dstack([RGB_8, np.where(GREY_8 > 90, 255, GREY_8)])
LZW = {"compression": "lzw", "predictor": True}

# Of 8 bits, as Pillow shows them: values, and how tifffile writes them.
PLAIN = {
    "grey": (GREY_8, {"photometric": "minisblack"}),
    "grey, one strip": (GREY_8, {"photometric": "minisblack", "rowsperstrip": H}),
    "grey, white is zero": (GREY_8, {"photometric": "miniswhite"}),
    "grey, white is zero, tiled": (GREY_8, {"photometric": "miniswhite"} | TILED),
    "RGB": (RGB_8, RGB),
    "RGB in strips of 7 rows": (RGB_8, RGB | {"rowsperstrip": 7}),
    "RGB, big-endian": (RGB_8, RGB | {"byteorder": ">"}),
    "RGB, BigTIFF": (RGB_8, RGB | {"bigtiff": True}),
    "RGB, tiled": (RGB_8, RGB | TILED),
    "RGB, zlib and predictor, strips": (RGB_8, RGB | ZLIB | {"rowsperstrip": 9}),
    "RGB, zlib and predictor, tiles": (RGB_8, RGB | ZLIB | TILED),
    "RGB, planes": (RGB_8, RGB | {"planarconfig": "separate"}),
    "RGB, planes, zlib, tiles": (RGB_8, RGB | ZLIB | TILED | {"planarconfig": "separate"}),
    "RGB and alpha": (ALPHA, RGB | {"extrasamples": ["unassalpha"]} | TILED),
    "grey and alpha": (ALPHA[..., 2:], {"photometric": "minisblack", "extrasamples": ["unassalpha"]}),
    "RGB, LZW, tiles": (RGB_8, RGB | LZW | TILED),
}
BOXES = [(0, 0, W, H), (0, 0, 1, 1), (W - 1, H - 1, W, H), (13, 5, 71, 68), (40, 31, 60, 33), (0, 30, W, 31)]


def boxes_in(size_hw):
    height, width = size_hw
    return [(x0 * width // W, y0 * height // H, -(-x1 * width // W), -(-y1 * height // H)) for x0, y0, x1, y1 in BOXES]


def assert_cuts(picture, whole):
    assert picture.size_hw == whole.shape[:2]
    for x0, y0, x1, y1 in boxes_in(picture.size_hw):
        found = picture.read((x0, y0, x1, y1))
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, whole[y0:y1, x0:x1])
    picture.close()


def needs_codecs(kind, options):
    if kind in PACKED or options.get("compression") == "lzw":
        pytest.importorskip("imagecodecs")


@pytest.mark.parametrize("kind", [*KINDS, *PACKED])
def test_windows_of_deep_images_are_cuts_of_the_whole(tmp_path, kind):
    array, options, section, _, _ = {**KINDS, **PACKED}[kind]
    needs_codecs(kind, options)
    path = tmp_path / "image.tif"
    write_tiff(path, array, options)
    wish = Wish(PixelsConfig.model_validate(section))
    whole = measure_image(path, LIMIT, wish)
    picture = open_picture(path, LIMIT, hashlib.sha256(path.read_bytes()).hexdigest(), None, whole.look, 1)
    assert isinstance(picture, TiffWindows), "not read in windows"
    assert_cuts(picture, whole.pixels)


@pytest.mark.parametrize("kind", PLAIN)
def test_windows_of_8_bits_are_cuts_of_what_pillow_shows(tmp_path, kind):
    array, options = PLAIN[kind]
    needs_codecs(kind, options)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array.squeeze(), **options) if "separate" not in str(options) else tifffile.imwrite(
        path, np.moveaxis(array, -1, 0), **options
    )
    picture = open_picture(path, LIMIT, None, None, None, 1)
    assert isinstance(picture, TiffWindows), "not read in windows"
    assert_cuts(picture, read_image(path, LIMIT).pixels)


@pytest.mark.parametrize(("orientation", "tile"), [*product(range(1, 9), [None, 16])])
def test_windows_are_upright(tmp_path, orientation, tile):
    path = tmp_path / "image.tif"
    path.write_bytes(tiff_of(RGB_8, 2, tile=tile, t274=orientation))
    whole = read_image(path, LIMIT)
    assert whole.exif_orientation == orientation
    assert_cuts(open_picture(path, LIMIT, None, None, None, 1), whole.pixels)
    found = measure_windows(path, Wish())
    assert (found.size_hw, found.exif_orientation) == (whole.size_hw, orientation)
    assert_cuts(open_picture(path, LIMIT, None, None, found.look), whole.pixels)


# Files that are read whole, whatever is asked for, since windows of them are not read or may differ.
WHOLE = {
    "PNG": lambda path: PIL.Image.fromarray(RGB_8).save(path, "PNG"),
    "JPEG": lambda path: PIL.Image.fromarray(RGB_8).save(path, "JPEG"),
    "TIFF of a palette": lambda path: PIL.Image.fromarray(RGB_8).quantize(16).save(path, "TIFF"),
    "TIFF with JPEG": lambda path: PIL.Image.fromarray(RGB_8).save(path, "TIFF", compression="jpeg"),
    "TIFF of CMYK": lambda path: PIL.Image.fromarray(RGB_8).convert("CMYK").save(path, "TIFF"),
    "TIFF of one bit": lambda path: PIL.Image.fromarray(GREY_8[..., 0]).convert("1").save(path, "TIFF"),
    "TIFF of multiplied alpha": lambda path: tifffile.imwrite(path, ALPHA, photometric="rgb", extrasamples=[1]),
}


@pytest.mark.parametrize("kind", WHOLE)
def test_other_kinds_are_read_whole(tmp_path, kind):
    path = tmp_path / "image"
    WHOLE[kind](path)
    picture = open_picture(path, LIMIT, None, None, None, 1)
    assert isinstance(picture, WholePicture)
    assert_cuts(picture, read_image(path, LIMIT).pixels)


def test_small_images_are_read_whole_and_members_of_archives_in_windows(tmp_path):
    content = tiff_of(RGB_8, 2, tile=16)
    (tmp_path / "archive").write_bytes(b"x" * 33 + content + b"y" * 9)
    span = Span(33, len(content))
    whole = open_picture(tmp_path / "archive", LIMIT, None, span, None, H * W + 1)
    assert isinstance(whole, WholePicture)
    picture = open_picture(tmp_path / "archive", LIMIT, hashlib.sha256(content).hexdigest(), span, None, H * W)
    assert isinstance(picture, TiffWindows)
    assert_cuts(picture, whole.pixels)


def test_pages_are_read_in_windows(tmp_path):
    path = tmp_path / "stack.tif"
    stack = np.stack([values("u2")[..., 0] + number for number in range(4)])
    tifffile.imwrite(path, stack, photometric="minisblack", tile=(32, 48))
    for page in (1, 3):
        whole = measure_image(path, LIMIT, Wish(page=page))
        assert_cuts(open_picture(path, LIMIT, None, None, whole.look, 1), whole.pixels)


@pytest.mark.parametrize("kind", ["16 bits, tiled", "RGB of 16 bits, tiled, zlib", "floats"])
def test_what_is_kept_is_limited_and_changes_nothing(tmp_path, monkeypatch, kind):
    array, options, section, _, _ = KINDS[kind]
    path = tmp_path / "image.tif"
    write_tiff(path, array, options)
    whole = measure_image(path, LIMIT, Wish(PixelsConfig.model_validate(section)))
    monkeypatch.setattr(tiff_windows, "_KEPT_BYTES", 20_000)
    picture = open_picture(path, LIMIT, None, None, whole.look, 1)
    assert_cuts(picture, whole.pixels)
    assert sum(segment.nbytes for segment in picture.reader._kept.values()) <= 20_000


@pytest.mark.parametrize("kind", [*KINDS, *PACKED])
def test_strips_measure_what_the_whole_image_gives(tmp_path, monkeypatch, kind):
    """Equal bit by bit where values have up to 16 bits; of longer ones numpy rounds percentiles in float32."""
    array, options, section, _, _ = {**KINDS, **PACKED}[kind]
    needs_codecs(kind, options)
    monkeypatch.setattr(measured_windows, "_STRIP_BYTES", 4000)
    path = tmp_path / "image.tif"
    write_tiff(path, array, options)
    wish = Wish(PixelsConfig.model_validate(section))
    whole, found = measure_image(path, LIMIT, wish), measure_windows(path, wish)
    expected = whole.look if whole.look is not None else None
    assert found.look.shrink == 1
    assert found.is_measured == whole.is_measured
    assert found.size_hw == whole.size_hw
    if expected is None:
        assert (found.look.low, found.look.high) == ((0.0,) * len(found.look.bands), (255.0,) * len(found.look.bands))
        return
    assert (found.look.bands, found.look.nodata, found.look.page) == (expected.bands, expected.nodata, expected.page)
    if array.dtype.itemsize <= 2 and array.dtype.kind in "iu":
        assert (found.look.low, found.look.high) == (expected.low, expected.high)
    np.testing.assert_allclose(found.look.low, expected.low, rtol=1e-5)
    np.testing.assert_allclose(found.look.high, expected.high, rtol=1e-5)


DTYPES = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"]


@pytest.mark.parametrize(("dtype", "n"), [*product(DTYPES, [1, 2, 7, 100, 5003])])
def test_percentiles_of_strips_are_those_of_all_values(dtype, n):
    rng = np.random.default_rng(n)
    drawn = rng.normal(0, 40, n) if dtype[0] != "u" else rng.integers(0, 200, n)
    if np.dtype(dtype).itemsize > 2:
        drawn = drawn * rng.choice([1, 1000, 1e5], n)
    array = np.asarray(drawn).astype(dtype)[:, None, None]

    def strips():
        for start in range(0, n, 900):
            yield Raster(array[start : start + 900], shown=(1,))

    pixels = PixelsConfig(stretch="percentile")
    found = look_of_strips(strips, pixels, None, 1)
    if array.dtype.itemsize <= 2 and array.dtype.kind in "iu":
        expected = look_of(Raster(array, shown=(1,)), pixels)
        assert (found.low, found.high) == (expected.low, expected.high)
    low, high = np.percentile(array.astype("f8"), (1, 99))
    if low < high:
        np.testing.assert_allclose((*found.low, *found.high), (low, high), rtol=1e-12)


@pytest.mark.parametrize("dtype", DTYPES[2:])
def test_keys_have_the_order_of_the_values_and_give_them_back(dtype):
    rng = np.random.default_rng(3)
    n_bytes = np.dtype(dtype).itemsize
    array = np.frombuffer(rng.bytes(4000 * n_bytes), dtype)
    array = np.sort(array[np.isfinite(array)]) if dtype[0] == "f" else np.sort(array)
    keys = strip_look._keys(array)
    assert (keys[1:] >= keys[:-1]).all()
    assert [strip_look._value(int(key), array.dtype) for key in keys[::50]] == array[::50].tolist()


def test_missing_values_and_colours_are_measured_as_in_the_whole_image(tmp_path, monkeypatch):
    monkeypatch.setattr(measured_windows, "_STRIP_BYTES", 4000)
    array = values("f4", 3)
    array[:20, :50] = np.nan
    array[40:] = -9999
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, array, photometric="rgb", extratags=[(42113, "s", 0, "-9999", True)])
    whole, found = measure_image(path, LIMIT, Wish()), measure_windows(path, Wish())
    assert found.look.nodata == whole.look.nodata == -9999
    np.testing.assert_allclose(found.look.low + found.look.high, whole.look.low + whole.look.high, rtol=1e-5)
    picture = open_picture(path, LIMIT, None, None, whole.look, 1)
    assert_cuts(picture, whole.pixels)


# What is wrong with a file, as (change of its bytes, status); the index reads it to its end.
WRONG = {
    "cut short": (lambda content: content[:-900], ImageStatus.TRUNCATED),
    "a damaged strip": (lambda content: content[:400] + bytes(300) + content[700:], ImageStatus.TRUNCATED),
    "no bytes": (lambda _: b"II*\0", ImageStatus.TRUNCATED),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_a_status(tmp_path, kind):
    change, status = WRONG[kind]
    path = tmp_path / "image.tif"
    path.write_bytes(change(tiff_of(RGB_8, 2, compressed=True)))
    with pytest.raises(BadImageError) as caught:
        measure_windows(path, Wish())
    assert caught.value.status is status
    assert "\n" not in caught.value.message


def test_a_file_that_changes_while_it_is_read_is_a_status(tmp_path):
    path = tmp_path / "image.tif"
    content = tiff_of(RGB_8, 2, compressed=True)
    path.write_bytes(content)
    look = measure_windows(path, Wish()).look
    with pytest.raises(BadImageError) as caught:
        open_picture(path, LIMIT, "0" * 64, None, look)
    assert caught.value.status is ImageStatus.CHANGED
    picture = open_picture(path, LIMIT, hashlib.sha256(content).hexdigest(), None, look)
    with path.open("r+b") as file:
        file.seek(8)
        file.write(bytes(2000))
    with pytest.raises(BadImageError) as caught, closing(picture):
        picture.read((0, 0, W, H))
    assert caught.value.status is ImageStatus.TRUNCATED


def test_one_huge_compressed_strip_is_refused_and_an_uncompressed_one_read(tmp_path, monkeypatch):
    monkeypatch.setattr(tiff_windows, "_MOST_BYTES", 2000)
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, RGB_8, photometric="rgb", rowsperstrip=H, compression="zlib")
    with pytest.raises(BadImageError, match="strips of 90 x 70 pixels, too large") as caught:
        measure_windows(path, Wish())
    assert caught.value.status is ImageStatus.TOO_LARGE
    tifffile.imwrite(path, RGB_8, photometric="rgb", rowsperstrip=H)
    look = measure_windows(path, Wish()).look
    assert_cuts(open_picture(path, LIMIT, None, None, look), RGB_8)


@pytest.mark.parametrize(
    "size_hw", [(1, 1), (4096, 4096), (4096, 4097), (30_000, 30_000), (2**15, 2**16 - 1), (3, 10**8)]
)
def test_blocks_are_the_smallest_that_fit(size_hw):
    def blocks(shrink):
        return -(-size_hw[0] // shrink) * -(-size_hw[1] // shrink)

    shrink = shrink_of(size_hw)
    assert blocks(shrink) <= windows.SEEN_PX
    assert shrink == 1 or blocks(shrink - 1) > windows.SEEN_PX


@pytest.mark.parametrize(("shrink", "strip_px"), [*product([1, 2, 7], [50, 700, 10**7])])
def test_blocks_are_averages_of_the_whole(monkeypatch, shrink, strip_px):
    monkeypatch.setattr(windows, "_STRIP_PX", strip_px)
    box = (3, 2, 83, 69)
    found = shrunk(WholePicture(RGB_8), box, shrink)
    expected = PIL.Image.fromarray(RGB_8[2:69, 3:83]).reduce(shrink)
    np.testing.assert_array_equal(found, np.asarray(expected))


def test_a_missing_tile_has_the_files_value_for_no_data(tmp_path):
    content = bytearray(tiff_of(RGB_8, 2, tile=16, compressed=True))
    path = tmp_path / "image.tif"
    path.write_bytes(content)
    with tifffile.TiffFile(path, mode="r+b") as file:
        counts = list(file.pages[0].databytecounts)
        counts[3] = 0
        file.pages[0].tags[325].overwrite(counts)
    whole = np.asarray(tifffile.imread(path))
    assert whole[:16, 48:64].max() == 0
    assert_cuts(open_picture(path, LIMIT, None, None, measure_windows(path, Wish()).look), whole)
