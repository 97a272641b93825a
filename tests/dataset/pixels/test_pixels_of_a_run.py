"""What ``dataset.pixels`` does to an index, and to all that is made from it."""

import hashlib

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import tifffile

from made_stacks import GREY, values, write_tiff
from maskgrid.automatic.verify import check_index
from maskgrid.config.models import Config
from maskgrid.dataset.changes import source_changes
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.pixels.images import read_image
from maskgrid.dataset.pixels.pictures import read_picture
from maskgrid.dataset.tables import IMAGES_SCHEMA, files_by_key, read_images, read_shard
from maskgrid.plan.plan import make_plan

SHOWN = ["page", "bands", "stretch_low", "stretch_high", "nodata"]


def plan_of(folder, **section):
    config = {"dataset": {"source": "photos", "ground_truth": None, **({"pixels": section} if section else {})}}
    return make_plan(Config.model_validate(config), folder, folder / "results")


def indexed(folder, **section):
    plan = plan_of(folder, **section)
    index_dataset(plan)
    return plan, {row["image_key"]: row for row in read_images(plan.layout.images.parent).to_pylist()}


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    PIL.Image.fromarray(values("u1", 3, 200)).save(tmp_path / "photos/a.png")
    return tmp_path / "photos"


def test_without_deep_images_no_byte_changes(photos, tmp_path):
    plan, rows = indexed(tmp_path)
    assert pq.read_schema(plan.layout.images).remove_metadata().equals(IMAGES_SCHEMA)
    assert set(rows["a.png"]) == set(IMAGES_SCHEMA.names)
    sha256 = hashlib.sha256((photos / "a.png").read_bytes()).hexdigest()
    digest = hashlib.sha256(f'["a.png","{sha256}"]'.encode()).hexdigest()
    assert plan.shard_digests() == {"all": digest}, "as before there were pixels"
    assert b"pixels" not in pq.read_schema(plan.layout.images).metadata[b"maskgrid"]
    assert "pixels" not in plan.config.dataset.model_dump()


def test_a_deep_image_has_its_stretch_in_the_index_and_everywhere_the_same_picture(photos, tmp_path):
    array = values("u2")
    write_tiff(photos / "b.tif", array, GREY)
    plan, rows = indexed(tmp_path)
    low, high = np.percentile(array, (1, 99))
    assert rows["b.tif"]["bands"] == [1]
    assert (rows["b.tif"]["stretch_low"], rows["b.tif"]["stretch_high"]) == ([low], [high])
    assert [rows["a.png"][name] for name in SHOWN] == [None] * 5
    a, b = read_shard(plan.layout.images.parent, "all")
    assert a.content == a.sha256
    assert b.content != b.sha256
    pixels = read_image(b.path, 10**6, b.sha256, b.span, b.look).pixels
    assert pixels.std() > 30
    row = files_by_key(plan.layout.files, ["b.tif"])["b.tif"]
    np.testing.assert_array_equal(read_picture(row, 10**6), pixels)


def test_another_section_makes_other_images_of_the_deep_alone(photos, tmp_path):
    write_tiff(photos / "b.tif", values("u2"), GREY)
    plan, rows = indexed(tmp_path)
    before = [image.content for image in read_shard(plan.layout.images.parent, "all")]
    other, changed = indexed(tmp_path, stretch={"low": 0, "high": 4095})
    after = [image.content for image in read_shard(plan.layout.images.parent, "all")]
    assert changed["b.tif"]["stretch_high"] == [4095]
    assert before[0] != after[0], "a range holds for 8 bits too"
    assert before[1] != after[1]
    assert plan.images_fingerprint() == other.images_fingerprint()
    assert [problem.kind for problem in check_index(plan)] == ["stale"]
    assert check_index(other) == []
    _, back = indexed(tmp_path)
    assert back == rows
    assert [image.content for image in read_shard(plan.layout.images.parent, "all")] == before


def test_an_unchanged_index_reads_no_image_again(photos, tmp_path, monkeypatch):
    write_tiff(photos / "b.tif", values("u2"), GREY)
    plan, rows = indexed(tmp_path, stretch="minmax", stretch_over="dataset")
    content = plan.layout.images.read_bytes()
    monkeypatch.setattr("maskgrid.dataset.inputs.measure_image", None)
    _, again = indexed(tmp_path, stretch="minmax", stretch_over="dataset")
    assert (again, plan.layout.images.read_bytes()) == (rows, content)


