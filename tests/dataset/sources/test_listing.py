import json
import os
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from corpus import STRANGE_NAMES, write_corpus
from maskgrid.dataset.pixels.images import ImageStatus
from maskgrid.dataset.sources.list_files import read_list
from maskgrid.dataset.sources.listing import file_state, list_inputs, listing_digest
from maskgrid.io.errors import UserError
from maskgrid.io.listings import is_outside_root


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")


def keys(source: str | Path, base_dir: Path) -> list[str]:
    return [item.key for item in list_inputs(str(source), base_dir)]


def test_folder_is_walked_and_sorted_by_key(tmp_path):
    touch(tmp_path, "b.JPG", "a/z.png", "a/a.tiff", "a.b.webp", "x.jpg/in.gif", "notes.txt", "meta.json", "jpg")
    touch(tmp_path, ".hidden.jpg", ".git/x.jpg", "a/.cache/y.jpg")
    assert keys(tmp_path, Path("/")) == ["a.b.webp", "a/a.tiff", "a/z.png", "b.JPG", "x.jpg/in.gif"]


def test_paths_lead_to_the_files_from_any_base(tmp_path):
    touch(tmp_path, "photos/a/b.jpg")
    items = list_inputs("photos", tmp_path)
    assert [(item.key, item.path) for item in items] == [("a/b.jpg", tmp_path / "photos/a/b.jpg")]


def test_strange_names_are_kept(tmp_path):
    touch(tmp_path, *STRANGE_NAMES)
    assert keys(tmp_path, tmp_path) == sorted(STRANGE_NAMES)


def test_a_name_that_is_not_utf8_has_a_valid_key_and_its_own_path(tmp_path):
    raw = os.fsencode(tmp_path) + b"/caf\xe9.jpg"
    Path(os.fsdecode(raw)).write_bytes(b"x")
    (item,) = list_inputs(str(tmp_path), tmp_path)
    assert item.key.encode() == b"caf\\xe9.jpg"
    assert os.fsencode(item.path) == raw
    assert len(listing_digest(str(tmp_path), tmp_path)) == 64


def test_links_are_followed_and_loops_end(tmp_path):
    touch(tmp_path, "root/z/one.jpg", "elsewhere/two.jpg")
    root = tmp_path / "root"
    (root / "a").symlink_to("z")  # sorts before the real folder, which still keeps its own key
    (root / "z" / "up").symlink_to("..")
    (root / "out").symlink_to(tmp_path / "elsewhere")
    (root / "self.jpg").symlink_to("self.jpg")
    (root / "gone.jpg").symlink_to("nowhere")
    assert keys(root, tmp_path) == ["gone.jpg", "out/two.jpg", "self.jpg", "z/one.jpg"]


def test_a_pipe_is_not_an_input(tmp_path):
    touch(tmp_path, "a.jpg")
    os.mkfifo(tmp_path / "pipe.jpg")
    assert keys(tmp_path, tmp_path) == ["a.jpg"]


def test_a_folder_that_cannot_be_listed_is_an_input(tmp_path, monkeypatch):
    touch(tmp_path, "a.jpg", "locked/b.jpg")
    scandir = os.scandir

    def refuse(folder):
        if Path(folder).name == "locked":
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert keys(tmp_path, tmp_path) == ["a.jpg", "locked"]
    with pytest.raises(UserError, match="cannot be listed: Permission denied"):
        list_inputs(str(tmp_path / "locked"), tmp_path)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("data/*.jpg", ["a.jpg"]),
        ("data/**/*.jpg", ["a.jpg", "s/b.jpg", "s/t/c.jpg"]),
        ("data/**", ["a.jpg", "a.png", "s/b.jpg", "s/t/c.jpg"]),
        ("data/s/**/?.jpg", ["b.jpg", "t/c.jpg"]),
        ("data/*/*", ["s/b.jpg"]),
        ("data/[a]*.*", ["a.jpg", "a.png"]),
    ],
)
def test_glob(tmp_path, pattern, expected):
    touch(tmp_path, "data/a.jpg", "data/a.png", "data/s/b.jpg", "data/s/t/c.jpg", "data/note.txt", "other/e.jpg")
    assert keys(pattern, tmp_path) == expected


