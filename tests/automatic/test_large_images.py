"""Images beyond ``dataset.max_pixels``: read in windows, their tiles as ever, and large parts drawn in blocks."""

import json
import sys
from contextlib import suppress
from itertools import product
from types import SimpleNamespace

import numpy as np
import PIL.Image
import pyarrow.parquet as pq
import pytest
import tifffile

from killing import tiny_plan
from maskgrid.automatic import codes
from maskgrid.automatic.generate import shard_parts, tile_jobs
from maskgrid.automatic.generate.enlarged import enlarge_code
from maskgrid.automatic.generate.proposals import Crop
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard, share_tiles
from maskgrid.automatic.merge import gather, merge_setting
from maskgrid.automatic.replay import stage as replay
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.pixels import windows
from maskgrid.dataset.tables import read_images
from maskgrid.io.errors import MachineError, UserError
from maskgrid.io.files import remove_tree
from maskgrid.io.journal import journal_folder
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.plan.plan import make_plan

GENERATOR = {"tile_size_px": 96, "tile_overlap_px": 32, "points_per_side": 4}


@pytest.fixture
def photo(tmp_path, photos):
    """A tiled TIFF of 200 x 230 pixels, and a PNG of as many."""
    (tmp_path / "source").mkdir()
    pixels = np.ascontiguousarray(np.tile(photos["coffee"], (2, 2, 1))[60:260, 100:330])
    tifffile.imwrite(tmp_path / "source/a.tif", pixels, photometric="rgb", tile=(64, 48), compression="zlib")
    PIL.Image.fromarray(pixels).save(tmp_path / "source/b.png")
    return pixels


def run(folder, name, demo_model, max_pixels, **generator):
    """Index and generate: the plan, and the statuses by image."""
    plan = tiny_plan(
        folder / "source",
        folder / name,
        sweep=None,
        dataset={"source": str(folder / "source"), "max_pixels": max_pixels},
        generator={**GENERATOR, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.5, **generator},
    )
    index_dataset(plan)
    for of_pass in plan.runs:
        generate_shard(plan, "demo", of_pass.pass_.name, "all", load=lambda *_: Proposer(demo_model))
    return plan, {row["image_key"]: row for row in read_images(plan.layout.images.parent).to_pylist()}


def candidates(plan, pass_name, key="a.tif"):
    (of_pass,) = (one for one in plan.runs if one.pass_.name.startswith(pass_name))
    rows = [row for row in read_table(plan.layout.candidates(of_pass, "all")).to_pylist() if row["image_key"] == key]
    assert len(rows) > 2
    return rows


def test_tiles_beyond_the_limit_are_those_below_it(tmp_path, photo, demo_model, monkeypatch):
    below, rows = run(tmp_path, "below", demo_model, 10**6)
    assert [row["status"] for row in rows.values()] == ["ok", "ok"]
    assert "shrink" not in rows["a.tif"]
    monkeypatch.setattr(windows, "SEEN_PX", 96 * 96)
    monkeypatch.setitem(sys.modules, "pyvips", None)
    beyond, rows = run(tmp_path, "beyond", demo_model, 10**4)
    assert (rows["a.tif"]["status"], rows["a.tif"]["shrink"]) == ("ok", 3)
    assert rows["b.png"]["status"] == "too_large"
    assert rows["b.png"]["message"] == "230 x 200 pixels, more than max_pixels allows (10000)"
    assert candidates(beyond, "tile") == candidates(below, "tile")


def test_tiles_of_a_png_beyond_the_limit_are_those_below_it(tmp_path, photo, demo_model, monkeypatch):
    pytest.importorskip("pyvips")
    below, _ = run(tmp_path, "below", demo_model, 10**6)
    beyond, rows = run(tmp_path, "beyond", demo_model, 10**4)
    assert (rows["b.png"]["status"], rows["b.png"]["format"], rows["b.png"]["shrink"]) == ("ok", "PNG", 1)
    assert candidates(beyond, "tile", "b.png") == candidates(below, "tile", "b.png")


