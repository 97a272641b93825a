"""Deep and many-banded images are shown as ``dataset.pixels`` says, compared with tifffile's and rasterio's reading."""

import hashlib
from contextlib import closing
from dataclasses import replace

import numpy as np
import PIL.Image
import pytest
import tifffile

from made_stacks import GREY, KINDS, PACKED, RGB, H, W, values, write_pfm, write_png, write_ppm, write_tiff
from maskgrid.config.pixels import PLAIN, PixelsConfig
from maskgrid.dataset.pixels import look as look_module
from maskgrid.dataset.pixels.decoding import Wish
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, measure_image, read_image, rgb_pixels
from maskgrid.dataset.pixels.look import Look, Raster, percentiles
from maskgrid.dataset.pixels.measured_windows import measure_windows
from maskgrid.dataset.pixels.windows import open_picture

LIMIT = 10**6


def shown(path, page=None, **section):
    return measure_image(path, LIMIT, Wish(PixelsConfig.model_validate(section), page))


def refused(path, **section):
    with pytest.raises(BadImageError) as caught:
        shown(path, **section)
    return caught.value


def limits(parts, stretch):
    """The values that are black and white in one stretch of some bands."""
    if isinstance(stretch, dict):
        return stretch["low"], stretch["high"]
    together = np.concatenate([part.ravel() for part in parts])
    kept = together[np.isfinite(together)] if together.dtype.kind == "f" else together
    if stretch == "minmax":
        return kept.min(), kept.max()
    return np.percentile(kept, (1, 99))


def oracle(array, bands, is_one_stretch, stretch="percentile", is_shallow=False, white_is_zero=False):
    """The picture of values (H, W, n), written a second time: uint8 (H, W, 3)."""
    chosen = [array[..., band - 1] for band in bands]
    if is_shallow and stretch == "auto":
        drawn = chosen
    else:
        ranges = [limits(chosen if is_one_stretch else [band], stretch) for band in chosen]
        scaled = [
            (band.astype(np.float64) - float(low)) * (255 / (float(high) - float(low)))
            for band, (low, high) in zip(chosen, ranges, strict=True)
        ]
        drawn = [np.clip(band, 0, 255) for band in scaled]
    drawn = [np.rint(255 - band if white_is_zero else band).astype(np.uint8) for band in drawn]
    return np.stack(drawn if len(drawn) == 3 else drawn * 3, -1)


def expected_of(kind, array):
    given, _, section, bands, is_one_stretch = {**KINDS, **PACKED}[kind]
    is_shallow = given.dtype == np.uint8
    stretch = section.get("stretch", "auto" if is_shallow else "percentile")
    return oracle(array, bands, is_one_stretch, stretch, is_shallow, "white" in kind)


@pytest.mark.parametrize("kind", [*KINDS, *PACKED])
def test_each_kind_is_shown_as_tifffiles_own_reading_of_it(tmp_path, kind):
    array, options, section, _, _ = {**KINDS, **PACKED}[kind]
    if kind in PACKED:
        pytest.importorskip("imagecodecs")
    path = tmp_path / "image.tif"
    write_tiff(path, array, options)
    found = tifffile.imread(path)
    found = np.moveaxis(found, 0, -1) if options.get("planarconfig") == "separate" else found
    image = shown(path, **section)
    np.testing.assert_array_equal(image.pixels, expected_of(kind, found.reshape(H, W, -1)))
    assert image.pixels.std() > 30, "a picture, not a nearly black one"
    again = read_image(path, LIMIT, hashlib.sha256(path.read_bytes()).hexdigest(), None, image.look)
    np.testing.assert_array_equal(again.pixels, image.pixels)