def test_a_folder_with_brackets_is_a_folder(tmp_path):
    touch(tmp_path, "trip [2023]/a.jpg")
    assert keys("trip [2023]", tmp_path) == ["a.jpg"]


def test_a_glob_below_a_folder_with_brackets(tmp_path):
    touch(tmp_path, "[2023]/photos/a.jpg")
    assert keys("photos/*.jpg", tmp_path / "[2023]") == ["a.jpg"]


def test_numbers_in_braces(tmp_path):
    touch(tmp_path, "data/a-08.tar", "data/a-09.jpg")
    assert keys("data/a-{08..10}.tar", tmp_path) == ["a-08.tar", "a-09.tar", "a-10.tar"]
    assert keys("../data/{0..1}/x-{0..1}.png", tmp_path / "run") == ["0/x-0.png", "0/x-1.png", "1/x-0.png", "1/x-1.png"]
    touch(tmp_path, "data/b-{0..1}.jpg")
    assert keys("data/b-{0..1}.jpg", tmp_path) == ["b-{0..1}.jpg"]


def test_archives_are_listed_beside_images(tmp_path):
    touch(tmp_path, "data/a.tar", "data/b.jpg", "data/c.tar.gz", "data/sub/d.TAR")
    assert keys("data", tmp_path) == ["a.tar", "b.jpg", "sub/d.TAR"]
    assert keys("data/*.tar", tmp_path) == keys("data/a.tar", tmp_path) == ["a.tar"]


def test_a_list_above_the_working_folder(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "list.txt").write_text("photos/a.jpg\n")
    (item,) = list_inputs("../list.txt", tmp_path / "run")
    assert (item.key, item.path) == ("photos/a.jpg", tmp_path / "photos/a.jpg")


def test_home_is_expanded(tmp_path, monkeypatch):
    touch(tmp_path, "photos/a.jpg")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert keys("~/photos", Path("/")) == keys("~/photos/*.jpg", Path("/")) == ["a.jpg"]


def test_a_single_image(tmp_path):
    touch(tmp_path, "photos/a.jpg")
    assert keys("photos/a.jpg", tmp_path) == ["a.jpg"]


def test_text_list(tmp_path):
    (tmp_path / "lists").mkdir()
    lines = "\ufeffb.jpg\r\n\n sub/a file.jpg\nb.jpg\n./b.jpg\nno suffix\n#c.jpg\nd\u2028e.jpg\n"
    lines += "../up.jpg\nx/../../y.jpg"
    (tmp_path / "lists" / "all.txt").write_bytes(lines.encode())
    found = keys("lists/all.txt", tmp_path)
    assert found == sorted(["b.jpg", " sub/a file.jpg", "no suffix", "#c.jpg", "d\u2028e.jpg", "../up.jpg", "../y.jpg"])
    assert [key for key in found if is_outside_root(key)] == ["../up.jpg", "../y.jpg"]


