"""Masks of GeoTIFFs in map coordinates: rasterio's transform and GDAL's reading of the files are the oracles."""

import json

import numpy as np
import PIL.Image
import pytest
import tifffile

from maskgrid.config.exports import GeojsonOptions
from maskgrid.config.models import Config
from maskgrid.dataset.georeference import read_georeference
from maskgrid.dataset.index import index_dataset
from maskgrid.io.errors import UserError
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.masks import rle
from maskgrid.plan.plan import make_plan
from maskgrid.results.exports.geojson import write_geojson
from maskgrid.results.exports.source import MaskFile

H, W = 40, 60
UTM, DEGREES = 32633, 4326
SCALE = [(33550, "d", 3, (10.0, 10.0, 0.0), True), (33922, "d", 6, (0, 0, 0, 400000.0, 5600000.0, 0), True)]
TURNED = (8.0, 6.0, 0, 400000.0, 6.0, -8.0, 0, 5600000.0, 0, 0, 0, 0, 0, 0, 0, 1)


def keys(code, raster=1):
    is_projected = code == UTM
    entries = [1024, 0, 1, 1 if is_projected else 2, 1025, 0, 1, raster, 3072 if is_projected else 2048, 0, 1, code]
    return (34735, "H", 16, (1, 1, 0, 3, *entries), True)


def geotiff(path, code=UTM, tags=None, raster=1):
    pixels = np.random.default_rng(0).integers(0, 255, (H, W, 3), dtype=np.uint8)
    tifffile.imwrite(path, pixels, photometric="rgb", extratags=[keys(code, raster), *(tags or SCALE)])


def small(scale=0.001):
    return [(33550, "d", 3, (scale, scale, 0.0), True), (33922, "d", 6, (0, 0, 0, 13.0, 52.0, 0), True)]


KINDS = {
    "projected": {},
    "degrees": {"code": DEGREES, "tags": small()},
    "pixel is point": {"raster": 2},
    "turned": {"tags": [(34264, "d", 16, TURNED, True)]},
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_place_of_an_image_is_rasterios(tmp_path, kind):
    rasterio = pytest.importorskip("rasterio")
    geotiff(tmp_path / "a.tif", **KINDS[kind])
    with (tmp_path / "a.tif").open("rb") as stream:
        found = read_georeference(stream)
    with rasterio.open(tmp_path / "a.tif") as source:
        assert found.epsg == source.crs.to_epsg()
        np.testing.assert_allclose(found.transform, tuple(source.transform)[:6], rtol=1e-12)
        np.testing.assert_allclose(found.place(7, 3), source.transform @ (7, 3), rtol=1e-12)


def test_coordinates_of_corners(tmp_path):
    geotiff(tmp_path / "a.tif")
    geotiff(tmp_path / "point.tif", raster=2)
    geotiff(tmp_path / "turned.tif", tags=[(34264, "d", 16, TURNED, True)])
    placed = {}
    for name in ("a", "point", "turned"):
        with (tmp_path / f"{name}.tif").open("rb") as stream:
            placed[name] = read_georeference(stream)
    assert placed["a"].place(0, 0) == [400000, 5600000]
    assert placed["a"].place(60, 40) == [400600, 5599600]
    assert placed["point"].place(0, 0) == [399995, 5600005], "the tie point is a pixel's centre"
    assert placed["turned"].place(10, 0) == [400080, 5600060]


@pytest.mark.parametrize(
    "tags", [[], [keys(32767), *SCALE], [keys(UTM)], [keys(UTM), (33550, "d", 1, (1.0,), True)], SCALE]
)
def test_what_has_no_place_on_a_map(tmp_path, tags):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), photometric="minisblack", extratags=tags)
    with (tmp_path / "a.tif").open("rb") as stream:
        assert read_georeference(stream) is None


MASK = np.zeros((H, W), np.bool_)
MASK[5:25, 10:40] = True
MASK[10:15, 20:30] = False