@pytest.mark.filterwarnings("ignore:Dataset has no geotransform")
@pytest.mark.parametrize("kind", [*KINDS, *PACKED])
def test_each_kind_is_shown_as_rasterios_own_reading_of_it(tmp_path, kind):
    rasterio = pytest.importorskip("rasterio")
    array, options, section, _, _ = {**KINDS, **PACKED}[kind]
    if kind in PACKED:
        pytest.importorskip("imagecodecs")
    path = tmp_path / "image.tif"
    write_tiff(path, array, options)
    try:
        with rasterio.open(path) as source:
            found = np.moveaxis(source.read(), 0, -1)
    except rasterio.errors.RasterioIOError as error:
        pytest.skip(f"rasterio: {error}")
    if found.dtype != array.dtype:
        pytest.skip(f"rasterio reads {array.dtype} as {found.dtype}")
    np.testing.assert_array_equal(shown(path, **section).pixels, expected_of(kind, found))


@pytest.mark.parametrize(
    ("name", "n", "is_one_stretch"), [("a.png", 1, False), ("b.png", 3, True), ("c.ppm", 3, True), ("d.pfm", 1, False)]
)
def test_deep_files_of_other_formats(tmp_path, name, n, is_one_stretch):
    array = values("f4" if name == "d.pfm" else "u2", n)
    path = tmp_path / name
    if name == "c.ppm":
        write_ppm(path, array, 65535)
    else:
        (write_png if name.endswith("png") else write_pfm)(path, array)
    image = shown(path)
    np.testing.assert_array_equal(image.pixels, oracle(array, (1, 2, 3)[:n], is_one_stretch))
    np.testing.assert_array_equal(read_image(path, LIMIT, None, None, image.look).pixels, image.pixels)
    np.testing.assert_array_equal(rgb_pixels(path), image.pixels)


def test_an_image_in_memory_is_shown_alike():
    array = values("u2")
    np.testing.assert_array_equal(rgb_pixels(PIL.Image.fromarray(array[..., 0])), oracle(array, (1,), False))


def test_8_bits_are_as_they_were(tmp_path):
    for name, array in (("a.png", values("u1", 3, 99)), ("b.tif", values("u1", 3, 99)), ("c.tif", values("u1", 1, 99))):
        if name.endswith("png"):
            PIL.Image.fromarray(array).save(tmp_path / name)
        else:
            write_tiff(tmp_path / name, array, RGB if array.shape[2] == 3 else GREY)
        image = shown(tmp_path / name)
        assert image.look is None
        np.testing.assert_array_equal(image.pixels, read_image(tmp_path / name, LIMIT).pixels)
        np.testing.assert_array_equal(image.pixels, np.broadcast_to(array, (H, W, 3)))


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "i1"])
def test_percentiles_of_whole_numbers_are_numpys(dtype):
    random, info = np.random.default_rng(0), np.iinfo(dtype)
    for n in (1, 2, 3, 99, 100, 101, 5000):
        numbers = random.integers(info.min, info.max, n, dtype, endpoint=True)
        np.testing.assert_allclose(percentiles(numbers), np.percentile(numbers.astype(int), (1, 99)), rtol=1e-12)


def test_nan_and_no_data_are_black_and_have_no_say(tmp_path):
    array = values("f4", top=500) + 100
    array[:20] = np.nan
    array[20:40] = -9999
    write_tiff(tmp_path / "a.tif", array, GREY | {"extratags": [(42113, "s", 0, "-9999", True)]})
    image = shown(tmp_path / "a.tif")
    assert not image.pixels[:40].any()
    np.testing.assert_array_equal(image.pixels[40:], oracle(array[40:], (1,), False))
    assert image.look.nodata == -9999
    write_tiff(tmp_path / "b.tif", array, GREY)
    np.testing.assert_array_equal(shown(tmp_path / "b.tif", nodata=-9999).pixels, image.pixels)
    assert shown(tmp_path / "a.tif", nodata=None).look.low == (-9999,)


def test_an_image_of_one_value_or_nearly_so(tmp_path):
    flat = np.full((H, W, 1), 700, np.uint16)
    write_tiff(tmp_path / "flat.tif", flat, GREY)
    assert not shown(tmp_path / "flat.tif").pixels.any()
    flat[0, :4] = 900  # fewer than 1 in 100
    write_tiff(tmp_path / "spots.tif", flat, GREY)
    assert shown(tmp_path / "spots.tif").pixels[0, :6, 0].tolist() == [255] * 4 + [0] * 2
    empty = np.full((H, W, 1), np.nan, np.float32)
    write_tiff(tmp_path / "empty.tif", empty, GREY)
    assert not shown(tmp_path / "empty.tif").pixels.any()


