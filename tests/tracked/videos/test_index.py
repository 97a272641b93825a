"""Which videos a source has, and what the index records about each."""

import os
import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from made_videos import STATUSES, drawn, write_frames, write_videos

from maskgrid.config.models import Config
from maskgrid.dataset.index import index_dataset
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.videos.index import index_videos, open_frames, read_videos, video_name, write_index
from maskgrid.tracked.videos.sources import list_videos, videos_digest
from maskgrid.tracked.videos.stage import write_videos as write_videos_stage

READING = Reading(1, None, 2, 1_000_000)


@pytest.fixture(scope="module")
def videos(tmp_path_factory):
    """A folder of videos, and the clip in the good ones."""
    folder = tmp_path_factory.mktemp("videos") / "clips"
    return folder, write_videos(folder)


def keys(source, base):
    return [item.key for item in list_videos(str(source), base)]


def test_a_folder_gives_video_files_and_folders_of_frames(videos):
    folder, _ = videos
    assert keys(folder, folder) == sorted(STATUSES)
    assert keys("clips", folder.parent) == sorted(STATUSES)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("clips/*.mkv", ["cut.mkv", "good.mkv", "short.mkv"]),
        ("clips/*/fra*", ["sub/frames"]),
        ("clips/**/frames", ["sub/frames"]),
        ("clips/good.mkv", ["good.mkv"]),
        ("clips/sub/frames", ["frames"]),
        ("list.txt", ["gone.mp4", "good.mkv", "sub/frames"]),
    ],
)
def test_globs_lists_and_single_videos(videos, pattern, expected):
    folder, _ = videos
    (folder.parent / "list.txt").write_text("clips/good.mkv\nclips/sub/frames\nclips/gone.mp4\n")
    found = keys(pattern, folder.parent)
    assert [key.removeprefix("clips/") for key in found] == expected


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("nowhere", "there is no file or folder"),
        ("nowhere/*.mp4", "there is no folder"),
        ("empty", "no videos in"),
        ("notes.pdf", "neither a video file"),
    ],
)
def test_a_source_without_videos_is_a_clear_error(tmp_path, source, words):
    (tmp_path / "empty").mkdir()
    (tmp_path / "notes.pdf").write_text("x")
    with pytest.raises(UserError, match=f"tracking.source: .*{words}"):
        list_videos(source, tmp_path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("list.csv", "file,label\na.mp4,1\n", "no column 'path'; its columns are file, label"),
        ("list.csv", 'path\n"a.mp4\n', "not valid CSV"),
        ("list.csv", "label,path\n1\n", "'path' of entry 1 is None"),
        ("list.parquet", "not parquet", "not a valid Parquet"),
    ],
)
def test_lists_that_cannot_be_used_are_blamed_on_the_key_that_names_them(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"^tracking.source: .*{message}"):
        list_videos(name, tmp_path)


def test_a_list_without_the_column_of_paths_is_blamed_on_its_key(tmp_path):
    pd.DataFrame({"file": ["a.mp4"]}).to_parquet(tmp_path / "list.parquet")
    with pytest.raises(UserError, match=r"^tracking\.source: .*no column 'path'"):
        list_videos("list.parquet", tmp_path)


def test_images_beside_videos_are_no_frames(tmp_path):
    write_frames(tmp_path / "clips", drawn(n_frames=1).frames, ".jpg")
    (tmp_path / "clips" / "a.mp4").write_bytes(b"x")
    assert keys("clips", tmp_path) == ["a.mp4"]


def test_every_video_has_a_row_with_status_and_reason(videos, tmp_path):
    folder, clip = videos
    found = index_videos(list_videos(str(folder), folder), READING, [])
    assert {video.video_key: video.status for video in found} == STATUSES
    assert all((video.message is None) == (video.status == "ok") for video in found)
    write_index(tmp_path, found)
    assert read_videos(tmp_path / "files.parquet") == found
    table = pd.read_parquet(tmp_path / "videos.parquet")
    assert len(table) == len(STATUSES)
    for video in read_videos(tmp_path / "files.parquet"):
        if video.status == "ok":
            assert (video.width, video.height, video.n_frames) == (64, 48, 5)
            frames = open_frames(video, READING)
            assert len(frames) == 2
            for position, number in enumerate(READING.numbers(5)):
                assert np.array_equal(frames.read(position), clip.frames[number])


