"""Masks of GeoTIFFs in map coordinates: rasterio's transform and GDAL's reading of the files are the oracles."""

import json
import sys

import numpy as np
import PIL.Image
import pytest
import tifffile

from made_tiffs import SCALE, UTM, geotiff, keys
from maskgrid.automatic.verify import check_index
from maskgrid.config.exports import GeojsonOptions, GeopackageOptions
from maskgrid.config.models import Config
from maskgrid.dataset.georeference import Georeference, read_georeference
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.tables import read_previous, read_shard
from maskgrid.io.errors import UserError
from maskgrid.io.json_lines import dumps, write_document
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.plan.plan import make_plan
from maskgrid.results.exports.geojson import write_geojson
from maskgrid.results.exports.geopackage import write_geopackage
from maskgrid.results.exports.source import MaskFile

H, W = 40, 60
DEGREES = 4326
TURNED = (8.0, 6.0, 0, 400000.0, 6.0, -8.0, 0, 5600000.0, 0, 0, 0, 0, 0, 0, 0, 1)


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
        assert found.crs == source.crs.to_string()
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


def with_tags(path, *tags):
    pixels = np.zeros((4, 4), np.uint8)
    tifffile.imwrite(path, pixels, photometric="minisblack", extratags=[keys(UTM), *tags])
    with path.open("rb") as stream:
        return read_georeference(stream)


@pytest.mark.parametrize(("across", "down"), [(10.0, 10.0), (10.0, -10.0), (-10.0, 10.0)])
def test_signs_of_scales_are_read_as_gdal_reads_them(tmp_path, across, down):
    rasterio = pytest.importorskip("rasterio")
    found = with_tags(tmp_path / "a.tif", (33550, "d", 3, (across, down, 0.0), True), SCALE[1])
    with rasterio.open(tmp_path / "a.tif") as source:
        assert found.transform == tuple(source.transform)[:6]


def test_a_matrix_counts_where_the_scale_is_nothing(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    matrix = (34264, "d", 16, TURNED, True)
    for scale in (0.0, 10.0):
        found = with_tags(tmp_path / "a.tif", (33550, "d", 3, (scale, scale, 0.0), True), SCALE[1], matrix)
        with rasterio.open(tmp_path / "a.tif") as source:
            assert found.transform == tuple(source.transform)[:6]


NAN, INF = float("nan"), float("inf")
NOWHERE = [(tag, number) for tag in (*SCALE, (34264, "d", 16, TURNED, True)) for number in (NAN, INF)]
NOWHERE += [(SCALE[0], 0.0), ((34264, "d", 16, TURNED, True), 0.0)]


@pytest.mark.parametrize(("tag", "number"), NOWHERE)
def test_numbers_that_put_nothing_on_a_map(tmp_path, tag, number):
    rest = [one for one in SCALE if one[0] != tag[0]] if tag in SCALE else []
    assert with_tags(tmp_path / "a.tif", (*tag[:3], (number,) * tag[2], True), *rest) is None


@pytest.mark.parametrize("tags", [[], [keys(UTM)], [keys(UTM), (33550, "d", 1, (1.0,), True)], SCALE])
def test_what_has_no_place_on_a_map(tmp_path, tags):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((4, 4), np.uint8), photometric="minisblack", extratags=tags)
    with (tmp_path / "a.tif").open("rb") as stream:
        assert read_georeference(stream) is None


# Lambert's equal areas around 52 N 10 E, which EPSG has not.
LAEA_KEYS = [(1024, 0, 1, 1), (1025, 0, 1, 1), (1026, 34737, 8, 0), (2048, 0, 1, 4326), (3072, 0, 1, 32767)]
LAEA_KEYS += [(3074, 0, 1, 32767), (3075, 0, 1, 10), (3076, 0, 1, 9001)]
LAEA_KEYS += [(key, 34736, 1, place) for place, key in enumerate((3088, 3089, 3082, 3083))]
LAEA = [
    (34735, "H", 4 + 4 * len(LAEA_KEYS), (1, 1, 0, len(LAEA_KEYS), *(n for key in LAEA_KEYS for n in key)), True),
    (34736, "d", 4, (10.0, 52.0, 4321000.0, 3210000.0), True),
    (34737, "s", 9, "My LAEA|", True),
]
NAMELESS = (34735, "H", 12, (1, 1, 0, 2, 1024, 0, 1, 1, 3072, 0, 1, 32767), True)