def test_transparency_is_white_and_has_no_say(tmp_path):
    array = np.dstack([values("u2", 3), np.full((H, W), 65535, np.uint16)])
    array[:30, :, 3] = 0
    array[:30, :, :3] = 60000
    write_tiff(tmp_path / "a.tif", array, RGB | {"extrasamples": ["unassalpha"]})
    image = shown(tmp_path / "a.tif")
    assert (image.pixels[:30] == 255).all()
    np.testing.assert_array_equal(image.pixels[30:], oracle(array[30:], (1, 2, 3), True))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_deep_image_is_upright(tmp_path, orientation):
    array = values("u2")
    write_tiff(tmp_path / "a.tif", array, GREY | {"extratags": [(274, "H", 1, orientation, True)]})
    image = shown(tmp_path / "a.tif")
    plain = read_image(tmp_path / "a.tif", LIMIT)
    assert (image.exif_orientation, plain.exif_orientation) == (orientation, orientation)
    assert image.pixels.shape == plain.pixels.shape
    lit = plain.pixels.astype(float).ravel(), image.pixels.astype(float).ravel()
    assert np.corrcoef(*lit)[0, 1] > 0.98


OME = {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "RFP"]}}
GDAL = "<GDALMetadata>{}</GDALMetadata>".format(
    "".join(f'<Item name="DESCRIPTION" sample="{n}" role="description">B{n + 2}</Item>' for n in range(5))
)


def test_bands_by_name(tmp_path):
    array = values("u2", 5)
    tags = [(42112, "s", 0, GDAL, True)]
    write_tiff(tmp_path / "map.tif", array, GREY | {"planarconfig": "contig", "extratags": tags, "metadata": None})
    np.testing.assert_array_equal(
        shown(tmp_path / "map.tif", bands=["b4", "B3", "B2"]).pixels, oracle(array, (3, 2, 1), False)
    )
    assert "(B2, B3, B4, B5, B6)" in refused(tmp_path / "map.tif").message
    assert "asks for 'B9'" in refused(tmp_path / "map.tif", bands="B9").message
    assert "asks for band 6" in refused(tmp_path / "map.tif", bands=6).message
    channels = np.moveaxis(array[..., :3], -1, 0)
    tifffile.imwrite(tmp_path / "cells.ome.tif", channels, photometric="minisblack", metadata=OME, ome=True)
    for band, number in (("GFP", 2), ("rfp", 3), (3, 3)):
        image = shown(tmp_path / "cells.ome.tif", bands=band)
        np.testing.assert_array_equal(image.pixels, oracle(array, (number,), False))
        again = read_image(tmp_path / "cells.ome.tif", LIMIT, None, None, image.look)
        np.testing.assert_array_equal(again.pixels, image.pixels)
    three = shown(tmp_path / "cells.ome.tif", bands=["RFP", "GFP", "DAPI"])
    np.testing.assert_array_equal(three.pixels, oracle(array, (3, 2, 1), False))
    np.testing.assert_array_equal(shown(tmp_path / "cells.ome.tif").pixels, oracle(array, (1,), False))
    rgb = values("u1", 3, 200)
    PIL.Image.fromarray(rgb).save(tmp_path / "a.png")
    np.testing.assert_array_equal(shown(tmp_path / "a.png", bands="green").pixels, rgb[..., [1, 1, 1]])
    np.testing.assert_array_equal(shown(tmp_path / "a.png", bands=[3, 2, 1]).pixels, rgb[..., ::-1])


