"""Tar archives as sources: good ones as WebDataset writes them, and truncated, damaged and hostile ones."""

import hashlib
import io
import os
import tarfile
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_archives import member, png, samples, write_tar
from maskgrid.config.models import Config
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.pixels.images import BadImageError, ImageStatus, read_image
from maskgrid.dataset.sources.archives import expand_archives, read_archive, read_known
from maskgrid.dataset.sources.listing import SourceItem, list_inputs
from maskgrid.dataset.sources.spans import Span, open_span
from maskgrid.dataset.tables import read_shard
from maskgrid.io.tables import read_table
from maskgrid.plan.plan import make_plan

BLOCK = tarfile.BLOCKSIZE


def found(path):
    """Read an archive; return its keys with the statuses known before decoding, and the archive."""
    archive = read_archive(SourceItem("a.tar", path))
    return {item.key: item.problem and str(item.problem[0]) for item in archive.items}, archive


def index(folder, source, **dataset):
    config = Config.model_validate({"dataset": {"source": source, "shard_size": 4, **dataset}})
    plan = make_plan(config, folder, folder / "results")
    index_dataset(plan)
    return plan, {row["image_key"]: row for row in read_table(plan.layout.files).to_pylist()}


@pytest.mark.parametrize("form", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_members_are_found_at_their_offsets(tmp_path, form):
    names = ["0001.png", "dir/b.JPG", "ü/" + "long" * 15 + "/" + "name" * 15 + ".png", "./c.png"]
    contents = [png(number) for number in range(4)]
    others = [member("dir", type=tarfile.DIRTYPE), member("0001.json", b"{}"), member("dir/._b.png", b"x")]
    listed = [*others, *map(member, names, contents)]
    path = write_tar(tmp_path / "a.tar", listed, format=form)
    keys, archive = found(path)
    assert keys == dict.fromkeys(("a.tar/0001.png", "a.tar/dir/b.JPG", f"a.tar/{names[2]}", "a.tar/c.png"))
    assert archive.n_members == len(listed)
    assert archive.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    read = [open_span(item.path, item.span).read() for item in archive.items]
    assert read == contents


def test_an_index_of_archives_equals_that_of_the_unpacked_files(tmp_path):
    for number, name in enumerate(["a-00.tar", "a-01.tar", "a-02.tar"]):
        path = write_tar(tmp_path / "tars" / name, samples(10 * number, 10 * number + 7))
        with tarfile.open(path) as tar:
            tar.extractall(tmp_path / "files" / name, filter="data")
    plan, packed = index(tmp_path, "tars/a-{00..02}.tar")
    (tmp_path / "other").mkdir()
    other, _ = index(tmp_path / "other", "../files")
    assert plan.layout.images.read_bytes() == other.layout.images.read_bytes()
    assert plan.layout.shards.read_bytes() == other.layout.shards.read_bytes()
    assert len(packed) == 21
    # Random access gives the same pixels, shard by shard.
    for shard in plan.shards():
        pairs = zip(
            read_shard(plan.layout.images.parent, shard), read_shard(other.layout.images.parent, shard), strict=True
        )
        for ours, theirs in pairs:
            pixels = read_image(ours.path, 1000, ours.sha256, ours.span).pixels
            assert (pixels == read_image(theirs.path, 1000, theirs.sha256).pixels).all()


def test_an_archive_cut_between_members_is_noticed(tmp_path):
    path = write_tar(tmp_path / "tars/a.tar", samples(0, 4))
    whole = read_archive(SourceItem("a.tar", path))
    boundary = whole.items[2].span.offset - BLOCK
    path.write_bytes(path.read_bytes()[:boundary])
    with tarfile.open(path) as tar:
        assert len(tar.getmembers()) == 4  # tarfile itself does not notice
    keys, archive = found(path)
    assert keys == {"a.tar/0000.png": None, "a.tar/0001.png": None, "a.tar": "truncated"}
    assert archive.n_members == 4
    _, rows = index(tmp_path, "tars")
    assert "no end mark after member 4: it was cut there" in rows["a.tar"]["message"]
    assert rows["a.tar/0001.png"]["status"] == "ok"


def test_an_archive_cut_within_a_member_has_rows_for_both(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(0, 4))
    span = read_archive(SourceItem("a.tar", path)).items[2].span
    path.write_bytes(path.read_bytes()[: span.offset + span.length // 2])
    keys, _ = found(path)
    assert keys == {"a.tar/0000.png": None, "a.tar/0001.png": None, "a.tar/0002.png": "truncated", "a.tar": "truncated"}


def test_a_damaged_header_hides_later_members_but_is_reported(tmp_path):
    path = write_tar(tmp_path / "a.tar", samples(0, 4))
    header = read_archive(SourceItem("a.tar", path)).items[2].span.offset - BLOCK
    content = bytearray(path.read_bytes())
    content[header : header + 8] = b"\xff" * 8
    path.write_bytes(content)
    keys, archive = found(path)
    assert keys == {"a.tar/0000.png": None, "a.tar/0001.png": None, "a.tar": "truncated"}
    assert "is damaged behind it" in archive.items[-1].problem[1]


@pytest.mark.parametrize(
    ("content", "status"),
    [(b"", "empty"), (b"<html>" * 500, "not_an_image"), (b"short", "not_an_image"), (None, "missing")],
)
def test_a_file_that_is_no_archive_is_a_row(tmp_path, content, status):
    if content is not None:
        (tmp_path / "a.tar").write_bytes(content)
    keys, _ = found(tmp_path / "a.tar")
    assert keys == {"a.tar": status}


def test_an_archive_without_members_has_no_rows(tmp_path):
    assert found(write_tar(tmp_path / "a.tar", []))[0] == {}


def test_hostile_members_are_rows_and_never_files(tmp_path):
    outside = tmp_path / "secret.png"
    outside.write_bytes(png(9))
    members = [
        member("../up.png", png(1)),
        member("/etc/abs.png", png(2)),
        member("a/../../b.png", png(3)),
        member("link.png", type=tarfile.SYMTYPE, linkname=str(outside)),
        member("hard.png", type=tarfile.LNKTYPE, linkname="../secret.png"),
        member("pipe.png", type=tarfile.FIFOTYPE),
        member("device.png", type=tarfile.CHRTYPE),
        member("folder.png", type=tarfile.DIRTYPE),
        member("empty.png"),
        member("page.png", b"<html>"),
        member("twice.png", b"first"),
        member("twice.png", png(4)),
        member("good.png", png(5)),
    ]
    write_tar(tmp_path / "tars/a.tar", members)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    plan, rows = index(tmp_path, "tars")
    assert {key.removeprefix("a.tar/"): row["status"] for key, row in rows.items()} == {
        "../up.png": "outside_root",
        "/etc/abs.png": "outside_root",
        "a/../../b.png": "outside_root",
        "link.png": "unsupported",
        "hard.png": "unsupported",
        "pipe.png": "not_an_image",
        "device.png": "not_an_image",
        "empty.png": "empty",
        "page.png": "not_an_image",
        "twice.png": "ok",  # the last one wins, as when tar unpacks it
        "good.png": "ok",
    }
    written = {path for path in tmp_path.rglob("*") if path.is_file()} - before
    assert all(path.is_relative_to(plan.layout.root) for path in written)


def header(name, size, **fields):
    """A tar header that claims a wrong size."""
    info = tarfile.TarInfo(name)
    for field, value in {"size": size, **fields}.items():
        setattr(info, field, value)
    return info.tobuf(tarfile.GNU_FORMAT)


@pytest.mark.parametrize(
    ("damage", "statuses"),
    [
        (header("big.png", 10**15), {"a.tar": "truncated", "a.tar/big.png": "truncated"}),
        (header("back.png", -4 * BLOCK), {"a.tar": "truncated"}),
        (header("long", 10**12, type=tarfile.GNUTYPE_LONGNAME), {"a.tar": "truncated"}),
        (header("pax", 10**12, type=tarfile.XHDTYPE), {"a.tar": "truncated"}),
        (header("pax", 0, type=tarfile.XHDTYPE) * 3000, {"a.tar": "truncated"}),
    ],
    ids=["huge", "negative", "huge name", "huge attributes", "nested"],
)
def test_wrong_sizes_in_headers_become_rows(tmp_path, damage, statuses):
    path = tmp_path / "a.tar"
    path.write_bytes(b"".join([header("good.png", 3), b"png".ljust(BLOCK, b"\0"), damage, bytes(2 * BLOCK)]))
    assert found(path)[0] == {"a.tar/good.png": None, **statuses}


@settings(deadline=None, max_examples=60)
@given(st.data())
def test_damage_anywhere_raises_no_exception(tmp_path_factory, data):
    path = write_tar(tmp_path_factory.mktemp("damaged") / "a.tar", samples(0, 2))
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content) - 1))
        content[start : start + 8] = data.draw(st.binary(max_size=8))
    path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
    _, archive = found(path)
    assert archive.sha256 is None or archive.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_changed_archive_changes_only_the_shards_of_its_images(tmp_path, monkeypatch):
    import maskgrid.dataset.sources.archives

    for number in range(3):
        write_tar(tmp_path / f"tars/{number}.tar", samples(10 * number, 10 * number + 4))
    plan, before = index(tmp_path, "tars")
    digests = plan.shard_digests()
    write_tar(tmp_path / "tars/1.tar", [*samples(10, 13), member("0013.png", png(99))])
    read = []
    monkeypatch.setattr(
        maskgrid.dataset.sources.archives, "read_archive", lambda item: read.append(item.key) or read_archive(item)
    )
    _, after = index(tmp_path, "tars")
    assert read == ["1.tar"]  # the others are not read again
    assert [key for key in after if after[key]["sha256"] != before[key]["sha256"]] == ["1.tar/0013.png"]
    changed = {shard for shard, digest in plan.shard_digests().items() if digests.get(shard) != digest}
    assert changed == {after["1.tar/0013.png"]["shard"]}
    table = read_table(plan.layout.archives).to_pylist()
    assert [(row["archive"], row["n_members"], row["n_images"]) for row in table] == [
        (f"{number}.tar", n_members, 4) for number, n_members in enumerate((8, 7, 8))
    ]