def described(path, *tags):
    tifffile.imwrite(path, np.zeros((H, W), np.uint8), photometric="minisblack", extratags=[*tags, *SCALE])


def test_a_system_without_a_code_is_described_as_gdal_does(tmp_path):
    rasterio = pytest.importorskip("rasterio")
    described(tmp_path / "a.tif", *LAEA)
    described(tmp_path / "nameless.tif", NAMELESS)
    with (tmp_path / "a.tif").open("rb") as stream, rasterio.open(tmp_path / "a.tif") as source:
        found = read_georeference(stream)
        assert source.crs.to_epsg() is None
        assert rasterio.crs.CRS.from_wkt(found.crs) == source.crs
        np.testing.assert_allclose(found.transform, tuple(source.transform)[:6], rtol=1e-12)
    with (tmp_path / "nameless.tif").open("rb") as stream:
        assert read_georeference(stream) is None, "GDAL knows no more of it than its unit"


# By kind: what GDAL is asked to write, and how.
OF_GDAL = {
    "ESRI's projection, a model of its own": ("ESRI:54009", {}),
    "GeoTIFF 1.1": ("ESRI:54009", {"geotiff_version": "1.1"}),
    "an EPSG code in ESRI's words": ("ESRI:102100", {}),
    "an EPSG code in ESRI's keys": ("EPSG:32633", {"geotiff_keys_flavor": "ESRI_PE"}),
    "a name that is not ASCII": ("Größe 日本", {}),
}


@pytest.mark.parametrize("kind", OF_GDAL)
def test_what_gdal_writes_is_read_as_gdal_reads_it(tmp_path, kind):
    rasterio = pytest.importorskip("rasterio")
    crs, options = OF_GDAL[kind]
    if ":" not in crs:
        crs = rasterio.crs.CRS.from_string("+proj=laea +lat_0=10 +lon_0=20").to_wkt().replace("unknown", crs, 1)
    transform = rasterio.Affine(10, 0, 4e5, 0, -10, 5e6)
    about = {"height": H, "width": W, "count": 1, "dtype": "uint8", "crs": crs, "transform": transform}
    with rasterio.open(tmp_path / "a.tif", "w", driver="GTiff", **about, **options) as file:
        file.write(np.zeros((1, H, W), np.uint8))
    with (tmp_path / "a.tif").open("rb") as stream, rasterio.open(tmp_path / "a.tif") as source:
        found = read_georeference(stream)
        assert rasterio.crs.CRS.from_user_input(found.crs) == source.crs
        code = source.crs.to_epsg(confidence_threshold=100)
        assert found.crs == f"EPSG:{code}" if code else found.crs.startswith("PROJCRS")
    if "ASCII" in kind:
        assert 'PROJCRS["Größe 日本"' in found.crs


def test_texts_in_another_encoding_move_no_text_after_them(tmp_path):
    pytest.importorskip("rasterio")
    name = (34737, "s", 9, "Größe 1|".encode("latin-1") + b"\0", True)
    described(tmp_path / "a.tif", *LAEA[:2], name)
    with (tmp_path / "a.tif").open("rb") as stream:
        assert read_georeference(stream).crs.startswith('PROJCRS["Gr??e 1"')


def test_a_number_of_somebodys_own_is_no_epsg_code(tmp_path):
    pytest.importorskip("rasterio")
    own = (34735, "H", 16, (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 54009), True)
    described(tmp_path / "a.tif", own)
    with (tmp_path / "a.tif").open("rb") as stream:
        assert read_georeference(stream) is None, "as GDAL has it"


@pytest.mark.parametrize(("suffix", "world"), [(".jpg", ".jgw"), (".png", ".pgw"), (".tif", ".tfw"), (".tif", ".wld")])
def test_a_world_file_is_read_from_the_copy_that_gdal_makes(tmp_path, suffix, world):
    """As docs/maps.md tells to; ``rasterio.shutil.copy`` is what ``gdal_translate`` does."""
    rasterio = pytest.importorskip("rasterio")
    from rasterio import shutil

    image = tmp_path / f"scene{suffix}"
    PIL.Image.fromarray(np.zeros((H, W, 3), np.uint8)).save(image)
    image.with_suffix(world).write_text("0.5\n0\n0\n-0.25\n500000.25\n5000000.875\n")
    (tmp_path / f"{image.name}.aux.xml").write_text("<PAMDataset><SRS>EPSG:32633</SRS></PAMDataset>")
    shutil.copy(image, tmp_path / "copy.tif", driver="GTiff")
    with image.open("rb") as stream:
        assert suffix != ".tif" or read_georeference(stream) is None
    with (tmp_path / "copy.tif").open("rb") as stream, rasterio.open(image) as there:
        found = read_georeference(stream)
        assert found == Georeference("EPSG:32633", (0.5, 0.0, 500000.0, 0.0, -0.25, 5000001.0))
        assert found.transform == tuple(there.transform)[:6]


