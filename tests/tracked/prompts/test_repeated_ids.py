"""Files of prompts and of true objects in which one id or name stands for two things: refused, or read without loss."""

import json

import numpy as np
import pytest

from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.tracked.accuracy.true_documents import document_videos
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.prompts.checks import resolve_prompts
from maskgrid.tracked.prompts.sources import read_video_prompts
from maskgrid.tracked.videos.index import Video

SIZE_HW = 20, 30
VIDEO = Video("a.mp4", "a.mp4", b"a.mp4", "", "file", width=SIZE_HW[1], height=SIZE_HW[0], n_frames=4)
BOXES = [[2, 3, 10, 10], [12, 5, 8, 9]]


def code(box):
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[box[1] : box[1] + box[3], box[0] : box[0] + box[2]] = True
    return rle.compressed(rle.encode(mask), SIZE_HW)


def masks(*numbers):
    return [None if number is None else code(BOXES[number]) for number in numbers]


def youtube_vis(**changes):
    """Two objects; the second comes into view on frame 2."""
    return {
        "videos": [{"id": 1, "name": "a"}],
        "annotations": [
            {"id": 1, "video_id": 1, "category_id": 3, "segmentations": masks(0, 0)},
            {"id": 2, "video_id": 1, "category_id": 3, "segmentations": masks(None, None, 1)},
        ],
        **changes,
    }


def coco_video(images=(), **changes):
    """An object on the last of the images, by default on the third of four."""
    images = images or [{"id": n, "video_id": 1, "file_name": f"a/{n}.jpg"} for n in (1, 2, 3, 4)]
    note = {"id": 1, "image_id": 3, "track_id": 7, "category_id": 3, "segmentation": code(BOXES[0])}
    return {"videos": [{"id": 1, "name": "a"}], "images": images, "annotations": [note], **changes}


def prompts(tmp_path, content, **tracking):
    path = tmp_path / "p.json"
    path.write_text(json.dumps(content))
    source = read_video_prompts(path, TrackingConfig(source="clips", **tracking))
    return resolve_prompts(source.entries, [VIDEO], Reading(0, None, 1, 10**6), False, tmp_path)


def truth(tmp_path, content):
    path = tmp_path / "t.json"
    path.write_text(json.dumps(content))
    return [mask for video in document_videos(path, None) for mask in video.read(VIDEO)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (
            youtube_vis(videos=[{"id": 1, "name": "a"}, {"id": "1", "name": "b"}]),
            "videos: entries 1 ('a') and 2 ('b') have the same id, 1,",
        ),
        (
            youtube_vis(videos=[{"id": 1, "name": "a"}, {"id": 1, "name": "a", "file_names": ["0.jpg"]}]),
            "videos: entries 1 ('a') and 2 ('a, 1 frames') have the same id, 1,",
        ),
        (youtube_vis(videos=[{"name": "a"}, {"name": "b"}]), "videos: entries 1 ('a') and 2 ('b') have no id,"),
        (
            youtube_vis(categories=[{"id": 3, "name": "cup"}, {"id": 3, "name": "pot"}]),
            "categories: entries 1 ('cup') and 2 ('pot') have the same id, 3,",
        ),
        (
            coco_video([{"id": 3, "video_id": 1, "file_name": name} for name in ("0.jpg", "1.jpg")]),
            "images: entries 1 ('0.jpg, video 1') and 2 ('1.jpg, video 1') have the same id, 3,",
        ),
        (
            coco_video([{"id": 3, "video_id": n, "file_name": "0.jpg"} for n in (1, 2)]),
            "images: entries 1 ('0.jpg, video 1') and 2 ('0.jpg, video 2') have the same id, 3,",
        ),
        (
            coco_video([{"id": 3, "video_id": 1, "frame_id": n} for n in (0, 1)]),
            "images: entries 1 ('None, video 1, frame_id 0') and 2 ('None, video 1, frame_id 1') have the same id, 3,",
        ),
    ],
)
def test_one_id_for_two_things_is_an_error(tmp_path, content, words):
    for read, key in ((prompts, "tracking.prompts"), (truth, "tracking.ground_truth")):
        with pytest.raises(UserError) as error:
            read(tmp_path, content)
        message = str(error.value)
        assert message.startswith(f"{key}: {tmp_path}")
        assert words in message
        assert "\n" not in message