def test_one_stretch_for_a_dataset(photos, tmp_path):
    for number, top in enumerate((1000, 3000)):
        write_tiff(photos / f"{number}.tif", values("u2", top=top) + np.uint16(100 * number), GREY)
    own = indexed(tmp_path)[1]
    shared = indexed(tmp_path, stretch_over="dataset")[1]
    keys = ["0.tif", "1.tif"]
    assert own["0.tif"]["stretch_low"] != own["1.tif"]["stretch_low"]
    for key in keys:
        assert shared[key]["stretch_low"] == [min(own[one]["stretch_low"][0] for one in keys)]
        assert shared[key]["stretch_high"] == [max(own[one]["stretch_high"][0] for one in keys)]
    assert shared["a.png"]["stretch_low"] is None
    write_tiff(photos / "2.tif", values("u2", top=9000), GREY)
    more = indexed(tmp_path, stretch_over="dataset")[1]
    assert {tuple(more[key]["stretch_high"]) for key in (*keys, "2.tif")} == {tuple(more["2.tif"]["stretch_high"])}
    (photos / "2.tif").unlink()
    assert indexed(tmp_path, stretch_over="dataset")[1] == shared, "each image's own stretch is remembered"


def test_pages_are_images(photos, tmp_path):
    pages = np.stack([values("u2", top=1000 * (number + 1))[..., 0] for number in range(3)])
    tifffile.imwrite(photos / "stack.tif", pages, photometric="minisblack")
    tifffile.imwrite(
        photos / "hyper.tif", pages.reshape(3, 1, *pages.shape[1:]), imagej=True, metadata={"axes": "ZCYX"}
    )
    frames = [PIL.Image.fromarray(values("u1", 3, 60 * number)) for number in (1, 2, 3)]
    frames[0].save(photos / "moves.webp", save_all=True, append_images=frames[1:], lossless=True)
    with tifffile.TiffWriter(photos / "pyramid.tif") as writer:
        writer.write(pages[0], photometric="minisblack")
        writer.write(pages[0][::2, ::2], photometric="minisblack", subfiletype=1)
        writer.write(pages[1], photometric="minisblack")
    plan, first = indexed(tmp_path)
    assert set(first) == {"a.png", "stack.tif", "hyper.tif", "moves.webp", "pyramid.tif"}
    plan, rows = indexed(tmp_path, pages="all")
    assert set(rows) == {
        "a.png",
        *(f"{name}#page={page}" for name in ("stack.tif", "hyper.tif", "moves.webp") for page in (1, 2, 3)),
        "pyramid.tif#page=1",
        "pyramid.tif#page=2",
    }
    assert {row["status"] for row in rows.values()} == {"ok"}
    for number in range(3):
        low, high = np.percentile(pages[number], (1, 99))
        for name in ("stack.tif", "hyper.tif"):
            row = rows[f"{name}#page={number + 1}"]
            assert (row["page"], row["stretch_low"], row["stretch_high"]) == (number + 1, [low], [high])
    assert rows["pyramid.tif#page=2"]["stretch_high"] == rows["stack.tif#page=2"]["stretch_high"]
    by_key = files_by_key(plan.layout.files, list(rows))
    np.testing.assert_array_equal(read_picture(by_key["moves.webp#page=2"], 10**6), np.asarray(frames[1]))
    shown = [read_picture(by_key[f"stack.tif#page={page}"], 10**6) for page in (1, 2, 3)]
    assert np.abs(shown[0].astype(int) - shown[2]).max() <= 1, "the same waves, each by its own stretch"
    assert len({image.content for image in read_shard(plan.layout.images.parent, "all")}) == len(rows)
    assert source_changes(plan).affects_results is False


def test_channels_are_pages_or_bands(photos, tmp_path):
    stack = np.moveaxis(values("u2", 3), -1, 0)
    stack = np.stack([stack, stack + np.uint16(50)])
    tifffile.imwrite(photos / "cells.ome.tif", stack, photometric="minisblack", ome=True, metadata={"axes": "ZCYX"})
    _, rows = indexed(tmp_path, pages="all")
    assert sorted(rows) == ["a.png", *(f"cells.ome.tif#page={page}" for page in range(1, 7))]
    plan, rows = indexed(tmp_path, pages="all", bands=[3, 2, 1], stretch="percentile")
    assert sorted(rows) == ["a.png", "cells.ome.tif#page=1", "cells.ome.tif#page=4"]
    low = [float(np.percentile(stack[1, channel], 1)) for channel in (2, 1, 0)]
    assert rows["cells.ome.tif#page=4"]["stretch_low"] == low
    row = files_by_key(plan.layout.files, ["cells.ome.tif#page=4"])["cells.ome.tif#page=4"]
    assert read_picture(row, 10**6).shape == (*stack.shape[2:], 3)


def test_a_file_with_pages_that_cannot_be_read_is_one_input(photos, tmp_path):
    (photos / "broken.tif").write_bytes(b"II*\0" + bytes(40))
    _, rows = indexed(tmp_path, pages="all")
    assert rows["broken.tif"]["status"] == "truncated"
