"""What ``track`` takes and gives in Python: prompts as dicts, with the workflow's bits; pictures, COCO, errors."""

import base64
import io
import json
import re
from pathlib import Path

import av
import numpy as np
import pandas as pd
import PIL.Image
import pytest
import torch
from made_videos import drawn, with_points, write_frames
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from maskgrid import FramePrompt, TrackOptions, UserError, show, show_video, track, write_coco
from maskgrid.config.models import Config
from maskgrid.dataset.demo.clips import encode_clip
from maskgrid.masks import rle
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.jobs import read_jobs
from maskgrid.tracked.masklets import join_masklets
from maskgrid.tracked.prompts.given import prompts_of
from maskgrid.tracked.track import track_job
from maskgrid.tracked.videos.frames import frames_of
from maskgrid.tracked.videos.stage import write_videos as index_videos


@pytest.fixture(scope="module")
def clip():
    return drawn(n_frames=4)


def box_of(mask):
    left, top, width, height = rle.true_box_xywh(rle.encode(mask), mask.shape)
    return [left, top, left + width, top + height]


def all_kinds(clip):
    """Prompts of every kind as a table's rows: a box and a click, two rows of clicks, a mask, a correction."""
    first, second = clip.masks[0, 0], clip.masks[0, 1]
    return [
        {"frame": 0, "object_id": 4, "box_xyxy": box_of(first), "point_coords": with_points(first)},
        {"frame": 0, "object_id": 2, "point_coords": with_points(second)},
        {"frame": 0, "object_id": 2, "point_coords": [[1, 1]], "point_labels": [0]},
        {"frame": 1, "object_id": 3, "mask": rle.compressed(rle.encode(clip.masks[1, 0]), first.shape)},
        {"frame": 2, "object_id": 2, "point_coords": with_points(clip.masks[2, 1]), "round": 1},
    ]


def test_masks_are_those_of_the_workflow(clip, tracker, tmp_path):
    rows, videos = all_kinds(clip), tmp_path / "clips"
    write_frames(videos / "frames", clip.frames)
    (videos / "file.mkv").write_bytes(encode_clip(clip))
    lines = [{"video": video, **row} for video in ("frames", "file.mkv") for row in rows]
    (tmp_path / "prompts.jsonl").write_text("\n".join(map(json.dumps, lines)))
    config = {"source": "clips", "prompts": "prompts.jsonl", "direction": "both"}
    config = Config.model_validate({"model": {"checkpoint": "demo"}, "tracking": config})
    plan = make_plan(config, tmp_path, tmp_path / "results")
    index_videos(plan)
    for job in read_jobs(plan.layout.tracked.jobs):
        track_job(plan, job.run, job.group, lambda *_: tracker)
        join_masklets(plan, job.run)
    for run, video in (("frames", videos / "frames"), ("frames", list(clip.frames)), ("file.mkv", videos / "file.mkv")):
        table = pd.read_parquet(plan.layout.tracked.masklets(run))
        expected = {
            (row.object_id, row.frame): (row.counts, row.area_px, row.object_score_logit) for row in table.itertuples()
        }
        found = {
            (one.object_id, frame): (one.counts, one.area_px, np.float32(one.object_score_logit))
            for frame, masks in track(tracker, video, rows, TrackOptions(direction="both"))
            for one in masks
        }
        assert found == expected
        assert len(found) == 12
        assert any(area_px for _, area_px, _ in found.values())


def same(given, expected):
    assert len(given) == len(expected)
    for mine, theirs in zip(given, expected, strict=True):
        for name in FramePrompt.__slots__:
            a, b = getattr(mine, name), getattr(theirs, name)
            assert (a is None) == (b is None), name
            assert a is None or np.array_equal(a, b), name


@pytest.mark.parametrize(
    "row",
    [
        {"point_coords": ((10, 20), (30.5, 40)), "point_labels": (1, 0)},
        {"point_coords": np.array([[10, 20], [30.5, 40]]), "point_labels": np.array([1, 0], np.int64)},
        {"point_coords": torch.tensor([[10, 20], [30.5, 40]]), "point_labels": torch.tensor([1, 0])},
        {"point_coords": [np.array([10, 20]), [np.float32(30.5), 40]], "point_labels": [np.int32(1), 0]},
        {"point_coords": [[10, 20], [30.5, 40]], "point_labels": [1, 0], "box_xyxy": None, "mask": float("nan")},
    ],
)
def test_points_may_be_lists_tuples_arrays_or_tensors(clip, row):
    given = {"frame": np.int64(1), "object_id": np.float64(7), **row}
    expected = FramePrompt(1, 7, np.array([[10, 20], [30.5, 40]], np.float32), np.array([1, 0]))
    same(prompts_of([given], frames_of(clip.frames)), [expected])
    same(prompts_of(given, frames_of(clip.frames)), [expected])
    same(prompts_of(iter([given]), frames_of(clip.frames)), [expected])


