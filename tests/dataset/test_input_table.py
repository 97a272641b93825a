"""The tables of inputs in docs/microscopy.md and docs/maps.md: each kind as tifffile, Pillow or GDAL reads it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import tifffile

from made_stacks import H, W, values, write_png
from maskgrid.config.pixels import PixelsConfig
from maskgrid.dataset.pixels.decoding import Wish
from maskgrid.dataset.pixels.images import measure_image
from maskgrid.dataset.pixels.measured_windows import measure_windows
from maskgrid.dataset.pixels.windows import open_picture

DOCS = Path(__file__).parents[2] / "docs"
GREY, RGB = {"photometric": "minisblack"}, {"photometric": "rgb"}
TILED = {"tile": (32, 48)}
OME = {"ome": True, "metadata": {"axes": "CYX", "Channel": {"Name": ["DAPI", "GFP", "Cy5"]}}, **GREY}
Read = Callable[[Path], np.ndarray]


def stack(dtype, n, **options):
    """Values (n, H, W)."""
    return np.moveaxis(values(dtype, n, **options), -1, 0)


def with_holes(array, value):
    """Values of which some are missing."""
    found = array.copy()
    found[:20, :50] = value
    return found


def by_tifffile(path):
    found = tifffile.imread(path)
    return found[..., None] if found.ndim == 2 else found


def channels_last(path):
    return np.moveaxis(tifffile.imread(path), 0, -1)


def page_3(path):
    return tifffile.imread(path, key=2)[..., None]


def by_pillow(path):
    with PIL.Image.open(path) as image:
        found = np.asarray(image)
    return found[..., None] if found.ndim == 2 else found


def by_rasterio(path):
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as source:
        return np.moveaxis(source.read(), 0, -1)


@dataclass(frozen=True)
class Kind:
    """An input: how it is written and read by a library, and which of its bands are shown.

    ``is_one`` says whether these share a stretch, ``stretch`` how they are stretched (None: not at all).
    """

    write: Callable[[Path], Any]
    library: str
    read: Read
    bands: tuple[int, ...] = (1,)
    is_one: bool = False
    stretch: str | None = "percentile"
    section: dict[str, Any] = field(default_factory=dict)
    nodata: float | None = None
    page: int | None = None


def tiff(array, **options):
    return lambda path: tifffile.imwrite(path, array, **options)


def gdal(array, names=(), nodata=None, **options):
    """Write values (H, W, n) with GDAL."""

    def write(path):
        rasterio = pytest.importorskip("rasterio")
        form = {"height": H, "width": W, "count": array.shape[2], "dtype": array.dtype, "nodata": nodata}
        place = {"crs": "EPSG:32633", "transform": rasterio.Affine(10, 0, 4e5, 0, -10, 5.6e6)}
        with rasterio.open(path, "w", driver="GTiff", **form, **place, **options) as target:
            target.write(np.moveaxis(array, -1, 0))
            for number, name in enumerate(names, 1):
                target.set_band_description(number, name)

    return write


BLOCKS = {"tiled": True, "blockxsize": 32, "blockysize": 32}
BY_TIFFFILE, BY_GDAL = ("tifffile", by_tifffile), ("rasterio", by_rasterio)
MICROSCOPY = {
    "12 bits in a 16-bit TIFF": Kind(tiff(values("u2")[..., 0], **GREY), *BY_TIFFFILE),
    "16-bit TIFF, big-endian BigTIFF": Kind(
        tiff(values("u2", top=65535)[..., 0], byteorder=">", bigtiff=True, **GREY), *BY_TIFFFILE
    ),
    "signed 16 bits, as in CT": Kind(tiff(values("i2")[..., 0], **GREY), *BY_TIFFFILE),
    "floats with NaN": Kind(tiff(with_holes(values("f4", top=9000), np.nan)[..., 0], **GREY), *BY_TIFFFILE),
    "RGB of 16 bits, tiled, deflate": Kind(
        tiff(values("u2", 3), compression="zlib", predictor=True, **RGB, **TILED), *BY_TIFFFILE, (1, 2, 3), True
    ),
    "RGB of 16 bits in planes": Kind(
        tiff(stack("u2", 3), planarconfig="separate", **RGB), "tifffile", channels_last, (1, 2, 3), True
    ),
    "OME-TIFF, `bands: [DAPI, GFP, GFP]`": Kind(
        tiff(stack("u2", 3), **OME), "tifffile", channels_last, (1, 2, 2), section={"bands": ["DAPI", "GFP", "GFP"]}
    ),
    "OME-TIFF, `bands: Cy5`": Kind(
        tiff(stack("u2", 3), **OME), "tifffile", channels_last, (3,), section={"bands": "Cy5"}
    ),
    "ImageJ stack, page 3 of 5": Kind(
        tiff(stack("u2", 5), imagej=True, metadata={"axes": "ZYX"}, **GREY), "tifffile", page_3, page=3
    ),
    "`stretch: {low: 100, high: 2000}`": Kind(
        tiff(values("u2")[..., 0], **GREY),
        *BY_TIFFFILE,
        stretch="100 2000",
        section={"stretch": {"low": 100, "high": 2000}},
    ),
    "PNG of 16 bits": Kind(lambda path: write_png(path, values("u2")), "Pillow", by_pillow),
    "PNG of 8 bits": Kind(
        lambda path: PIL.Image.fromarray(values("u1", 3, 255)).save(path), "Pillow", by_pillow, (1, 2, 3), stretch=None
    ),
    "JPEG": Kind(
        lambda path: PIL.Image.fromarray(values("u1", 3, 255)).save(path, "JPEG"),
        "Pillow",
        by_pillow,
        (1, 2, 3),
        stretch=None,
    ),
}
SCENE = with_holes(values("u2", 5), 0)
MAPS = {
    "five named bands of 16 bits, `bands: [B4, B3, B2]`, nodata 0": Kind(
        gdal(SCENE, ("B1", "B2", "B3", "B4", "B5"), 0),
        *BY_GDAL,
        (4, 3, 2),
        section={"bands": ["B4", "B3", "B2"]},
        nodata=0,
    ),
    "the same band by band, tiled, deflate": Kind(
        gdal(SCENE, nodata=0, interleave="band", compress="deflate", predictor=2, **BLOCKS),
        *BY_GDAL,
        (4, 3, 2),
        section={"bands": [4, 3, 2]},
        nodata=0,
    ),
    "heights in floats, nodata -9999": Kind(
        gdal(with_holes(values("f4", top=900), -9999), nodata=-9999), *BY_GDAL, nodata=-9999
    ),
    "signed 16 bits, BigTIFF": Kind(gdal(values("i2"), BIGTIFF="YES"), *BY_GDAL),
    "RGB of 8 bits, tiled, deflate": Kind(
        gdal(values("u1", 3, 255), photometric="rgb", compress="deflate", **BLOCKS), *BY_GDAL, (1, 2, 3), stretch=None
    ),
    "one band of 8 bits": Kind(gdal(values("u1", 1, 255)), *BY_GDAL, stretch=None),
}


def expected(kind, array):
    """The picture of a library's values, and the bands that it was made of."""
    chosen = [array[..., band - 1] for band in kind.bands]
    valid = [band[np.isfinite(band) & (band != kind.nodata)] for band in chosen]
    if kind.stretch is None:
        drawn = chosen
    else:
        ranges = [np.percentile(np.concatenate(valid) if kind.is_one else one, (1, 99)) for one in valid]
        if kind.stretch != "percentile":
            ranges = [tuple(map(float, kind.stretch.split()))] * len(valid)
        with np.errstate(invalid="ignore"):
            drawn = [
                np.rint(np.clip((band.astype("f8") - float(low)) * (255 / (float(high) - float(low))), 0, 255))
                for band, (low, high) in zip(chosen, ranges, strict=True)
            ]
        drawn = [
            np.where(np.isnan(band) | (band == kind.nodata), 0, one) for band, one in zip(chosen, drawn, strict=True)
        ]
    return np.stack(drawn if len(drawn) == 3 else drawn * 3, axis=-1).astype(np.uint8)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("page", "name", "kind"),
    [(page, *item) for page, kinds in (("microscopy", MICROSCOPY), ("maps", MAPS)) for item in kinds.items()],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_inputs_are_read_as_their_libraries_read_them(tmp_path, page, name, kind):
    path = tmp_path / f"image.{'png' if 'PNG' in name else 'tif'}"
    kind.write(path)
    array, wish = kind.read(path), Wish(PixelsConfig.model_validate(kind.section), kind.page)
    picture = expected(kind, array)
    found = measure_image(path, 10**6, wish)
    n_differences = int((found.pixels != picture).any(axis=2).sum())
    if kind.library != "Pillow":  # the same in windows, as an image beyond max_pixels is read
        windows = open_picture(path, 10**6, None, None, measure_windows(path, wish).look)
        differences = windows.read((0, 0, W, H)) != picture
        windows.close()
        # Strips measure longer numbers exactly, where numpy rounds percentiles.
        n_differences += int(differences.any(axis=2).sum()) if array.dtype.itemsize < 4 else 0
    shown = "grey" if len(kind.bands) == 1 else "red, green, blue"
    bands = "" if array.shape[2] == len(kind.bands) else f" from {array.shape[2]} bands"
    line = f"| {name} | {kind.library} | {shown}{bands}, {array.dtype} | {H * W:,} | {n_differences} |"
    assert line in (DOCS / f"{page}.md").read_text().splitlines()
    assert n_differences == 0
