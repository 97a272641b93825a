import hashlib
import os
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import MAX_PIXELS, encode, samples, scene, write_corpus
from killing import tiny_plan
from maskgrid.config.models import Config
from maskgrid.dataset import index as index_module
from maskgrid.dataset import index as indexing_module
from maskgrid.dataset import inputs as inputs_module
from maskgrid.dataset.index import index_dataset, index_images, write_index
from maskgrid.dataset.pixels.images import ImageStatus, measure_image, read_image
from maskgrid.dataset.sources.listing import list_inputs
from maskgrid.dataset.tables import (
    FILES_FILE,
    FILES_SCHEMA,
    IMAGES_FILE,
    IMAGES_SCHEMA,
    SHARDS_FILE,
    SHARDS_SCHEMA,
    read_images,
    read_previous,
    read_shard,
)
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table
from maskgrid.plan.plan import make_plan


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "corpus"
    return folder, write_corpus(folder)


def make_index(source: Path, dataset: Path, shard_size: int = 8, max_pixels: int = MAX_PIXELS) -> pa.Table:
    index = index_images(list_inputs(str(source), source), max_pixels, read_previous(dataset))
    write_index(index, shard_size, dataset)
    return index


def rows(table: pa.Table) -> dict[str, dict]:
    return {row["image_key"]: row for row in table.to_pylist()}


def small_dataset(folder: Path, count: int = 20) -> Path:
    folder.mkdir(parents=True)
    for seed in range(count):
        (folder / f"{seed}.png").write_bytes(encode(scene(9, 7, seed), "PNG"))
    return folder


@pytest.fixture
def reads(monkeypatch):
    """The names of the files that the index decoded."""
    names = []

    def spy(path, *arguments):
        names.append(path.name)
        return measure_image(path, *arguments)

    monkeypatch.setattr(inputs_module, "measure_image", spy)
    return names


def test_every_input_of_the_corpus_has_one_row(corpus, tmp_path):
    folder, expected = corpus
    make_index(folder, tmp_path)
    found = read_images(tmp_path).to_pylist()
    assert [row["image_key"] for row in found] == sorted(expected)
    ids = [row["image_id"] for row in found if row["status"] == ImageStatus.OK]
    assert ids == list(range(1, len(ids) + 1))
    for row in found:
        assert row["status"] in expected[row["image_key"]], row
        good = row["status"] == ImageStatus.OK
        assert (row["message"] is None) == (row["shard"] is not None) == (row["width"] is not None) == good
        assert (row["sha256"] is None) == (row["status"] == "missing")
        assert str(folder) not in str(row)


def test_the_row_of_a_good_image(tmp_path):
    source = tmp_path / "photos"
    source.mkdir()
    (source / "a.jpg").write_bytes(samples()["sample.jpg"])
    make_index(source, tmp_path / "dataset")
    assert read_images(tmp_path / "dataset").to_pylist() == [
        {
            "image_key": "a.jpg",
            "image_id": 1,
            "status": "ok",
            "message": None,
            "width": 60,
            "height": 40,
            "exif_orientation": 1,
            "mode": "RGB",
            "format": "JPEG",
            "size_bytes": len(samples()["sample.jpg"]),
            "sha256": hashlib.sha256(samples()["sample.jpg"]).hexdigest(),
            "shard": "all",
        }
    ]


def test_width_and_height_are_those_after_rotation(corpus, tmp_path):
    make_index(corpus[0], tmp_path)
    found = rows(read_images(tmp_path))
    for orientation in range(1, 9):
        row = found[f"turned{orientation}.jpg"]
        assert row["exif_orientation"] == orientation
        assert (row["width"], row["height"]) == ((60, 40) if orientation < 5 else (40, 60))