def forms_of(mask, folder):
    picture = PIL.Image.fromarray(mask.view(np.uint8) * np.uint8(255))
    picture.save(folder / "mask.png")
    return {
        "bool": mask,
        "uint8": mask.astype(np.uint8) * 255,
        "float": mask.astype(np.float32),
        "tensor": torch.from_numpy(mask),
        "picture": picture,
        "coloured": picture.convert("RGB"),
        "path": folder / "mask.png",
        "text": str(folder / "mask.png"),
        "coco_rle": rle.compressed(rle.encode(mask), mask.shape),
        "uncompressed": rle.uncompressed(rle.encode(mask), mask.shape),
        "pycocotools": coco_mask.encode(np.asfortranarray(mask.view(np.uint8))),
    }


def test_a_mask_may_have_any_form(clip, tmp_path):
    mask = clip.masks[0, 0]
    assert mask.any()
    for given in forms_of(mask, tmp_path).values():
        (prompt,) = prompts_of({"frame": 0, "object_id": 1, "mask": given}, frames_of(clip.frames))
        assert np.array_equal(prompt.mask, mask)


def test_boxes_and_clicks_of_one_frame_are_one_prompt(clip):
    rows = [
        {"frame": 0, "object_id": 1, "box_xywh": (5, 6, 20, 30)},
        {"frame": 0, "object_id": 1, "point_coords": [(9, 9)]},
        {"frame": 0, "object_id": 2, "point_coords": [(9, 9)]},
    ]
    found = prompts_of(rows, frames_of(clip.frames))
    assert found[0].box_xyxy.tolist() == [5, 6, 25, 36]
    assert [prompt.clear_old_points for prompt in found] == [True, False, True]


POINT = {"frame": 0, "object_id": 1, "point_coords": [[5, 5]]}


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ([], "there is none"),
        (7, r"prompts\[0\]: a prompt is a dict or a FramePrompt, not int"),
        ("prompts.csv", r"a dict or a FramePrompt, not str"),
        ([POINT, [[5, 5]]], r"prompts\[1\]: a prompt is a dict or a FramePrompt, not list"),
        ([POINT, FramePrompt(0, 1, box_xyxy=[1, 2, 3, 4])], "dicts and FramePrompts"),
        ([POINT, {**POINT, "points": 1}], r"prompts\[1\]: there is no key 'points'; a prompt has box_xywh, box_xyxy, "),
        ([{"point_coords": [[5, 5]], "object_id": 1}], "the frame is None"),
        ([{**POINT, "frame": 9}], "there is no frame 9; frames count from 0 to 3"),
        ([{**POINT, "frame": -1}], "the frame is -1"),
        ([{**POINT, "frame": 0.5}], "the frame is 0.5"),
        ([{**POINT, "object_id": "dog"}], "object_id is 'dog'; give a whole number"),
        ([{**POINT, "object_id": None}], "object_id is None"),
        ([{**POINT, "object_id": True}], "object_id is True"),
        ([{**POINT, "round": -1}], "the round is -1"),
        ([{"frame": 0, "object_id": 1}], "no points, no box and no mask"),
        ([{**POINT, "point_coords": [5, 5]}], r"a list of \[x, y\], not \[5, 5\]"),
        ([{**POINT, "point_coords": [[5, 500]]}], r"the point \[5.0, 500.0\] lies outside the image \(64 x 48\)"),
        ([{**POINT, "point_coords": [[5, np.nan]]}], "no finite number"),
        ([{**POINT, "point_labels": [2]}], "labels are 1"),
        ([{**POINT, "point_labels": [1, 1]}], "1 points need as many labels"),
        ([{"frame": 0, "object_id": 1, "box_xyxy": [9, 9, 3, 20]}], "has no area"),
        ([{**POINT, "box_xyxy": [1, 1, 9, 9], "box_xywh": [1, 1, 9, 9]}], "both given"),
        ([POINT, {"frame": 0, "object_id": 1, "box_xyxy": [1, 1, 9, 9]}], r"prompts\[1\]: the box comes after points"),
        ([{**POINT, "mask": np.ones((48, 64), bool)}], "a video's mask stands alone"),
        ([{"frame": 0, "object_id": 1, "mask": np.ones((64, 48), bool)}], r"frame's shape \(48, 64\), not bool of"),
        ([{"frame": 0, "object_id": 1, "mask": np.zeros((48, 64), bool)}], "the mask has no pixel"),
        ([{"frame": 0, "object_id": 1, "mask": {"size": [2, 2], "counts": [4]}}], r"size is \[2, 2\]"),
        ([{"frame": 0, "object_id": 1, "mask": Path("gone.png")}], "there is no file gone.png"),
        ([FramePrompt("0", 1, box_xyxy=[1, 2, 3, 4])], "object 1, frame 0: the frame is no whole number"),
    ],
)
def test_prompts_that_cannot_be_used_are_explained_in_one_line(clip, tracker, prompts, words):
    with pytest.raises(UserError, match=words) as told:
        track(tracker, clip.frames, prompts)
    assert "\n" not in str(told.value)