def exported(folder, **options):
    plan = make_plan(
        Config.model_validate({"dataset": {"source": "photos", "ground_truth": None}}), folder, folder / "results"
    )
    index_dataset(plan)
    names = sorted(path.name for path in (folder / "photos").iterdir())
    code = {"size": [H, W], "counts": rle.encode(MASK).decode()}
    images = [
        {"id": number, "file_name": name, "width": W, "height": H, "exif_orientation": 1}
        for number, name in enumerate(names, 1)
    ]
    entries = [
        {"id": one["id"], "image_id": one["id"], "category_id": 1, "segmentation": code, "area": int(MASK.sum())}
        for one in images
    ]
    head = {"info": {}, "categories": [{"id": 1, "name": "object"}]}
    lists = {"images": map(dumps, images), "annotations": map(dumps, entries)}
    write_document(folder / "masks.json", head, lists)
    masks = MaskFile(folder / "masks.json", plan.layout.files, len(images), 10**6)
    (folder / "out").mkdir(exist_ok=True)
    return write_geojson(masks, folder / "out", GeojsonOptions(**options))


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    geotiff(tmp_path / "photos/a.tif")
    return tmp_path / "photos"


def test_masks_lie_on_the_map_as_gdal_reads_them(photos, tmp_path):
    geotiff(photos / "b.tif", tags=[(34264, "d", 16, TURNED, True)])
    PIL.Image.new("RGB", (W, H)).save(photos / "plain.png")
    note = exported(tmp_path, coordinates="map")
    assert note["n_without_map"] == 1
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.geojson", "b.geojson"]
    document = json.loads((tmp_path / "out/a.geojson").read_text())
    assert document["crs"]["properties"]["name"] == "urn:ogc:def:crs:EPSG::32633"
    rings = document["features"][0]["geometry"]["coordinates"]
    assert {tuple(corner) for corner in rings[0]} == {
        (400000 + 10 * x, 5600000 - 10 * y) for x in (10, 40) for y in (5, 25)
    }
    pyogrio = pytest.importorskip("pyogrio")
    for name in ("a", "b"):
        meta, _, geometry, _ = pyogrio.raw.read(tmp_path / f"out/{name}.geojson")
        assert meta["crs"] == "EPSG:32633"
        assert len(geometry) == 1
        left, bottom, right, top = pyogrio.read_bounds(tmp_path / f"out/{name}.geojson")[1][:, 0]
        with (photos / f"{name}.tif").open("rb") as stream:
            place = read_georeference(stream).place
        corners = np.array([place(x, y) for x in (10, 40) for y in (5, 25)])
        np.testing.assert_allclose([left, bottom, right, top], [*corners.min(0), *corners.max(0)])


def test_one_file_has_one_reference_system(photos, tmp_path):
    geotiff(photos / "b.tif", tags=[(34264, "d", 16, TURNED, True)])
    exported(tmp_path, coordinates="map", files="one")
    assert len(json.loads((tmp_path / "out/masks.geojson").read_text())["features"]) == 2
    geotiff(photos / "c.tif", code=DEGREES, tags=small())
    with pytest.raises(UserError, match=r"several reference systems \(EPSG 4326, 32633\).*files: per_image"):
        exported(tmp_path, coordinates="map", files="one")


def test_without_any_map_the_message_says_what_is_needed(photos, tmp_path):
    (photos / "a.tif").unlink()
    PIL.Image.new("RGB", (W, H)).save(photos / "plain.png")
    with pytest.raises(UserError, match="needs GeoTIFFs"):
        exported(tmp_path, coordinates="map")


def test_pixels_are_written_as_before(photos, tmp_path):
    note = exported(tmp_path)
    document = json.loads((tmp_path / "out/a.geojson").read_text())
    assert set(document) == {"type", "features"}
    assert document["features"][0]["geometry"]["coordinates"][0][0] == [10, 5]
    assert "n_without_map" not in note
    assert "coordinates" not in GeojsonOptions().model_dump()