def test_without_rasterio_the_message_names_the_extra(photos, tmp_path, monkeypatch):
    """Nothing is finished without the image: once the extra is installed, the next run has it."""
    pytest.importorskip("rasterio")
    described(photos / "b.tif", *LAEA)
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "rasterio.errors", None)
        with pytest.raises(UserError) as caught:
            exported(tmp_path, coordinates="map")
        assert str(caught.value) == (
            "exports.geojson: b.tif: its reference system has no EPSG code, which needs further packages: "
            "pip install 'maskgrid[maps]'"
        )
    assert exported(tmp_path, coordinates="map")["n_without_map"] == 0
    monkeypatch.setitem(sys.modules, "rasterio.errors", None)
    with pytest.raises(UserError, match=r"dataset\.georeference: b\.tif: .*pip install 'maskgrid\[maps\]'"):
        indexed(tmp_path, georeference=True)


MASK = np.zeros((H, W), np.bool_)
MASK[5:25, 10:40] = True
MASK[10:15, 20:30] = False


def indexed(folder, **keys):
    values = {"dataset": {"source": "photos", "ground_truth": None, **keys}}
    plan = make_plan(Config.model_validate(values), folder, folder / "results")
    index_dataset(plan)
    return plan


def exported(folder, write=write_geojson, chosen=GeojsonOptions, **options):
    plan = indexed(folder)
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
    return write(masks, folder / "out", chosen(**options))


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
    with pytest.raises(UserError, match=r"several reference systems \(EPSG:32633, EPSG:4326\).*files: per_image"):
        exported(tmp_path, coordinates="map", files="one")


def test_without_any_map_the_message_says_what_is_needed(photos, tmp_path):
    (photos / "a.tif").unlink()
    PIL.Image.new("RGB", (W, H)).save(photos / "plain.png")
    with pytest.raises(UserError, match="coordinates: map needs GeoTIFFs with a reference system"):
        exported(tmp_path, coordinates="map")


def test_pixels_are_written_as_before(photos, tmp_path):
    note = exported(tmp_path)
    document = json.loads((tmp_path / "out/a.geojson").read_text())
    assert set(document) == {"type", "features"}
    assert document["features"][0]["geometry"]["coordinates"][0][0] == [10, 5]
    assert "n_without_map" not in note
    assert "coordinates" not in GeojsonOptions().model_dump()


def packaged(folder, **options):
    return exported(folder, write_geopackage, GeopackageOptions, **options)


def on_the_map(path, x, y):
    """A corner of pixels on the map, by rasterio."""
    rasterio = pytest.importorskip("rasterio")
    with rasterio.open(path) as source:
        return source.transform @ (x, y)


@pytest.mark.parametrize("kind", [*KINDS, "without a code"])
def test_a_geopackage_lies_where_rasterio_says(photos, tmp_path, kind):
    pyogrio = pytest.importorskip("pyogrio")
    geopandas = pytest.importorskip("geopandas")
    rasterio, features = pytest.importorskip("rasterio"), pytest.importorskip("rasterio.features")
    if kind in KINDS:
        geotiff(photos / "a.tif", **KINDS[kind])
    else:
        described(photos / "a.tif", *LAEA)
    PIL.Image.new("RGB", (W, H)).save(photos / "plain.png")
    note = packaged(tmp_path)
    assert (note["n_without_map"], note["iou_min"]) == (1, 1.0)
    path = tmp_path / "out/masks.gpkg"
    assert pyogrio.list_layers(path).tolist() == [["masks", "MultiPolygon"]]
    masks = geopandas.read_file(path)
    with rasterio.open(photos / "a.tif") as source:
        assert rasterio.crs.CRS.from_user_input(masks.crs) == source.crs
        drawn = features.rasterize(masks.geometry, (H, W), transform=source.transform)
    np.testing.assert_array_equal(drawn.astype(bool), MASK, "GDAL draws the mask again")
    (polygon,) = masks.geometry[0].geoms
    corners = np.array([on_the_map(photos / "a.tif", x, y) for x in (10, 40) for y in (5, 25)])
    found = np.array(polygon.exterior.coords[:-1])
    np.testing.assert_allclose(found[np.lexsort(found.T)], corners[np.lexsort(corners.T)], rtol=1e-12)
    assert len(polygon.interiors) == 1
    row = masks.iloc[0]
    assert (row.annotation_id, row.file_name, row.category, row.area_px) == (1, "a.tif", "object", MASK.sum())