def test_tracked_frames_are_shown_and_written_like_images(clip, tracker, tmp_path):
    prompts = [{"frame": 0, "object_id": n + 5, "mask": clip.masks[0, n]} for n in range(2)]
    (tmp_path / "file.mkv").write_bytes(encode_clip(clip))
    tracking = track(tracker, tmp_path / "file.mkv", prompts)
    frames = [(tracking.pixels(frame), found) for frame, found in tracking]
    colours = {}
    for (pixels, found), drawn_frame in zip(frames, clip.frames, strict=True):
        assert np.array_equal(pixels, drawn_frame)  # the file is lossless
        picture = np.asarray(show(pixels, found))
        covered = np.any([one.segmentation for one in found], axis=0)
        assert np.array_equal(picture[~covered], pixels[~covered])
        assert (picture != pixels).any(-1)[covered].mean() > 0.9
        for one in found:  # a mask's first pixel is on its outline, which is of its plain colour
            alone = np.asarray(show(pixels, [one]))
            if one.area_px:
                colours.setdefault(one.object_id, set()).add(tuple(alone[tuple(np.argwhere(one.segmentation)[0])]))
    assert [len(seen) for seen in colours.values()] == [1, 1]
    assert colours[5] != colours[6]

    write_coco(tmp_path / "video.json", frames)
    coco = COCO(str(tmp_path / "video.json"))
    assert [image["id"] for image in coco.dataset["images"]] == [1, 2, 3, 4]
    expected = {
        (number, one.object_id): one for number, (_, found) in enumerate(frames, 1) for one in found if one.area_px
    }
    assert {(each["image_id"], each["track_id"]) for each in coco.dataset["annotations"]} == expected.keys()
    for each in coco.dataset["annotations"]:
        one = expected[each["image_id"], each["track_id"]]
        assert np.array_equal(coco.annToMask(each), one.segmentation)
        assert np.array_equal(coco_mask.decode(one.coco_rle), one.segmentation)
        assert (each["area"], each["object_score_logit"]) == (one.area_px, one.object_score_logit)


def test_masks_of_a_frame_of_another_size_are_not_drawn(clip, tracker):
    _, found = next(track(tracker, clip.frames, {"frame": 0, "object_id": 1, "mask": clip.masks[0, 0]}))
    with pytest.raises(UserError, match="the mask has 48 x 64 pixels, but its image 20 x 30"):
        show(np.zeros((20, 30, 3), np.uint8), found)


def frames_of_film(mp4):
    with av.open(io.BytesIO(mp4)) as container:
        track = container.streams.video[0]
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(track)], track.average_rate


@pytest.mark.parametrize("kind", ["frames", "file", "folder"])
@pytest.mark.parametrize("direction", ["forward", "both"])
def test_a_tracked_video_is_shown_as_a_film(clip, tracker, tmp_path, kind, direction):
    """In the order of its frames, also where tracking gives them in another."""
    write_frames(tmp_path / "folder", clip.frames)
    (tmp_path / "file").write_bytes(encode_clip(clip))
    video = list(clip.frames) if kind == "frames" else tmp_path / kind
    prompt = {"frame": 2, "object_id": 7, "mask": clip.masks[2, 0]}
    film = show_video(track(tracker, video, prompt, TrackOptions(direction=direction)), rate_hz=12.5)
    found, rate = frames_of_film(film.mp4)
    assert rate == 12.5
    seen = clip.frames[2:] if direction == "forward" else clip.frames
    assert len(found) == len(seen)
    for frame, pixels in zip(found, seen, strict=True):
        others = [np.abs(frame.astype(int) - each).mean() for each in clip.frames]
        assert np.abs(frame.astype(int) - pixels).mean() == min(others)
    html = film._repr_html_()
    assert base64.b64decode(re.search(r'src="data:video/mp4;base64,([^"]+)"', html)[1]) == film.mp4
    assert "bytes of MP4" in repr(film)
    film.save(tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == film.mp4


def test_pairs_of_frames_and_masks_are_shown_as_the_tracking_is(clip, tracker):
    prompt = {"frame": 0, "object_id": 1, "mask": clip.masks[0, 0]}
    pairs = [(clip.frames[frame], masks) for frame, masks in track(tracker, clip.frames, prompt)]
    assert show_video(pairs).mp4 == show_video(track(tracker, clip.frames, prompt)).mp4
    assert show_video(iter(pairs)).mp4 == show_video(pairs).mp4


@pytest.mark.parametrize(
    ("change", "options", "words"),
    [
        (lambda _: [], {}, "no frame to show"),
        (lambda pairs: pairs, {"rate_hz": 0}, "rate_hz is 0"),
        (lambda pairs: [(pairs[0][0][:20], pairs[0][1])], {}, "the mask has 48 x 64 pixels, but its frame 20 x 64"),
        (lambda pairs: [*pairs, (pairs[0][0][:20], [])], {}, "frame 4 has 20 x 64 pixels, but the first 48 x 64"),
    ],
)
def test_what_makes_no_film_is_explained(clip, tracker, change, options, words):
    prompt = {"frame": 0, "object_id": 1, "mask": clip.masks[0, 0]}
    pairs = [(clip.frames[frame], masks) for frame, masks in track(tracker, clip.frames, prompt)]
    with pytest.raises(UserError, match=words):
        show_video(change(pairs), **options)
