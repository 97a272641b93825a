"""Prompts for videos: which are read from tables and documents or refused and why, and what the tracker gets."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import PIL.Image
import pytest

from maskgrid.config.tracking import TrackingConfig
from maskgrid.dataset.annotations.object_sources import Entry
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.prompts.checked import frame_prompts, passes_of, prompts_table, read_prompts
from maskgrid.tracked.prompts.checks import resolve_prompts
from maskgrid.tracked.prompts.entries import VideoEntry
from maskgrid.tracked.prompts.object_ids import ObjectName, object_ids
from maskgrid.tracked.prompts.sources import read_video_prompts
from maskgrid.tracked.tables import PROMPTS
from maskgrid.tracked.videos.index import Video

HEIGHT, WIDTH = 20, 30
VIDEO = Video("a.mp4", "a.mp4", b"a.mp4", "", "file", width=WIDTH, height=HEIGHT, n_frames=10)
BAD = Video("bad.mp4", "bad.mp4", b"bad.mp4", "", "file", "truncated", "cut short")
READING = Reading(2, 9, 3, 10**6)  # frames 2, 5, 8
SQUARE = np.zeros((HEIGHT, WIDTH), np.bool_)
SQUARE[5:15, 10:20] = True
RLE = rle.compressed(rle.encode(SQUARE), (HEIGHT, WIDTH))


def entry(frame=2, video="a.mp4", source_id="1", round=None, **values):
    return VideoEntry((video,), Entry(image_key=video, source_id=source_id, **values), frame, None, round)


def resolved(*entries, normalized=False, folder=None):
    return resolve_prompts(entries, [VIDEO, BAD], READING, normalized, folder)


@pytest.mark.parametrize(
    ("values", "status", "words"),
    [
        ({"video": "b.mp4", "box": [1, 1, 5, 5]}, "unknown_video", "has no video 'b.mp4'"),
        ({"video": "bad.mp4", "box": [1, 1, 5, 5]}, "bad_video", "cannot be used: truncated"),
        ({"frame": 3, "box": [1, 1, 5, 5]}, "missing_frame", "frames 2 to 8 by 3 are read"),
        ({"frame": 10, "box": [1, 1, 5, 5]}, "missing_frame", "10 frames are numbered from 0"),
        ({"frame": -1, "box": [1, 1, 5, 5]}, "malformed", "the frame is -1"),
        ({"frame": "two", "box": [1, 1, 5, 5]}, "malformed", "the frame is 'two'"),
        ({"frame": None, "box": [1, 1, 5, 5]}, "malformed", "the frame is None"),
        ({"frame": 2.5, "box": [1, 1, 5, 5]}, "malformed", "the frame is 2.5"),
        ({"round": -1, "box": [1, 1, 5, 5]}, "malformed", "the round is -1"),
        ({"box": [40, 1, 45, 5]}, "outside_image", "lies outside"),
        ({"box": [1, 1, 1, 5]}, "no_area", "has no area"),
        ({"point_coords": [[1, 2]], "point_labels": [3]}, "wrong_label", "labels are 1"),
        ({"mask": RLE, "box": [1, 1, 5, 5]}, "malformed", "a video's mask stands alone"),
        ({"mask": {**RLE, "size": [1, 1]}}, "malformed_mask", "the mask's size"),
        ({}, "no_prompt", "no points"),
        ({"broken": "no JSON"}, "malformed", "no JSON"),
    ],
)
def test_bad_prompts_are_rows_with_a_reason(values, status, words):
    rows = resolved(entry(**values), entry(box=[1, 1, 5, 5], video="a", source_id="2"))
    row, good = sorted(rows, key=lambda row: row.source_id)
    assert (row.status, row.prompt) == (status, None)
    assert words in row.message
    assert (good.status, good.video_key) == ("ok", "a.mp4")


@pytest.mark.parametrize("frame", [2, "2", 2.0, "2.0"])
def test_a_frame_may_be_an_integer_float_or_text(frame):
    assert resolved(entry(frame, box=[1, 1, 5, 5]))[0].frame == 2


@pytest.mark.parametrize(
    ("first", "second", "status"),
    [
        ({"mask": RLE}, {"point_coords": [[1, 2]]}, "malformed"),
        ({"point_coords": [[1, 2]]}, {"mask": RLE}, "malformed"),
        ({"point_coords": [[1, 2]]}, {"box": [1, 1, 5, 5]}, "malformed"),
        ({"box": [1, 1, 5, 5]}, {"point_coords": [[1, 2]]}, "ok"),
        ({"mask": RLE}, {"point_coords": [[1, 2]], "round": 1}, "ok"),
        ({"mask": RLE}, {"mask": RLE, "frame": 5}, "ok"),
    ],
)
def test_which_prompts_may_share_a_frame(first, second, status):
    rows = resolved(entry(**first), entry(**second))
    assert [row.status for row in rows] == ["ok", status]


def test_points_on_a_frame_add_up_and_frames_are_positions_among_those_read():
    rows = resolved(
        entry(5, point_coords=[[1, 2]]),
        entry(5, box=[1, 1, 9, 9], source_id="2", point_coords=[[2, 3]]),
        entry(8, mask=RLE, source_id="2"),
        entry(5, point_coords=[[4, 4]], point_labels=[0], round=1),
        entry(3, box=[1, 1, 9, 9]),
    )
    given = frame_prompts(rows, VIDEO, READING)
    assert [(p.frame, p.object_id, p.round, p.clear_old_points) for p in given] == [
        (1, 1, 0, True),
        (1, 2, 0, True),
        (2, 2, 0, True),
        (1, 1, 1, False),
    ]
    assert given[0].point_coords.dtype == np.float32
    assert given[3].point_labels.tolist() == [0]
    assert np.array_equal(given[2].mask, SQUARE)
    passes = passes_of(rows, VIDEO, READING, TrackOptions())
    assert [(one.round, list(one.frames)) for one in passes] == [(0, [1, 2]), (1, [1, 2])]


def test_normalised_prompts_are_converted_to_pixels():
    (row,) = resolved(entry(box=[0.1, 0.5, 0.2, 0.75], point_coords=[[0.5, 1.0]]), normalized=True)
    np.testing.assert_allclose(row.prompt.box_xyxy, [3, 10, 6, 15])
    np.testing.assert_allclose(row.prompt.point_coords, [[15, 20]])


@pytest.mark.parametrize(
    ("source_ids", "numbers"),
    [
        (["7", "3", "7"], [7, 3, 7]),
        (["7", "cat"], [7, 1]),
        (["cat", "1", "dog"], [2, 1, 3]),
        (["0", "1"], [2, 1]),
        (["01", "1"], [2, 1]),
        (["7.0", "3.00", "7"], [7, 3, 7]),
        (["7.5", "7e0", "-1", ""], [1, 2, 3, 4]),
        ([str(2**40)], [1]),
        (["²"], [1]),
        # Numbers are rows without an id.
        ([1, 2, 3], [1, 2, 3]),
        ([4, 5], [4, 5]),
        (["2", 2], [2, 1]),
        (["2", 2, "1"], [2, 3, 1]),
        (["cat", 2, "2"], [1, 3, 2]),
    ],
)
def test_whole_ids_are_kept_whatever_the_others_are(source_ids, numbers):
    names = [ObjectName(str(one), one if isinstance(one, int) else None) for one in source_ids]
    found = object_ids(names)
    assert [found[name] for name in names] == numbers


@pytest.mark.parametrize("write", ["csv", "parquet", "jsonl"])
def test_a_row_without_an_id_is_an_object_of_its_own(tmp_path, write):
    table = pd.DataFrame(
        {
            "video": ["a"] * 5,
            "frame": [2, 2, 5, 2, 2],
            "object_id": [2.0, None, 2.0, None, 9.0],
            "box_xyxy": [[1.0, 1.0, 5.0, 5.0]] * 5,
        }
    )
    path = tmp_path / f"p.{write}"
    if write == "csv":
        table.to_csv(path, index=False)
    elif write == "parquet":
        table.to_parquet(path)
    else:
        table.to_json(path, orient="records", lines=True)
    rows = resolved(*read_video_prompts(path, TrackingConfig(source="clips")).entries)
    assert [row.status for row in rows] == ["ok"] * 5
    assert [row.object_id for row in rows] == [2, 1, 2, 4, 9]
    assert [row.source_id for row in rows][1::2] == ["2", "4"]


def test_rows_without_an_id_are_told_from_ids_by_their_source_id(tmp_path):
    (tmp_path / "p.csv").write_text(
        'video,frame,object_id,point_coords\na,2,2,"[[14, 5]]"\na,2,,"[[2, 2]]"\na,2,,"[[3, 3]]"\n'
    )
    rows = resolved(*read_video_prompts(tmp_path / "p.csv", TrackingConfig(source="clips")).entries)
    assert [(row.object_id, row.source_id) for row in rows] == [(2, "2"), (1, "row 2"), (3, "3")]


ROWS = [
    {"video": "a", "frame": 2, "object_id": "cup", "category": "cup", "box_xyxy": [1, 2, 11, 12]},
    {"video": "a.mp4", "frame": 5, "object_id": "cup", "point_coords": [[3, 4], [5, 6]], "point_labels": [1, 0]},
    {"video": "a.mp4", "frame": 2, "object_id": "x", "mask": RLE},
    {"video": "a.mp4", "frame": 5, "object_id": "y", "mask": "square.png"},
]


def write_csv(path):
    text = [{k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()} for row in ROWS]
    pd.DataFrame(text).to_csv(path, index=False)


def write_jsonl(path):
    path.write_text("\n".join(map(json.dumps, ROWS)))


def write_parquet(path):
    pd.DataFrame(
        [
            {**row, "mask": json.dumps(row["mask"]) if "mask" in row and row["object_id"] == "x" else row.get("mask")}
            for row in ROWS
        ]
    ).to_parquet(path)


@pytest.mark.parametrize("write", [write_csv, write_jsonl, write_parquet])
def test_tables_of_every_format_give_the_same_prompts_and_survive_a_round_trip(tmp_path, write):
    path = tmp_path / f"prompts.{write.__name__.removeprefix('write_')}"
    PIL.Image.fromarray(SQUARE.view(np.uint8) * 255).save(tmp_path / "square.png")
    write(path)
    source = read_video_prompts(path, TrackingConfig(source="clips"))
    rows = resolved(*source.entries, folder=source.folder)
    assert [row.status for row in rows] == ["ok"] * 4
    assert [row.prompt.kind for row in rows] == ["box", "points", "mask", "mask"]
    assert [row.object_id for row in rows] == [1, 1, 2, 3]
    assert [row.frame for row in rows] == [2, 5, 2, 5]
    table = prompts_table(rows)
    assert table.schema == PROMPTS
    assert list(map(repr, read_prompts(table))) == list(map(repr, rows))


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("p.csv", "video,box_xyxy\n", "needs a column 'video' and 'frame'"),
        ("p.csv", "video,frame\n", "and one of point_coords"),
        ("p.json", "[]", "not a YouTube-VIS or COCO-video file: it has no list 'videos'"),
        ("p.json", '{"videos": []}', "no list 'annotations'"),
        ("p.json", "{", "not valid JSON"),
        ("gone.csv", None, "No such file"),
    ],
)
def test_files_that_cannot_be_read_are_clear_errors(tmp_path, name, content, words):
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=f"tracking.prompts: .*{words}"):
        read_video_prompts(tmp_path / name, TrackingConfig(source="clips"))


BOX = [10, 5, 10, 10]
YOUTUBE_VIS = {
    "videos": [{"id": 4, "name": "a.mp4", "length": 10}, {"id": 5, "file_names": ["sub/x/00000.jpg"]}],
    "categories": [{"id": 3, "name": "cup"}],
    "annotations": [
        {"id": 9, "video_id": 4, "category_id": 3, "segmentations": [None, None, RLE, None, None, RLE],
         "bboxes": [None, None, BOX, None, None, BOX]},
        {"id": 8, "video_id": 4, "category_id": 3, "segmentations": [None] * 10, "bboxes": []},
        {"id": 7, "video_id": 44, "category_id": 3, "segmentations": [RLE]},
        {"id": 6, "video_id": 5, "category_id": 3, "segmentations": [RLE]},
        {"id": 5, "video_id": 4, "category_id": 1, "segmentations": [RLE]},
    ],
}  # fmt: skip
COCO_VIDEO = {
    "videos": [{"id": 4, "name": "a.mp4"}],
    "images": [{"id": n, "video_id": 4, "frame_id": n, "file_name": f"a/{n}.jpg"} for n in range(10)],
    "categories": [{"id": 3, "name": "cup"}],
    "annotations": [
        {"id": n, "image_id": n, "track_id": 9, "category_id": 3, "segmentation": RLE, "bbox": BOX} for n in (5, 2)
    ],
}


@pytest.mark.parametrize("document", [YOUTUBE_VIS, COCO_VIDEO])
@pytest.mark.parametrize(("use", "kind"), [("mask", "mask"), ("box", "box")])
@pytest.mark.parametrize(("prompt_frames", "frames"), [("first", [2]), ("all", [2, 5])])
def test_documents_prompt_objects_on_their_first_frame_or_on_all(tmp_path, document, use, kind, prompt_frames, frames):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    config = TrackingConfig(source="clips", use=use, prompt_frames=prompt_frames)
    rows = resolved(*read_video_prompts(path, config).entries)
    mine = [row for row in rows if row.source_id == "9"]
    assert [(row.frame, row.prompt.kind, row.category_id, row.category) for row in mine] == [
        (frame, kind, 3, "cup") for frame in frames
    ]
    if kind == "mask":
        assert mine[0].prompt.mask_counts.decode() == RLE["counts"]
    else:
        assert mine[0].prompt.box_xyxy.tolist() == [10, 5, 20, 15]


def test_bad_annotations_of_a_document_are_rows(tmp_path):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(YOUTUBE_VIS))
    rows = {row.source_id: row for row in resolved(*read_video_prompts(path, TrackingConfig(source="x")).entries)}
    found = {key: (row.video_key, row.status) for key, row in rows.items()}
    assert found == {
        "9": ("a.mp4", "ok"),
        "8": ("a.mp4", "malformed"),
        "7": ("", "malformed"),
        "6": ("sub/x", "unknown_video"),
        "5": ("a.mp4", "missing_frame"),  # its category is not listed, which does no harm
    }
    assert "no segmentation on any frame" in rows["8"].message
    assert "no video with the id 44" in rows["7"].message


def test_frames_of_folders_are_found_by_file_name(tmp_path):
    folder = tmp_path / "x"
    folder.mkdir()
    for name in ("005", "010", "015"):
        PIL.Image.new("RGB", (WIDTH, HEIGHT)).save(folder / f"{name}.jpg")
    video = replace(VIDEO, video_key="x", path=str(folder).encode(), kind="frames", n_frames=3)
    document = {
        "videos": [{"id": 1, "file_names": ["x/010.jpg", "x/020.jpg"]}],
        "annotations": [
            {"id": 1, "video_id": 1, "segmentations": [RLE, None]},
            {"id": 2, "video_id": 1, "segmentations": [None, RLE]},
        ],
    }
    (tmp_path / "p.json").write_text(json.dumps(document))
    entries = read_video_prompts(tmp_path / "p.json", TrackingConfig(source="x")).entries
    first, second = resolve_prompts(entries, [video], Reading(0, None, 1, 10**6), False, tmp_path)
    assert (first.status, first.frame) == ("ok", 1)
    assert second.status == "missing_frame"
    assert "'020.jpg'" in second.message


def read(folder, document, **config):
    (folder / "p.json").write_text(json.dumps(document))
    return read_video_prompts(folder / "p.json", TrackingConfig(source="x", **config))


ALL = Reading(0, None, 1, 10**6)
ABSENT = [
    {"bboxes": [[0, 0, 0, 0], BOX, BOX], "segmentations": [None] * 3},
    {"bboxes": [[], BOX, BOX]},
    {"bboxes": [None, BOX, BOX], "segmentations": [[], [[]], None]},
    {"bboxes": [[0.0, 0.0, 0.0, 0.0], BOX, None], "segmentations": [{"size": [20, 30], "counts": [600]}, RLE, None]},
    {"bboxes": [[0, 0, 0, 0], BOX], "segmentations": [rle.compressed(rle.encode(SQUARE & False), (20, 30)), RLE]},
    {"bboxes": [[0, 0, 0, 0], BOX], "segmentations": [[[]], [[10, 5, 20, 5, 20, 15, 10, 15]]]},
    {"score": float("nan"), "bboxes": [None, BOX], "segmentations": [None, RLE]},
]


@pytest.mark.parametrize("change", ABSENT)
@pytest.mark.parametrize("use", ["box", "mask"])
def test_an_object_begins_on_its_first_frame_in_any_form_of_absence(tmp_path, change, use):
    if use == "mask" and change.get("segmentations", [None, None])[1] in (None, [[]]):
        pytest.skip("the object has no mask")
    note = {"id": 1, "video_id": 4, "category_id": 3, **change}
    source = read(tmp_path, {"videos": [{"id": 4, "name": "a"}], "annotations": [note]}, use=use)
    (row,) = resolve_prompts(source.entries, [VIDEO], ALL, False, tmp_path)
    assert (row.status, row.frame, row.category_id, row.category) == ("ok", 1, 3, "3")
    assert source.categories == [{"id": 3, "name": "3"}]


@pytest.mark.parametrize(
    ("category", "expected"), [(None, (None, None)), ("cup", (None, "cup")), (3.0, (3, "3")), (7, (7, "seven"))]
)
def test_categories_of_any_form(tmp_path, category, expected):
    note = {"id": 1, "video_id": 4, "category_id": category, "segmentations": [RLE]}
    listed = [{"id": 7, "name": "seven"}]
    source = read(tmp_path, {"videos": [{"id": 4, "name": "a"}], "annotations": [note], "categories": listed})
    (row,) = resolve_prompts(source.entries, [VIDEO], ALL, False, tmp_path)
    assert (row.status, row.category_id, row.category) == ("ok", *expected)


def test_annotations_without_an_id_are_objects_of_their_own(tmp_path):
    notes = [
        {"video_id": 4, "bboxes": [BOX]},
        {"video_id": 4, "bboxes": [BOX]},
        {"id": 2, "video_id": 4, "bboxes": [BOX]},
    ]
    source = read(tmp_path, {"videos": [{"id": 4, "name": "a"}], "annotations": notes}, use="box")
    rows = resolve_prompts(source.entries, [VIDEO], ALL, False, tmp_path)
    assert [(row.object_id, row.status) for row in rows] == [(1, "ok"), (3, "ok"), (2, "ok")]


def coco_video(frames, stated=None, track=None):
    """A COCO-video of one box on the first listed image; ``frames`` by file name."""
    images = [
        {"id": n, "video_id": 4, "file_name": name, **({} if stated is None else {"frame_id": stated[n]})}
        for n, name in enumerate(frames)
    ]
    note = {"id": 1, "image_id": 0, "category_id": 3, "bbox": BOX, **(track or {"track_id": 1})}
    return {"videos": [{"id": 4, "name": "a"}], "images": images, "annotations": [note]}


@pytest.mark.parametrize(
    ("frames", "stated", "expected"),
    [
        (["a/10.jpg", "a/1.jpg", "a/11.jpg", "a/2.jpg"], None, 2),  # in natural order
        (["a/2.jpg", "a/1.jpg", "a/10.jpg"], None, 1),
        (["a/1.jpg", "a/2.jpg", "a/3.jpg"], [1, 2, 3], 0),  # counted from 1
        (["a/3.jpg", "a/1.jpg", "a/2.jpg"], [3, 1, 2], 2),
        (["a/1.jpg", "a/2.jpg"], [0, 1], 0),
        (["a/5.jpg", "a/6.jpg"], [5, 6], 5),
        (["a/1.jpg", "a/3.jpg"], [1, 3], 1),
        (["a/1.jpg"], [1], 1),
    ],
)
def test_which_frame_an_image_of_a_coco_video_is(tmp_path, frames, stated, expected):
    source = read(tmp_path, coco_video(frames, stated), use="box")
    (row,) = resolve_prompts(source.entries, [VIDEO], ALL, False, tmp_path)
    assert (row.status, row.frame) == ("ok", expected)


@pytest.mark.parametrize(("changes", "expected"), [({}, 1), ({"frame_id": None}, 0), ({"frame_number": None}, 0)])
def test_a_frame_number_beside_the_frame_id_is_the_videos_own(tmp_path, changes, expected):
    """As in our own files; numbers 1, 2, ... are not shifted then. Neither counts alone, or for some images."""
    document = coco_video(["a/1.jpg", "a/2.jpg"], [0, 1])
    for image in document["images"]:
        image["frame_number"] = image["frame_id"] + 1
    first = document["images"][0] | changes
    document["images"][0] = {name: value for name, value in first.items() if value is not None}
    (row,) = resolve_prompts(read(tmp_path, document, use="box").entries, [VIDEO], ALL, False, tmp_path)
    assert (row.status, row.frame) == ("ok", expected)


@pytest.mark.parametrize("track", [{"track_id": None, "instance_id": 5}, {"track_id": -1, "id": 5}, {"instance_id": 5}])
def test_an_id_that_says_nothing_joins_nothing(tmp_path, track):
    document = coco_video(["a/1.jpg", "a/2.jpg"], None, track)
    document["annotations"].append({**document["annotations"][0], "image_id": 1, "id": 6})
    source = read(tmp_path, document, use="box", prompt_frames="all")
    ids = [entry.entry.source_id for entry in source.entries]
    assert ids == (["5", "6"] if track.get("track_id") == -1 else ["5", "5"])


@pytest.mark.parametrize(
    ("key", "names", "name"),
    [
        ("MOT17-02/img1", ["MOT17-02/img1/000001.jpg"], "MOT17-02"),
        ("MOT17-02/img1", ["img1/000001.jpg"], "MOT17-02"),
        ("MOT17-02", ["MOT17-02/000001.jpg"], 2),
    ],
)
def test_videos_are_found_by_the_folder_of_their_images(tmp_path, key, names, name):
    folder = tmp_path / key
    folder.mkdir(parents=True)
    PIL.Image.new("RGB", (WIDTH, HEIGHT)).save(folder / "000001.jpg")
    video = replace(VIDEO, video_key=key, path=str(folder).encode(), kind="frames", n_frames=1)
    document = coco_video(names, [1])
    document["videos"][0]["name"] = name
    (row,) = resolve_prompts(read(tmp_path, document, use="box").entries, [video], ALL, False, tmp_path)
    assert (row.video_key, row.status, row.frame) == (key, "ok", 0)


def of_size(where, width, height):
    """A document that states a size in one place."""
    size = {"width": width, "height": height}
    if where == "image":
        document = coco_video(["a/1.jpg", "a/2.jpg"])
        document["images"] = [image | size for image in document["images"]]
        document["annotations"][0]["segmentation"] = [[10, 5, 20, 5, 20, 15]]
        return document
    note = {"id": 1, "video_id": 4, "bboxes": [BOX], "segmentations": [[[10, 5, 20, 5, 20, 15]]]}
    video = {"id": 4, "name": "a"}
    return {
        "videos": [video | size if where == "video" else video],
        "annotations": [note if where == "video" else note | size],
    }


@pytest.mark.parametrize("where", ["video", "annotation", "image"])
@pytest.mark.parametrize("use", ["box", "mask"])
def test_prompts_for_frames_of_another_size_are_refused(tmp_path, where, use):
    def status(width, height, normalized=False):
        source = read(tmp_path, of_size(where, width, height), use=use)
        (row,) = resolve_prompts(source.entries, [VIDEO], ALL, normalized, tmp_path)
        return row.status, row.message

    assert status(WIDTH, HEIGHT) == ("ok", None)
    assert status(0, 0) == ("ok", None)  # says nothing
    found, message = status(2 * WIDTH, 2 * HEIGHT)
    assert found == "other_size"
    assert "60 x 40" in message
    assert "30 x 20" in message


def test_a_run_length_code_has_a_size_of_its_own(tmp_path):
    document = of_size("video", 2 * WIDTH, 2 * HEIGHT)
    for code, expected in (
        (RLE, "ok"),
        (rle.compressed(rle.encode(np.ones((40, 60), bool)), (40, 60)), "malformed_mask"),
    ):
        document["annotations"][0]["segmentations"] = [code]
        (row,) = resolve_prompts(read(tmp_path, document).entries, [VIDEO], ALL, False, tmp_path)
        assert row.status == expected


LABELS = np.zeros((HEIGHT, WIDTH), np.uint8)
LABELS[2:6, 2:9] = 1
LABELS[8:15, 10:20] = 2
COLOURS = [0, 0, 0, 128, 0, 0, 0, 128, 0] + [200, 10, 10] * 253
GREYS = [grey for grey in range(256) for _ in range(3)]


def label_picture(path, mode, palette=None, values=(0, 1, 2)):
    plane = np.array(values, np.uint8)[LABELS]
    picture = PIL.Image.fromarray(plane.astype(np.uint16) if mode == "I;16" else plane)
    if palette:
        picture.putpalette(palette)
    picture.save(path)


@pytest.mark.parametrize(
    ("mode", "palette", "values", "parts"),
    [
        ("P", COLOURS, (0, 1, 2), True),
        ("P", COLOURS, (0, 1, 7), True),
        ("P", COLOURS, (0, 2, 2), False),  # one object
        ("P", GREYS, (0, 120, 255), False),  # one object with a soft edge
        ("P", GREYS, (0, 1, 2), True),
        ("L", None, (0, 1, 2), True),
        ("L", None, (0, 120, 255), False),
        ("I;16", None, (0, 1, 2), True),
    ],
)
def test_a_picture_of_several_objects_gives_each_its_own(tmp_path, mode, palette, values, parts):
    label_picture(tmp_path / "00000.png", mode, palette, values)

    def row(source_id, row=None):
        given = VideoEntry(("a.mp4",), Entry("a.mp4", source_id, mask="00000.png"), 2, row=row)
        (found,) = resolve_prompts([given], [VIDEO], ALL, False, tmp_path)
        return found

    everything = rle.encode(LABELS > 0)
    for number in (1, 2):
        only = number == LABELS
        found = row(f"{values[number]}.0" if parts else "5")
        assert found.status == "ok", found.message
        assert found.prompt.mask_counts == (rle.encode(only) if parts else everything)
    for other in (row("cat"), row("9"), row("1", row=1)):
        if not parts:
            assert other.status == "ok"
            continue
        assert other.status == "malformed_mask"
        assert f"00000.png holds several objects (1, {values[2]}): give this one's number as object_id" in other.message