def test_absolute_entries_are_rooted_at_their_common_folder(tmp_path):
    entries = [tmp_path / "data/a/1.jpg", tmp_path / "data/b/2.jpg", tmp_path / "data/b/../3.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(map(str, entries)))
    assert keys("list.txt", Path(tmp_path)) == ["3.jpg", "a/1.jpg", "b/2.jpg"]


def test_absolute_and_relative_entries_mix(tmp_path):
    (tmp_path / "list.txt").write_text(f"{tmp_path}/data/1.jpg\ndata/2.jpg\nthree.jpg\n../out.jpg\n")
    assert keys("list.txt", tmp_path) == ["../out.jpg", "data/1.jpg", "data/2.jpg", "three.jpg"]


def test_csv_and_parquet_lists_hold_any_name(tmp_path):
    table = pa.table({"label": list(range(len(STRANGE_NAMES))), "path": list(STRANGE_NAMES)})
    pq.write_table(table, tmp_path / "list.parquet")
    table.to_pandas().to_csv(tmp_path / "list.csv", index=False)
    assert keys("list.parquet", tmp_path) == sorted(STRANGE_NAMES)
    assert keys("list.csv", tmp_path) == sorted(STRANGE_NAMES)


@pytest.mark.parametrize("folder", ["", "images"])
def test_coco_list_finds_its_images(tmp_path, folder):
    images = [
        {"id": 1, "file_name": "b.jpg"},
        {"id": 2, "file_name": "sub/a.jpg"},
        {"id": 3, "file_name": "gone.jpg"},
    ]
    (tmp_path / "instances.json").write_text(json.dumps({"images": images, "annotations": []}))
    touch(tmp_path / folder, "b.jpg", "sub/a.jpg")
    items = list_inputs("instances.json", tmp_path)
    assert [item.key for item in items] == ["b.jpg", "gone.jpg", "sub/a.jpg"]
    assert items[0].path == tmp_path / folder / "b.jpg"


def test_a_coco_list_may_begin_with_a_byte_order_mark(tmp_path):
    (tmp_path / "list.json").write_bytes(b'\xef\xbb\xbf{"images": [{"file_name": "a.jpg"}]}')
    assert read_list(tmp_path / "list.json", "dataset.source") == (["a.jpg"], tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", "file,label\na.jpg,1\n", "no column 'path'; its columns are file, label"),
        ("list.csv", 'path\n"a.jpg\n', "not valid CSV"),
        ("list.csv", "label,path\n1\n", "'path' of entry 1 is None"),
        ("list.parquet", "not parquet", "not a valid Parquet"),
        ("list.json", "{", "not valid JSON"),
        ("list.json", '{"annotations": []}', "not a COCO file"),
        ("list.json", '{"images": [{"file_name": 3}]}', "'file_name' of entry 1 is 3"),
        ("list.txt", "\n \n", "no images in"),
        ("list.doc", "x", "neither an image nor a tar archive nor a list"),
        ("list.tar.gz", "x", "Compressed archives cannot be read from the middle"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"^dataset.source: .*{message}"):
        list_inputs(name, tmp_path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("list.csv", b"file\n"),
        ("list.csv", b'path\n"a.jpg\n'),
        ("list.csv", b"label,path\n1\n"),
        ("list.parquet", b"not parquet"),
        ("list.json", b"{"),
        ("list.json", b"{}"),
        ("list.json", b'{"images": [{}]}'),
        ("gone.txt", None),
    ],
)
def test_every_message_about_a_list_names_the_key_that_the_user_wrote(tmp_path, name, content):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError, match=r"^some\.key: "):
        read_list(tmp_path / name, "some.key")


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("nowhere", "no file or folder"),
        ("nowhere/*.jpg", "no folder"),
        ("empty", "no images in"),
        ("empty/*", "no images"),
    ],
)
def test_sources_without_images(tmp_path, source, message):
    touch(tmp_path, "empty/readme.txt")
    with pytest.raises(UserError, match=message) as caught:
        list_inputs(source, tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_the_digest_depends_on_names_sizes_and_times(tmp_path):
    touch(tmp_path, "a.jpg", "b.jpg")
    digests = [listing_digest(str(tmp_path), tmp_path)]
    assert listing_digest(".", tmp_path / "") == digests[0]
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    digests.append(listing_digest(str(tmp_path), tmp_path))
    (tmp_path / "a.jpg").write_bytes(b"longer")
    os.utime(tmp_path / "a.jpg", ns=(1, 1))
    digests.append(listing_digest(str(tmp_path), tmp_path))
    (tmp_path / "b.jpg").rename(tmp_path / "c.jpg")
    digests.append(listing_digest(str(tmp_path), tmp_path))
    touch(tmp_path, "note.txt")
    assert listing_digest(str(tmp_path), tmp_path) == digests[-1]
    assert len(set(digests)) == 4


def test_the_state_of_missing_files(tmp_path):
    (tmp_path / "list.csv").write_bytes(b"path\ngone.jpg\n../list.csv\n")
    states = {item.key: file_state(item) for item in list_inputs("list.csv", tmp_path)}
    assert states == {"gone.jpg": (None, None), "../list.csv": (None, None)}


def test_the_whole_corpus_is_listed(tmp_path):
    expected = write_corpus(tmp_path / "corpus")
    assert keys("corpus", tmp_path) == sorted(expected)


RESULTS = [
    "results/dataset/shards.parquet",
    "results/report/overlays/baseline.jpg",
    "results/demo/coins.png",
    "deep/out/statistics/mask_counts.parquet",
    "deep/out/prompted/worst.jpg",
    "videos-of-mine/tracked/jobs.parquet",
    "videos-of-mine/tracked/png/a/00000.png",
    "prompts-of-mine/prompted/prompts.parquet",
    "prompts-of-mine/fetched/host/a.tar",
]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        (".", ["a.jpg", "dataset/b.jpg", "deep/c.jpg"]),
        ("..", ["run/a.jpg", "run/dataset/b.jpg", "run/deep/c.jpg"]),
        ("**/*.jpg", ["a.jpg", "dataset/b.jpg", "deep/c.jpg"]),
        ("*/*.jpg", ["dataset/b.jpg", "deep/c.jpg"]),
        ("results", ["demo/coins.png"]),
        ("results/demo", ["coins.png"]),
        ("results/demo/*.png", ["coins.png"]),
        ("prompts-of-mine/fetched/host/a.tar", ["a.tar"]),
    ],
)
def test_results_are_never_input(tmp_path, source, expected):
    run = tmp_path / "run"
    touch(run, "a.jpg", "dataset/b.jpg", "deep/c.jpg", *RESULTS)
    assert keys(source, run) == expected