def test_a_geopackage_has_all_masks_and_the_same_bytes_again(photos, tmp_path, monkeypatch):
    pyogrio = pytest.importorskip("pyogrio")
    pytest.importorskip("geopandas")
    monkeypatch.setattr("maskgrid.results.exports.geopackage._ROWS_AT_ONCE", 2)
    for name in "bcde":
        geotiff(photos / f"{name}.tif")
    packaged(tmp_path)
    path = tmp_path / "out/masks.gpkg"
    masks = pyogrio.read_dataframe(path)
    assert masks.annotation_id.tolist() == [1, 2, 3, 4, 5]
    content = path.read_bytes()
    path.unlink()
    packaged(tmp_path)
    assert path.read_bytes() == content


def test_a_geopackage_has_one_reference_system(photos, tmp_path):
    pyogrio = pytest.importorskip("pyogrio")
    pytest.importorskip("geopandas")
    geotiff(photos / "b.tif", code=DEGREES, tags=small())
    with pytest.raises(UserError, match=r"geopackage: .*several reference systems.*files: per_image"):
        packaged(tmp_path)
    packaged(tmp_path, files="per_image")
    found = {path.name: pyogrio.read_info(path)["crs"] for path in (tmp_path / "out").iterdir()}
    assert found == {"a.gpkg": "EPSG:32633", "b.gpkg": "EPSG:4326"}


def test_a_code_that_epsg_has_not_leaves_only_its_image_out(photos, tmp_path, caplog):
    pyogrio = pytest.importorskip("pyogrio")
    pytest.importorskip("geopandas")
    number = [1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 12345]
    described(photos / "b.tif", (34735, "H", 16, (1, 1, 0, 3, *number), True))
    assert packaged(tmp_path)["n_without_map"] == 1
    assert pyogrio.read_info(tmp_path / "out/masks.gpkg")["features"] == 1
    assert "b.tif: its reference system, EPSG:12345, is not known; its masks are left out" in caplog.text


def test_a_geopackage_without_geopandas_names_the_extra(photos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "geopandas", None)
    with pytest.raises(UserError, match=r"exports\.geopackage needs further packages: pip install 'maskgrid\[maps\]'"):
        packaged(tmp_path)


def test_the_index_keeps_where_images_lie_if_asked(photos, tmp_path):
    PIL.Image.new("RGB", (W, H)).save(photos / "plain.png")
    geotiff(photos / "turned.tif", tags=[(34264, "d", 16, TURNED, True)])
    plain = indexed(tmp_path)
    before = plain.layout.images.read_bytes(), plain.layout.shards.read_bytes()
    assert not {"crs", "transform"} & {*read_table(plain.layout.images).schema.names}
    plan = indexed(tmp_path, georeference=True)
    rows = {row["image_key"]: (row["crs"], row["transform"]) for row in read_table(plan.layout.images).to_pylist()}
    assert rows == {
        "a.tif": ("EPSG:32633", [10, 0, 400000, 0, -10, 5600000]),
        "plain.png": (None, None),
        "turned.tif": ("EPSG:32633", [8, 6, 400000, 6, -8, 5600000]),
    }
    assert len(read_shard(plan.layout.images.parent, plan.shards()[0])) == 3
    assert read_previous(plan.layout.images.parent) is not None
    assert not check_index(plan)
    assert [problem.reason for problem in check_index(plain)] == ["was made with another dataset.georeference"]
    known = plan.layout.images.read_bytes()
    indexed(tmp_path, georeference=True)
    assert plan.layout.images.read_bytes() == known
    indexed(tmp_path)
    assert (plain.layout.images.read_bytes(), plain.layout.shards.read_bytes()) == before