def test_the_index_does_not_depend_on_the_videos_folder(videos, tmp_path):
    folder, _ = videos
    moved = shutil.copytree(folder, tmp_path / "moved")
    for place, target in ((folder, tmp_path / "a"), (moved, tmp_path / "b")):
        write_index(target, index_videos(list_videos(str(place), place), READING, []))
    assert (tmp_path / "a/videos.parquet").read_bytes() == (tmp_path / "b/videos.parquet").read_bytes()


def test_an_unchanged_video_is_not_read_again(videos):
    folder, _ = videos
    items = list_videos(str(folder), folder)
    first = index_videos(items, READING, [])
    marked = [replace(video, sha256="from before") for video in first]
    again = index_videos(items, READING, marked)
    lasting = {"ok", "empty", "truncated", "not_a_video"}
    assert {v.video_key for v in again if v.sha256 == "from before"} == {
        video.video_key for video in first if video.status in lasting
    }
    os.utime(folder / "good.mkv", ns=(1, 1))
    changed = {video.video_key: video for video in index_videos(list_videos(str(folder), folder), READING, marked)}
    assert changed["good.mkv"].sha256 != "from before"


def test_a_new_frame_changes_the_listing(tmp_path):
    write_frames(tmp_path / "clips" / "a", drawn(n_frames=2).frames)
    before = videos_digest(list_videos("clips", tmp_path))
    assert before == videos_digest(list_videos("clips", tmp_path))
    shutil.copy(tmp_path / "clips/a/0.png", tmp_path / "clips/a/2.png")
    assert videos_digest(list_videos("clips", tmp_path)) != before


@pytest.mark.parametrize(
    ("key", "name"),
    [("a.mp4", "a.mp4"), ("sub/a.mp4", "sub~a.mp4"), ("a b.mp4", "a_b.mp4-"), ("a~b", "a_b-"), (".x", "x-")],
)
def test_names_of_files_are_made_from_keys(key, name):
    assert video_name(key).startswith(name)


def test_names_of_files_are_distinct():
    many = [
        "a/b",
        "a__b",
        "a_b",
        "a b",
        "a?b",
        "x" * 300,
        "x" * 299 + "y",
        "ä",
        "ö",
        ".a",
        "-a",
        "a",
        "a/__b",
        "a__/b",
        "a~b",
    ]
    names = [video_name(key) for key in many]
    assert len(set(names)) == len(many)
    assert all(len(name) < 150 for name in names)


def test_the_runs_own_folders_are_never_input(tmp_path):
    clip = drawn(n_frames=1).frames
    for name in ("clips/a", "results/tracked/png/a/001", ".snakemake/y"):
        write_frames(tmp_path / name, clip)
    for name in ("clips/@eaDir/a", "__MACOSX/clips", ".Trash-1000/b", "$RECYCLE.BIN/c", "#recycle"):
        write_frames(tmp_path / name, clip)
    (tmp_path / "clips" / "again").symlink_to(tmp_path / "results")
    (tmp_path / "list.txt").write_text("clips/a\nresults/tracked/png/a/001\n")
    (tmp_path / "results/tracked/jobs.parquet").touch()

    def found(source, base=tmp_path):
        return [item.path.resolve().relative_to(tmp_path).as_posix() for item in list_videos(source, base)]

    assert found(".") == found("..", tmp_path / "clips") == found("**/a") == found("list.txt") == ["clips/a"]
    # Unless the source lies in them.
    assert found("results/tracked/png/*/*") == found("results/tracked/png") == ["results/tracked/png/a/001"]


def test_images_of_the_demo_are_the_same_beside_its_videos(tmp_path):
    config = {"dataset": {"source": "demo"}, "tracking": {"source": "demo", "prompts": "demo"}}
    keys = []
    for name in ("alone", "together"):
        plan = make_plan(Config.model_validate(config), tmp_path, tmp_path / name)
        if name == "together":
            write_videos_stage(plan)
        index_dataset(plan)
        keys.append(pd.read_parquet(plan.layout.images)["image_key"].tolist())
    assert keys[0] == keys[1]
    assert len(keys[0]) > 8
    assert len(pd.read_parquet(tmp_path / "together/tracked/videos.parquet")) == 3