def test_results_in_a_list_are_rows_with_a_reason(tmp_path):
    touch(tmp_path, "a.jpg", *RESULTS)
    listed = ["a.jpg", "results/report/overlays/baseline.jpg", "results/demo/coins.png", "deep/out/prompted/worst.jpg"]
    (tmp_path / "list.txt").write_text("\n".join(listed))
    items = {item.key: item for item in list_inputs("list.txt", tmp_path)}
    assert {key for key, item in items.items() if item.problem} == {listed[1], listed[3]}
    assert all(item.problem is None or item.problem[0] == ImageStatus.OWN_OUTPUT for item in items.values())
    assert file_state(items[listed[1]]) == (None, None), "as its row says, so that nothing seems changed"


def test_what_storage_systems_make_is_no_input(tmp_path):
    touch(tmp_path, "a.jpg", "@home/b.jpg", "recycled/c.jpg")
    names = ["@eaDir", "@EADIR", "__MACOSX", "#recycle", "@Recycle", "$RECYCLE.BIN", ".Trash-1000", ".thumbnails"]
    touch(tmp_path, *(f"sub/{name}/a.jpg/thumb.jpg" for name in names), "lost+found/x.jpg", "Thumbs.db")
    assert keys(tmp_path, tmp_path) == ["@home/b.jpg", "a.jpg", "recycled/c.jpg"]
    (tmp_path / "list.txt").write_text("sub/@eaDir/a.jpg/thumb.jpg\n")
    assert keys("list.txt", tmp_path) == ["sub/@eaDir/a.jpg/thumb.jpg"], "a list is taken as it is"


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["../photos/a.png", "../photos/sub/b.png"], ["a.png", "sub/b.png"]),
        (["../photos/a.png", "x/../../other/b.png"], ["other/b.png", "photos/a.png"]),
        (["../photos/a.png", "b.png"], ["../photos/a.png", "b.png"]),
    ],
)
def test_a_list_beside_the_images_reaches_them(tmp_path, entries, expected):
    (tmp_path / "lists").mkdir()
    (tmp_path / "lists/train.txt").write_text("\n".join(entries))
    assert keys("lists/train.txt", tmp_path) == expected