def test_an_archive_replaced_after_the_index_gives_changed_and_never_other_pixels(tmp_path):
    path = write_tar(tmp_path / "tars/a.tar", samples(0, 3))
    plan, _ = index(tmp_path, "tars")
    write_tar(path, samples(5, 8))
    statuses = Counter()
    for shard in plan.shards():
        for image in read_shard(plan.layout.images.parent, shard):
            with pytest.raises(BadImageError) as caught:
                read_image(image.path, 1000, image.sha256, image.span)
            statuses[caught.value.status] += 1
    assert statuses == {ImageStatus.CHANGED: 3}


def test_archives_and_images_may_lie_side_by_side(tmp_path):
    write_tar(tmp_path / "data/a.tar", samples(0, 2))
    for name in ("a.tar-b.png", "a.png", "z.png"):
        (tmp_path / "data" / name).write_bytes(png(50))
    plan, _ = index(tmp_path, "data")
    images = read_table(plan.layout.images)
    keys = images["image_key"].to_pylist()
    assert keys == sorted(keys) == ["a.png", "a.tar-b.png", "a.tar/0000.png", "a.tar/0001.png", "z.png"]
    assert images["image_id"].to_pylist() == [1, 2, 3, 4, 5]


def test_without_archives_nothing_changes(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    listed = list_inputs(str(tmp_path), tmp_path)
    items, table = expand_archives(listed)
    assert items == listed
    assert table.num_rows == 0
    assert read_known(tmp_path / "nowhere.parquet") is None


@given(st.binary(max_size=60), st.data())
def test_a_span_reads_as_a_file_of_its_own(tmp_path_factory, content, data):
    offset = data.draw(st.integers(0, len(content)))
    length = data.draw(st.integers(0, len(content) - offset))
    path = tmp_path_factory.mktemp("span") / "file"
    path.write_bytes(content)
    expected = io.BytesIO(content[offset : offset + length])
    with open_span(path, Span(offset, length)) as stream:
        for _ in range(5):
            position = data.draw(st.integers(0, length + 3))
            size = data.draw(st.integers(-1, length + 3))
            assert stream.seek(position) == expected.seek(position)
            assert stream.read(size) == expected.read(size)
            assert stream.seek(0, os.SEEK_END) == expected.seek(0, os.SEEK_END)


@pytest.mark.parametrize("zeros", [0, 1, 19, 4096])
def test_archives_behind_the_end_of_the_first_count(tmp_path, zeros):
    """``cat a.tar b.tar > c.tar``, which GNU tar reads with --ignore-zeros and WebDataset reads anyway."""
    parts = [samples(0, 3), samples(3, 5), samples(5, 6)]
    paths = [write_tar(tmp_path / f"{number}.tar", listed) for number, listed in enumerate(parts)]
    whole = tmp_path / "a.tar"
    whole.write_bytes(bytes(zeros * BLOCK).join(path.read_bytes() for path in paths))
    keys, archive = found(whole)
    assert list(keys) == [key for path in paths for key in found(path)[0]]
    assert set(keys.values()) == {None}
    assert archive.sha256 == hashlib.sha256(whole.read_bytes()).hexdigest()
    singly = [open_span(item.path, item.span).read() for path in paths for item in found(path)[1].items]
    assert [open_span(item.path, item.span).read() for item in archive.items] == singly


def test_a_damaged_archive_behind_the_first_is_reported(tmp_path):
    first, second = (write_tar(tmp_path / f"{at}.tar", samples(at, at + 2)).read_bytes() for at in (0, 2))
    (tmp_path / "a.tar").write_bytes(first + second[:100] + b"????" + second[104:])
    keys, _ = found(tmp_path / "a.tar")
    assert keys["a.tar"] == "truncated"
    assert len(keys) == 1 + len(found(tmp_path / "0.tar")[0])


def test_other_bytes_behind_the_end_are_padding(tmp_path):
    first = write_tar(tmp_path / "0.tar", samples(0, 2)).read_bytes()
    (tmp_path / "a.tar").write_bytes(first + b"signature" * 100)
    assert found(tmp_path / "a.tar")[0] == found(tmp_path / "0.tar")[0]


def test_thumbnails_in_an_archive_are_no_images(tmp_path):
    listed = [member("a.png", png(0)), member("__MACOSX/a.png", png(1)), member("x/@eaDir/a.png/t.jpg", png(2))]
    assert list(found(write_tar(tmp_path / "a.tar", listed))[0]) == ["a.tar/a.png"]