@pytest.mark.parametrize("held_bytes", [0, 10**9])
def test_tiles_a_few_at_a_time_give_the_same_tables(tmp_path, photo, demo_model, monkeypatch, held_bytes):
    """However many tiles there are in a part, files have the same bytes; with few rows in memory, the same rows."""
    monkeypatch.setattr(shard_parts, "_ROWS_IN_GROUP", 7)
    found = []
    for n_tiles in (1, 5, 100):
        monkeypatch.setattr(tile_jobs, "TILES_IN_PART", n_tiles)
        monkeypatch.setattr(shard_parts, "_HELD_BYTES", held_bytes)
        plan, _ = run(tmp_path, f"results{n_tiles}", demo_model, 10**6)
        paths = plan.layout.candidates(plan.runs[1], "all"), plan.layout.pass_images(plan.runs[1], "all")
        found.append([path.read_bytes() for path in paths])
        assert not list(journal_folder(paths[0]).glob(".*"))
    assert found[0] == found[1] == found[2]
    n_groups = pq.ParquetFile(paths[0]).num_row_groups
    assert n_groups == (1 if held_bytes else -(-len(read_table(paths[0])) // 7))
    monkeypatch.setattr(shard_parts, "_HELD_BYTES", 10**9)
    plan, _ = run(tmp_path, "held", demo_model, 10**6)
    assert read_table(plan.layout.candidates(plan.runs[1], "all")).to_pylist() == read_table(paths[0]).to_pylist()


def test_codes_that_stay_in_their_file_give_the_same_selections_and_annotations(
    tmp_path, photo, demo_model, monkeypatch
):
    monkeypatch.setattr(shard_parts, "_ROWS_IN_GROUP", 7)
    monkeypatch.setattr(shard_parts, "_HELD_BYTES", 0)
    plan, _ = run(tmp_path, "results", demo_model, 10**6, min_mask_region_area=5)
    found = []
    for held, in_bitsets in [(10**9, 10**9), (0, 0)]:
        monkeypatch.setattr(codes, "_HELD_BYTES", held)
        monkeypatch.setattr(replay, "_MOST_IN_BITSETS", in_bitsets)
        replay.replay_shard(plan, "all")
        gather(plan)
        merge_setting(plan, "baseline")
        paths = plan.layout.selections("all"), plan.layout.shard_counts("all"), plan.layout.annotations("baseline")
        found.append([path.read_bytes() for path in paths])
    assert found[0] == found[1]
    assert len(json.loads(found[0][2])["annotations"]) > 10


class Failing(Proposer):
    """A network that dies, or finds no numbers, at the tile of a number, and remembers the tiles that it was given."""

    def __init__(self, model, at, error):
        super().__init__(model)
        self.at, self.error, self.seen = at, error, []

    def run(self, image, pass_, recording, points_per_batch, each_crop, tiles=None):
        if self.at in (tiles or ()):
            raise self.error
        self.seen += tiles or ()
        return super().run(image, pass_, recording, points_per_batch, each_crop, tiles)


@pytest.fixture
def tiled(tmp_path, photo, monkeypatch):
    monkeypatch.setattr(tile_jobs, "TILES_IN_PART", 2)
    (tmp_path / "source/b.png").unlink()
    plan = tiny_plan(
        tmp_path / "source",
        tmp_path / "results",
        sweep=None,
        dataset={"source": str(tmp_path / "source")},
        generator={**GENERATOR, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.5},
    )
    index_dataset(plan)
    return plan


def test_a_killed_job_goes_on_after_the_last_tiles(tiled, demo_model):
    pass_name = tiled.runs[1].pass_.name
    network = Failing(demo_model, 7, MachineError("the device has gone"))
    with pytest.raises(MachineError):
        generate_shard(tiled, "demo", pass_name, "all", load=lambda *_: network)
    assert network.seen == [0, 1, 2, 3, 4, 5]
    again = Failing(demo_model, -1, None)
    generate_shard(tiled, "demo", pass_name, "all", load=lambda *_: again)
    assert again.seen == [6, 7, 8, 9, 10, 11]
    path = tiled.layout.candidates(tiled.runs[1], "all")
    resumed = path.read_bytes()
    remove_tree(journal_folder(path))
    path.unlink()
    generate_shard(tiled, "demo", pass_name, "all", load=lambda *_: Failing(demo_model, -1, None))
    assert path.read_bytes() == resumed


@pytest.mark.parametrize(("tiles_per_job", "n_jobs"), [(100, 0), (12, 0), (11, 2), (5, 3), (3, 4), (1, 6)])
def test_jobs_share_an_images_tiles(tiled, demo_model, tiles_per_job, n_jobs):
    """Whatever the jobs, and whichever of them is killed, the tables have the same bytes."""
    run = tiled.runs[1]
    paths = tiled.layout.candidates(run, "all"), tiled.layout.pass_images(run, "all")
    names = "demo", run.pass_.name, "all"
    generate_shard(tiled, *names, load=lambda *_: Proposer(demo_model))
    expected = [path.read_bytes() for path in paths]
    for path in paths:
        path.unlink()
    remove_tree(journal_folder(paths[0]))
    dataset = tiled.config.dataset.model_copy(update={"tiles_per_job": tiles_per_job})
    plan = make_plan(tiled.config.model_copy(update={"dataset": dataset}), tiled.base_dir, tiled.layout.root)
    with pytest.raises(UserError, match=f"shared among {n_jobs} jobs"):
        share_tiles(plan, *names, n_jobs + 1)
    seen = []
    for job in range(1, n_jobs + 1):
        network = Failing(demo_model, 4, MachineError("the device has gone"))
        with suppress(MachineError):
            share_tiles(plan, *names, job, load=lambda *_, network=network: network)
            assert plan.layout.tile_job(run, "all", job).is_file()
        seen += network.seen
    assert len(seen) == len(set(seen))
    last = Failing(demo_model, -1, None)
    generate_shard(plan, *names, load=lambda *_: last)
    assert sorted(seen + last.seen) == list(range(12))
    assert [path.read_bytes() for path in paths] == expected
    untouched = Failing(demo_model, -1, None)
    for job in range(1, n_jobs + 1):
        share_tiles(plan, *names, job, load=lambda *_: untouched)
    assert untouched.seen == []


def test_the_last_job_reads_no_image_whose_tiles_are_done(tiled, demo_model, monkeypatch):
    """A gigapixel JPEG takes long to decode, and the network to load."""
    names = "demo", tiled.runs[1].pass_.name, "all"
    dataset = tiled.config.dataset.model_copy(update={"tiles_per_job": 5})
    plan = make_plan(tiled.config.model_copy(update={"dataset": dataset}), tiled.base_dir, tiled.layout.root)
    for job in (1, 2, 3):
        share_tiles(plan, *names, job, load=lambda *_: Proposer(demo_model))

    def never(*arguments):
        raise AssertionError("not needed")

    monkeypatch.setattr("maskgrid.automatic.generate.stage.open_picture", never)
    generate_shard(plan, *names, load=never)
    assert len(read_table(plan.layout.candidates(plan.runs[1], "all"))) > 10


def test_an_image_that_fails_at_one_tile_fails(tiled, demo_model):
    network = Failing(demo_model, 7, FloatingPointError("no numbers"))
    generate_shard(tiled, "demo", tiled.runs[1].pass_.name, "all", load=lambda *_: network)
    (row,) = read_table(tiled.layout.pass_images(tiled.runs[1], "all")).to_pylist()
    assert (row["status"], row["message"]) == ("not_a_number", "no numbers")
    assert len(read_table(tiled.layout.candidates(tiled.runs[1], "all"))) == 0


def test_without_tiles_the_limit_holds(tmp_path, photo, demo_model):
    (tmp_path / "source/c.png").write_bytes(b"")
    PIL.Image.fromarray(photo[:50, :50]).save(tmp_path / "source/c.png")
    _, rows = run(tmp_path, "results", demo_model, 10**4, tile_size_px=None, tile_overlap_px=None)
    assert {key: row["status"] for key, row in rows.items()} == {
        "a.tif": "too_large",
        "b.png": "too_large",
        "c.png": "ok",
    }


@pytest.mark.parametrize("beyond", ["too_large", "ok"])
def test_another_limit_examines_again_what_it_concerns(tmp_path, photo, demo_model, monkeypatch, beyond):
    if beyond == "ok":
        pytest.importorskip("pyvips")
    else:
        monkeypatch.setitem(sys.modules, "pyvips", None)  # the extra is not installed
    plan, rows = run(tmp_path, "results", demo_model, 10**4)
    digest = plan.shard_digests()
    for max_pixels, shrink, status in [(10**6, None, "ok"), (10**4, 1, beyond)]:
        plan, rows = run(tmp_path, "results", demo_model, max_pixels)
        assert (rows["a.tif"].get("shrink"), rows["b.png"]["status"]) == (shrink, status)
    assert plan.shard_digests() == digest


def test_the_image_as_a_whole_is_drawn_in_blocks_where_it_is(tmp_path, photo, demo_model, monkeypatch):
    """Of an image larger than what the network sees, the masks are nearly the same."""
    large = np.asarray(PIL.Image.fromarray(photo).resize((1151, 1001)))
    tifffile.imwrite(tmp_path / "source/a.tif", large, photometric="rgb", tile=(64, 48))
    below, _ = run(tmp_path, "below", demo_model, 10**7, tile_size_px=1100)
    monkeypatch.setattr(windows, "SEEN_PX", 600 * 600)
    beyond, rows = run(tmp_path, "beyond", demo_model, 10**6, tile_size_px=1100)
    assert rows["a.tif"]["shrink"] == 2
    exact = {row["candidate_id"]: row for row in candidates(below, "crop0")}
    drawn = {row["candidate_id"]: row for row in candidates(beyond, "crop0")}
    both = exact.keys() & drawn.keys()
    assert len(both) > 0.9 * len(exact)
    ious = []
    for key in both:
        mask = rle.decode(drawn[key]["counts"], large.shape[:2])
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        assert drawn[key]["box_xyxy"] == [columns[0], rows[0], columns[-1], rows[-1]]
        assert drawn[key]["area_px"] == mask.sum()
        assert drawn[key]["point_xy"] == exact[key]["point_xy"]
        ious.append(rle.pairwise_iou([drawn[key]["counts"]], [exact[key]["counts"]], large.shape[:2])[0, 0])
    assert np.median(ious) > 0.9


@pytest.mark.parametrize(("side", "density"), [*product([1, 2, 3, 7], [0.0, 0.1, 0.5, 0.9, 1.0])])
def test_a_code_of_blocks_becomes_that_of_their_pixels(side, density):
    rng = np.random.default_rng(side)
    for box in [(0, 0, 40, 31), (3, 5, 40, 31), (0, 0, 23, 17), (11, 2, 38, 30)]:
        crop = Crop(0, box, (31, 40), side)
        height, width = crop.in_blocks().size_hw
        for blocks in (rng.random((height, width)) < density, np.repeat(rng.random((1, width)) < density, height, 0)):
            pixels = np.zeros((31, 40), np.bool_)
            larger = blocks.repeat(side, 0).repeat(side, 1)[: box[3] - box[1], : box[2] - box[0]]
            pixels[box[1] : box[3], box[0] : box[2]] = larger
            assert enlarge_code(rle.encode(blocks), (height, width), side, crop) == rle.encode(pixels)


def test_crops_that_fit_are_not_drawn_in_blocks(monkeypatch):
    monkeypatch.setattr(windows, "SEEN_PX", 900)
    crop = Crop(0, (0, 0, 40, 31), (31, 40))
    for shrink, size, expected in [(1, 40, 1), (2, 40, 2), (2, 30, 1)]:
        picture = SimpleNamespace(shrink=shrink)
        assert Crop(0, (0, 0, size, min(size, 31)), (31, 40)).of_picture(picture).shrink == expected
    assert crop.in_blocks() == crop