@pytest.mark.parametrize(
    ("file", "folder"),
    [
        ("annotations/instances_val2017.json", "val2017"),
        ("annotations/person_keypoints_val2017.json", "val2017"),
        ("annotations/instances_val2017.json", "images/val2017"),
        ("annotations/instances.json", "images"),
        ("annotations/train.json", "train"),
        ("instances_val2017.json", "val2017"),
        ("labels/all.json", ""),
    ],
)
def test_cocos_own_layouts_are_found(tmp_path, file, folder):
    touch(tmp_path, f"./{folder}/a.jpg")
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text(json.dumps({"images": [{"id": 1, "file_name": "a.jpg"}]}))
    assert [(item.key, item.path) for item in list_inputs(file, tmp_path)] == [("a.jpg", tmp_path / folder / "a.jpg")]


@pytest.mark.parametrize(("listed", "there"), [("NFC", "NFD"), ("NFD", "NFC"), ("NFC", "NFC")])
def test_a_listed_name_is_found_in_either_unicode_form(tmp_path, listed, there):
    name = "ä/Müller 東京が.jpg"
    touch(tmp_path, unicodedata.normalize(there, name))
    (tmp_path / "list.txt").write_text(unicodedata.normalize(listed, name))
    (item,) = list_inputs("list.txt", tmp_path)
    assert (item.key, item.path.exists()) == (unicodedata.normalize(listed, name), True)


def test_two_names_that_are_escaped_alike_are_two_images(tmp_path):
    for name in (b"a\\xff.png", b"a\xff.png", b"b\xff.png"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name)).write_bytes(name)
    found = {item.key: item.path.read_bytes() for item in list_inputs(str(tmp_path), tmp_path)}
    assert found == {"a\\xff.png": b"a\\xff.png", "a\\udcff.png": b"a\xff.png", "b\\xff.png": b"b\xff.png"}


@pytest.mark.parametrize("suffix", ["csv", "txt", "parquet"])
def test_names_that_pandas_takes_for_nothing_are_names(tmp_path, suffix):
    names = ["NA", "NULL", "nan", "None", "null"]
    if suffix == "parquet":
        pq.write_table(pa.table({"path": names}), tmp_path / "list.parquet")
    else:
        (tmp_path / f"list.{suffix}").write_text("\n".join(["path"] * (suffix == "csv") + names))
    assert keys(f"list.{suffix}", tmp_path) == sorted(names)


@pytest.mark.parametrize(
    "content",
    [
        b'\xef\xbb\xbf{"images": [{"id": 1, "file_name": "a.jpg"}]}',
        '{"images": [{"id": 1, "file_name": "a.jpg"}]}'.encode("utf-16"),
        b'{"images": [{"id": 1, "file_name": "a.jpg", "date": NaN, "low": -Infinity}]}',
        b'{"images": [{"id": 1.0, "file_name": "a.jpg"}, {"id": "1", "file_name": "a.jpg"}]}',
    ],
)
def test_coco_files_as_other_tools_write_them(tmp_path, content):
    (tmp_path / "list.json").write_bytes(content)
    assert keys("list.json", tmp_path) == ["a.jpg"]


def test_half_a_character_in_a_name_is_no_traceback(tmp_path):
    (tmp_path / "list.json").write_bytes(b'{"images": [{"file_name": "\\ud83d.jpg", "x": NaN}]}')
    assert keys("list.json", tmp_path) == ["\\ud83d.jpg"]