def test_without_a_stretch_deep_images_are_read_as_before(tmp_path):
    write_tiff(tmp_path / "a.tif", values("u2"), GREY)
    image = shown(tmp_path / "a.tif", stretch="none")
    assert image.look is None
    np.testing.assert_array_equal(image.pixels, read_image(tmp_path / "a.tif", LIMIT).pixels)
    assert image.pixels.max() == 16, "12 bits in 16"


def test_lzw_without_imagecodecs(tmp_path, monkeypatch):
    array = values("u2")
    PIL.Image.fromarray(array[..., 0]).save(tmp_path / "grey.tif", compression="tiff_lzw")
    np.testing.assert_array_equal(shown(tmp_path / "grey.tif").pixels, oracle(array, (1,), False))
    import cv2

    colour = values("u2", 3)
    cv2.imwrite(str(tmp_path / "colour.tif"), colour[..., ::-1], [cv2.IMWRITE_TIFF_COMPRESSION, 5])
    np.testing.assert_array_equal(shown(tmp_path / "colour.tif").pixels, oracle(colour, (1, 2, 3), True))


def test_webp_in_tiff_is_read_whether_pillow_can_or_not(tmp_path):
    """As GDAL writes it, tiled; Pillow's wheels have no WebP in TIFF."""
    pytest.importorskip("imagecodecs")
    array, path = values("u1", 3, 200), tmp_path / "a.tif"
    options = {"photometric": "rgb", "tile": (32, 32), "compression": "webp", "compressionargs": {"level": -1}}
    tifffile.imwrite(path, array, **options)
    np.testing.assert_array_equal(tifffile.imread(path), array, "lossless")
    image = measure_image(path, LIMIT, Wish(PLAIN))
    np.testing.assert_array_equal(image.pixels, array)
    np.testing.assert_array_equal(read_image(path, LIMIT, look=image.look).pixels, array)
    np.testing.assert_array_equal(read_image(path, LIMIT).pixels, array)
    with closing(open_picture(path, 100, None, None, measure_windows(path, Wish(PLAIN)).look)) as windows:
        np.testing.assert_array_equal(windows.read((3, 5, 40, 50)), array[5:50, 3:40])
    content = path.read_bytes()
    path.write_bytes(content[:-40] + bytes(40))
    assert refused(path).status is ImageStatus.TRUNCATED


def test_signed_bytes_are_stretched_where_some_lie_below_0(tmp_path):
    array = np.random.default_rng(1).integers(-90, 40, (50, 60)).astype(np.int8)
    tifffile.imwrite(tmp_path / "a.tif", array, photometric="minisblack")
    image = shown(tmp_path / "a.tif")
    low, high = np.percentile(array, (1, 99))
    assert (image.look.low, image.look.high) == ((low,), (high,))
    np.testing.assert_array_equal(image.pixels, oracle(array[..., None], (1,), False))
    assert image.look == replace(measure_windows(tmp_path / "a.tif", Wish(PLAIN)).look, shrink=None)
    assert refused(tmp_path / "a.tif", stretch="none").message == "signed bytes below 0, which have no agreed look"


@pytest.mark.parametrize("section", [{}, {"stretch": "none"}, {"nodata": None}, {"bands": 1}])
def test_what_a_file_states_as_no_data_counts_where_it_is_stretched_in_windows_as_whole(tmp_path, section):
    array, path = values("u1", 1, 255)[..., 0], tmp_path / "a.tif"
    stated = [(42113, "s", 0, "255", True)]
    tifffile.imwrite(path, array, photometric="minisblack", tile=(16, 16), extratags=stated)
    wish = Wish(PixelsConfig.model_validate(section))
    image, found = measure_image(path, LIMIT, wish), measure_windows(path, wish)
    black = set(image.pixels[array == 255].ravel().tolist())
    assert black == ({0} if "bands" in section else {255})
    with closing(open_picture(path, 100, None, None, found.look)) as windows:
        np.testing.assert_array_equal(windows.read((0, 0, *array.shape[::-1])), image.pixels)