def test_bytes_depend_only_on_the_images(corpus, tmp_path):
    folder, _ = corpus
    copy = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder, copy, symlinks=True, copy_function=shutil.copyfile)  # with other file times
    make_index(folder, tmp_path / "one")
    make_index(copy, tmp_path / "two")
    for name in (IMAGES_FILE, SHARDS_FILE):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_an_incremental_index_equals_a_fresh_one(tmp_path, reads):
    source = small_dataset(tmp_path / "photos")
    make_index(source, tmp_path / "grown")
    (source / "10b.png").write_bytes(encode(scene(9, 7, 99), "PNG"))
    (source / "5.png").unlink()
    reads.clear()
    make_index(source, tmp_path / "grown")
    assert reads == ["10b.png"]
    make_index(source, tmp_path / "fresh")
    for name in (IMAGES_FILE, SHARDS_FILE):
        assert (tmp_path / "grown" / name).read_bytes() == (tmp_path / "fresh" / name).read_bytes()


def test_a_killed_index_continues_where_it_stopped(tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    read, limits = [], [1000, 17, 6, 3]

    def mortal(path, *arguments):
        if len(read) == limits[-1]:
            raise Killed
        read.append(path.name)
        return measure_image(path, *arguments)

    monkeypatch.setattr(index_module, "_BATCH", 4)
    monkeypatch.setattr(index_module, "_MAX_WORKERS", 1)
    monkeypatch.setattr(inputs_module, "measure_image", mortal)
    source = small_dataset(tmp_path / "photos")
    plan = tiny_plan(source, tmp_path / "results")
    while len(limits) > 1:
        with pytest.raises(Killed):
            index_dataset(plan)
        assert not plan.layout.files.exists()
        limits.pop()
    index_dataset(plan)
    assert set(read) == {path.name for path in source.iterdir()}
    assert len(read) < 20 + 3 * 4, "each process that was killed has cost less than a batch"
    assert [path.name for path in plan.layout.files.parent.iterdir() if path.name.startswith(".")] == []
    index_dataset(whole := tiny_plan(source, tmp_path / "whole"))
    for name in (FILES_FILE, IMAGES_FILE, SHARDS_FILE):
        assert (plan.layout.root / "dataset" / name).read_bytes() == (whole.layout.root / "dataset" / name).read_bytes()


def test_a_resumed_index_reads_changed_files_again(tmp_path, reads, monkeypatch):
    source = small_dataset(tmp_path / "photos", count=4)
    plan = tiny_plan(source, tmp_path / "results")
    with monkeypatch.context() as patch:
        patch.setattr(indexing_module, "write_index", interrupt)
        with pytest.raises(KeyboardInterrupt):
            index_dataset(plan)
    (source / "1.png").write_bytes(encode(scene(9, 8, 99), "PNG"))
    (source / "0.png").unlink()
    (source / "new.png").write_bytes(encode(scene(9, 8, 98), "PNG"))
    reads.clear()
    index_dataset(plan)
    assert sorted(reads) == ["1.png", "new.png"]
    index_dataset(whole := tiny_plan(source, tmp_path / "whole"))
    assert plan.layout.files.read_bytes() == whole.layout.files.read_bytes()


def interrupt(*_):
    raise KeyboardInterrupt


def test_a_changed_file_is_read_again(tmp_path, reads):
    source = small_dataset(tmp_path / "photos", count=3)
    before = rows(make_index(source, tmp_path / "dataset"))
    reads.clear()
    content = (source / "1.png").read_bytes()
    (source / "1.png").write_bytes(content[:-1])
    os.utime(source / "1.png", ns=(before["1.png"]["mtime_ns"],) * 2)
    os.utime(source / "2.png", ns=(1, 1))
    after = rows(make_index(source, tmp_path / "dataset"))
    assert reads == ["1.png"]  # the other has another time alone, so its content is hashed and not decoded
    assert after["1.png"]["size_bytes"] == len(content) - 1
    assert after["2.png"]["sha256"] == before["2.png"]["sha256"]


def test_images_are_read_again_if_a_new_limit_may_change_their_status(tmp_path, reads):
    source = small_dataset(tmp_path / "photos", count=2)
    (source / "1.png").write_bytes(encode(scene(50, 50), "PNG"))
    (source / "cut.png").write_bytes(samples()["sample.png"][:300])

    def statuses(max_pixels):
        reads.clear()
        table = make_index(source, tmp_path / "dataset", max_pixels=max_pixels)
        return table["status"].to_pylist(), sorted(reads)

    assert statuses(2499) == (["ok", "too_large", "truncated"], ["0.png", "1.png", "cut.png"])
    assert statuses(2500) == (["ok", "ok", "truncated"], ["1.png"])
    assert statuses(2500) == (["ok", "ok", "truncated"], [])
    assert statuses(62) == (["too_large", "too_large", "truncated"], ["0.png", "1.png"])


def test_a_moved_dataset_keeps_its_statuses_and_gets_its_new_paths(tmp_path, reads):
    source = small_dataset(tmp_path / "photos", count=3)
    make_index(source, tmp_path / "dataset")
    moved = source.rename(tmp_path / "moved")
    reads.clear()
    make_index(moved, tmp_path / "dataset")
    assert reads == []
    assert [image.path.parent for image in read_shard(tmp_path / "dataset", "all")] == [moved] * 3


def test_shards_hold_every_good_image_once(corpus, tmp_path):
    folder, _ = corpus
    make_index(folder, tmp_path, shard_size=5)
    images = rows(read_images(tmp_path))
    seen = []
    for shard in read_table(tmp_path / SHARDS_FILE, schema=SHARDS_SCHEMA).to_pylist():
        members = read_shard(tmp_path, shard["shard"])
        assert len(members) == shard["n_images"] <= 5
        assert members[0].image_key == shard["first_key"]
        assert [m.image_key for m in members] == sorted(m.image_key for m in members)
        for member in members:
            row = images[member.image_key]
            assert row["shard"] == shard["shard"]
            assert (member.image_id, member.sha256) == (row["image_id"], row["sha256"])
            pixels = read_image(member.path, MAX_PIXELS, sha256=member.sha256).pixels
            assert pixels.shape == (member.height, member.width, 3)
        seen += [member.image_key for member in members]
    assert sorted(seen) == sorted(key for key, row in images.items() if row["status"] == "ok")


def test_a_list_with_bad_entries(tmp_path):
    small_dataset(tmp_path / "photos", count=2)
    (tmp_path / "outside.png").write_bytes(samples()["sample.png"])
    listing = tmp_path / "photos" / "list.csv"
    listing.write_text("path\n0.png\n1.png\n0.png\ngone.png\n../outside.png\n.\nlist.csv\n", encoding="utf-8")
    index = index_images(list_inputs("list.csv", tmp_path / "photos"), MAX_PIXELS)
    assert dict(zip(index["image_key"].to_pylist(), index["status"].to_pylist(), strict=True)) == {
        ".": "not_an_image",
        "../outside.png": "outside_root",
        "0.png": "ok",
        "1.png": "ok",
        "gone.png": "missing",
        "list.csv": "not_an_image",
    }
    assert rows(index)["../outside.png"]["sha256"] is None


def test_a_name_that_is_not_utf8(tmp_path):
    raw = os.fsdecode(os.fsencode(tmp_path) + b"/photos/caf\xe9.png")
    small_dataset(tmp_path / "photos", count=0)
    Path(raw).write_bytes(samples()["sample.png"])
    make_index(tmp_path / "photos", tmp_path / "dataset")
    (image,) = read_shard(tmp_path / "dataset", "all")
    assert (image.image_key, str(image.path)) == ("caf\\xe9.png", raw)


def test_a_pipe_in_a_list_does_not_block(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    (tmp_path / "list.txt").write_text("pipe.png\n")
    (row,) = index_images(list_inputs("list.txt", tmp_path), MAX_PIXELS).to_pylist()
    assert (row["status"], row["sha256"]) == ("not_an_image", None)


def test_without_good_images_there_are_no_shards(tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "empty.jpg").touch()
    index = index_images(list_inputs("photos", tmp_path), MAX_PIXELS)
    assert write_index(index, 8, tmp_path / "dataset") == []
    assert read_images(tmp_path / "dataset")["status"].to_pylist() == ["empty"]
    assert len(read_table(tmp_path / "dataset" / SHARDS_FILE, schema=SHARDS_SCHEMA)) == 0


def test_table_format(tmp_path):
    make_index(small_dataset(tmp_path / "photos", count=3), tmp_path)
    file = pq.ParquetFile(tmp_path / IMAGES_FILE)
    assert file.schema_arrow.remove_metadata().equals(IMAGES_SCHEMA, check_metadata=True)
    assert len(read_origin(tmp_path / IMAGES_FILE)["fingerprint"]) == 64
    column = file.metadata.row_group(0).column(0)
    assert column.compression == "ZSTD"
    assert column.has_offset_index
    assert all(field.metadata[b"description"] for field in file.schema_arrow)


def test_a_missing_or_foreign_index_is_explained(tmp_path):
    with pytest.raises(UserError, match="run the step that writes it"):
        read_images(tmp_path)
    pq.write_table(pa.table({"path": ["a.jpg"]}), tmp_path / IMAGES_FILE)
    with pytest.raises(UserError, match="its columns are not those"):
        read_images(tmp_path)
    pq.write_table(FILES_SCHEMA.empty_table(), tmp_path / FILES_FILE)
    with pytest.raises(UserError, match="no shard 'd03-5'"):
        read_shard(tmp_path, "d03-5")


def test_an_unusable_cache_is_ignored(tmp_path):
    assert read_previous(tmp_path) is None
    (tmp_path / FILES_FILE).write_bytes(b"PAR1 and then nothing")
    assert read_previous(tmp_path) is None


def test_an_unexpected_error_names_the_file(tmp_path, monkeypatch):
    def fail(*_arguments):
        raise KeyError("bug")

    source = small_dataset(tmp_path / "photos", count=1)
    monkeypatch.setattr(inputs_module, "measure_image", fail)
    with pytest.raises(KeyError) as caught:
        make_index(source, tmp_path)
    assert caught.value.__notes__ == [f"while reading {source / '0.png'}"]


@pytest.mark.parametrize(("n_bad", "more"), [(3, ""), (10, ""), (12, "\n  and 2 more")])
def test_a_source_without_a_usable_image_names_the_first_with_their_reasons(tmp_path, n_bad, more):
    (tmp_path / "photos").mkdir()
    for number in range(n_bad):
        (tmp_path / f"photos/{number:02d}.jxl").write_bytes(b"\xff\x0a" + bytes(99))
    plan = make_plan(Config.model_validate({"dataset": {"source": "photos"}}), tmp_path, tmp_path / "results")
    with pytest.raises(UserError) as caught:
        index_dataset(plan)
    message = str(caught.value)
    assert message.startswith(
        f"dataset.source: none of the {n_bad} images in photos can be used.\n  00.jxl: unsupported: "
    )
    assert message.count("a format that is not read") == min(n_bad, 10)
    assert message.endswith(more)


def test_a_list_of_missing_files_says_where_paths_start(tmp_path):
    (tmp_path / "list.txt").write_text("gone.jpg\n../out.jpg\n")
    plan = make_plan(Config.model_validate({"dataset": {"source": "list.txt"}}), tmp_path, tmp_path / "results")
    with pytest.raises(UserError, match=r"start from the list's own folder\.\n(.*\n)*  gone.jpg: missing") as caught:
        index_dataset(plan)
    assert "give all entries as absolute paths" in str(caught.value)