@pytest.mark.parametrize(
    "content",
    [
        youtube_vis(videos=[{"id": 1, "name": "a"}, {"id": 1.0, "name": "a"}]),
        youtube_vis(categories=[{"id": 3.0, "name": "cup"}, {"id": 3, "name": "cup"}]),
    ],
)
def test_the_same_thing_twice_does_no_harm(tmp_path, content):
    category = "cup" if "categories" in content else "3"
    assert [(row.status, row.category) for row in prompts(tmp_path, content)] == [("ok", category)] * 2
    assert {mask.status for mask in truth(tmp_path, content)} == {"ok"}


def repeated(*frames, stated=False):
    """Images of these frames; the object is on the third."""
    return coco_video(
        [
            {"id": n, "video_id": 1, "file_name": f"a/{frame}.jpg", **({"frame_id": frame} if stated else {})}
            for n, frame in enumerate(frames, start=1)
        ]
    )


@pytest.mark.parametrize(
    ("content", "frame", "warns"),
    [
        (repeated(0, 0, 1, 2), 1, True),
        (repeated(0, 0, 1, 2, stated=True), 1, True),
        (repeated(1, 1, 2, 3, stated=True), 1, True),  # counted from 1, as in MOT
        (repeated(0, 1, 2, 3), 2, False),
        (coco_video([{"id": n, "video_id": 1} for n in (1, 2, 3, 10)]), 2, False),  # by id, in natural order
    ],
)
def test_a_frame_that_is_listed_twice_counts_once(tmp_path, caplog, content, frame, warns):
    (row,) = prompts(tmp_path, content)
    assert (row.status, row.frame) == ("ok", frame)
    assert [mask.frame for mask in truth(tmp_path, content) if rle.area_px(mask.counts, SIZE_HW)] == [frame]
    assert ("entries 1 and 2 (a/" in caplog.text) == warns


def test_a_video_under_two_ids_is_read_once(tmp_path):
    videos = [{"id": 1, "name": "a"}, {"id": 2, "file_name": "a.mp4"}]
    notes = [{**note, "video_id": n, "id": 1} for n, note in zip((1, 2), youtube_vis()["annotations"], strict=True)]
    rows = prompts(tmp_path, youtube_vis(videos=videos, annotations=notes))
    assert [row.status for row in rows] == ["ok", "malformed"]
    assert rows[1].message == "the file has this video twice, with the ids 1 and 2; the first counts"


def test_a_second_object_with_an_id_is_not_joined_to_the_first(tmp_path):
    notes = [{**note, "id": 1} for note in youtube_vis()["annotations"]]
    rows = prompts(tmp_path, youtube_vis(annotations=notes))
    assert [(row.frame, row.status) for row in rows] == [(0, "ok"), (2, "malformed")]
    assert rows[1].message == "annotations 1 and 2 of the file have the same id"
    other_video = [{**notes[0]}, {**notes[1], "video_id": 9}]
    assert [row.message for row in prompts(tmp_path, youtube_vis(annotations=other_video)) if row.status != "ok"] == [
        "the file has no video with the id 9, or it has no name"
    ]


@pytest.mark.parametrize("use", ["mask", "box"])
@pytest.mark.parametrize("prompt_frames", ["first", "all"])
def test_an_object_twice_on_a_frame_is_a_row(tmp_path, use, prompt_frames):
    content = coco_video()
    first = content["annotations"][0] | {"bbox": BOXES[0]}
    second = first | {"id": 2, "segmentation": code(BOXES[1]), "bbox": BOXES[1]}
    content["annotations"] = [first, second]
    rows = prompts(tmp_path, content, use=use, prompt_frames=prompt_frames)
    assert [(row.frame, row.status) for row in rows] == [(2, "ok"), (2, "malformed")]


def test_different_categories_of_one_object_are_said(tmp_path, caplog):
    content = coco_video()
    content["annotations"].append({**content["annotations"][0], "id": 2, "image_id": 4, "category_id": 4})
    rows = prompts(tmp_path, content, prompt_frames="all")
    assert [(row.frame, row.category) for row in rows] == [(2, "3"), (3, "3")]
    assert "have different categories, of which the first counts; the first is 7 in video 1" in caplog.text