@pytest.mark.parametrize("length", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("kind", ["16 bits, tiled, zlib and predictor", "RGB of 16 bits, planes", "doubles"])
def test_cut_files_are_truncated(tmp_path, kind, length):
    array, options, section, _, _ = KINDS[kind]
    write_tiff(tmp_path / "a.tif", array, options)
    content = (tmp_path / "a.tif").read_bytes()
    (tmp_path / "a.tif").write_bytes(content[: int(len(content) * length)])
    assert refused(tmp_path / "a.tif", **section).status is ImageStatus.TRUNCATED


def test_damage_raises_no_other_exception(tmp_path):
    random = np.random.default_rng(3)
    outcomes = set()
    for kind in ("16 bits, tiled, zlib and predictor", "RGB of 16 bits, planes", "16 bits, BigTIFF, big-endian"):
        array, options, section, _, _ = KINDS[kind]
        write_tiff(tmp_path / "a.tif", array, options)
        content = (tmp_path / "a.tif").read_bytes()
        for _ in range(40):
            damaged = np.frombuffer(content, np.uint8).copy()
            damaged[random.integers(0, 400, 6)] = random.integers(0, 256, 6)
            (tmp_path / "a.tif").write_bytes(damaged.tobytes())
            try:
                shown(tmp_path / "a.tif", **section)
                outcomes.add("ok")
            except BadImageError as bad:
                outcomes.add(bad.status)
    assert ImageStatus.TRUNCATED in outcomes


def test_limits_hold_for_files_that_only_tifffile_opens(tmp_path):
    array = np.zeros((40, 50, 5), np.uint16)
    write_tiff(tmp_path / "a.tif", array, GREY | {"planarconfig": "contig"})
    with pytest.raises(BadImageError) as caught:
        measure_image(tmp_path / "a.tif", 1999, Wish(PixelsConfig(bands=1)))
    assert (caught.value.status, "50 x 40" in caught.value.message) == (ImageStatus.TOO_LARGE, True)


def test_heic(tmp_path):
    pillow_heif = pytest.importorskip("pillow_heif")
    array = values("u1", 3, 200)
    pillow_heif.from_pillow(PIL.Image.fromarray(array)).save(tmp_path / "a.heic", quality=95)
    image = measure_image(tmp_path / "a.heic", LIMIT, Wish(PLAIN))
    assert (image.format, image.look) == ("HEIF", None)
    assert np.abs(image.pixels.astype(int) - array).mean() < 8


def test_heic_without_its_package_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setattr("maskgrid.dataset.pixels.pillow.has_heif", lambda: False)
    monkeypatch.setattr("maskgrid.dataset.pixels.other_formats.has_heif", lambda: False)
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x18ftypheic" + bytes(99))
    bad = refused(tmp_path / "a.heic")
    assert bad.status is ImageStatus.UNSUPPORTED
    assert bad.message == "HEIC, which needs a further package: pip install 'maskgrid[heic]'"


def test_a_users_image_of_floats_is_stretched_by_its_percentiles():
    image = PIL.Image.fromarray(np.array([[0, 1], [7, 20]], np.float32))
    low, high = np.percentile([0, 1, 7, 20], (1, 99))
    expected = [0, round((1 - low) / (high - low) * 255), round((7 - low) / (high - low) * 255), 255]
    assert rgb_pixels(image)[..., 0].ravel().tolist() == expected


@pytest.mark.parametrize("nodata", [None, 7.0, 0.5])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize(
    ("dtype", "low", "high"), [("u1", 0, 255), ("u1", 31, 140.5), ("u2", 0, 65535), ("u2", 130.25, 4095)]
)
def test_a_table_of_values_gives_the_same_picture(monkeypatch, dtype, low, high, white_is_zero, nodata):
    values = np.random.default_rng(0).integers(0, np.iinfo(dtype).max + 1, (300, 400)).astype(dtype)[..., None]
    raster, look = Raster(values, white_is_zero=white_is_zero), Look(None, (1,), (low,), (high,), nodata)
    found = look_module.picture(raster, look)
    monkeypatch.setattr(look_module, "_MOST_SHORT", values.size)
    np.testing.assert_array_equal(found, look_module.picture(raster, look))
