"""From videos and a prompt table to masklets and exports, stage by stage."""

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pandas as pd
import PIL.Image
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from made_videos import STATUSES, drawn, with_points, write_frames, write_videos
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from browser import find_browser
from browser_faults import faults
from killing import hashes
from maskgrid.config.models import Config
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.plan.plan import make_plan
from maskgrid.results.forecast import plan_text
from maskgrid.tracked import forecast
from maskgrid.tracked.exports.mots import write_mots
from maskgrid.tracked.exports.stage import FORMS, export_run, voc_palette
from maskgrid.tracked.jobs import make_jobs, read_jobs
from maskgrid.tracked.masklets import join_masklets, read_run
from maskgrid.tracked.merge import merge_tracked
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.parameters import reading_of
from maskgrid.tracked.propagation.tracker import track
from maskgrid.tracked.records import FramePrompt
from maskgrid.tracked.track import track_job
from maskgrid.tracked.verify import verify
from maskgrid.tracked.videos.index import open_frames, read_videos
from maskgrid.tracked.videos.stage import write_videos as index_videos
from scripts import chromium

HEIGHT, WIDTH = 48, 64
FORMS_ALL = ["youtube_vis", "coco", "sa_v", "png", "palette", "mots", "overlay", "overlay_mp4", "player"]


def write_prompts(folder, clip):
    """Write prompts for two objects in each good video, the second on a later frame, and some unusable prompts."""
    rows = []
    for video in ("good.mkv", "sub/frames"):
        rows += [
            {
                "video": video,
                "frame": 1,
                "object_id": 1,
                "category": "block",
                "point_coords": with_points(clip.masks[1, 0]),
            },
            {"video": video, "frame": 3, "object_id": 2, "point_coords": with_points(clip.masks[3, 1])},
        ]
    rows += [
        {"video": "good.mkv", "frame": 2, "object_id": 3, "point_coords": [[5, 5]]},
        {"video": "good.mkv", "frame": 3, "object_id": 1, "box_xyxy": [1, 1, 1, 9]},
        {"video": "cut.mkv", "frame": 1, "object_id": 1, "point_coords": [[5, 5]]},
        {"video": "nowhere.mp4", "frame": 1, "object_id": 1, "point_coords": [[5, 5]]},
    ]  # fmt: skip
    (folder / "prompts.jsonl").write_text("\n".join(map(json.dumps, rows)))


def make_config(**tracking):
    values = {"source": "clips", "prompts": "prompts.jsonl", "start": 1, "stride": 2, "exports": FORMS_ALL}
    return Config.model_validate({"model": {"checkpoint": "demo"}, "tracking": {**values, **tracking}})


def run_stages(plan, tracker):
    index_videos(plan)
    jobs = read_jobs(plan.layout.tracked.jobs)
    for job in jobs:
        track_job(plan, job.run, job.group, lambda *_: tracker)
    for run in sorted({job.run for job in jobs}):
        join_masklets(plan, run)
        for form in FORMS:
            export_run(plan, run, form)
    return merge_tracked(plan)


@pytest.fixture(scope="module")
def finished(tmp_path_factory, tracker):
    """A results folder of two good videos and six bad ones."""
    folder = tmp_path_factory.mktemp("tracked")
    write_prompts(folder, write_videos(folder / "clips"))
    plan = make_plan(make_config(), folder, folder / "results")
    return plan, run_stages(plan, tracker)


def masklets(plan, run):
    return pd.read_parquet(plan.layout.tracked.masklets(run))


def test_masks_equal_the_trackers(finished, tracker):
    plan, _ = finished
    clip_prompts = list(map(json.loads, (plan.base_dir / "prompts.jsonl").read_text().splitlines()))[:2]
    prompts = [
        FramePrompt(
            (row["frame"] - 1) // 2, row["object_id"], np.array(row["point_coords"], np.float32), np.ones(1, np.int32)
        )
        for row in clip_prompts
    ]
    run = read_run(plan, "good.mkv")
    frames = open_frames(run.video, reading_of(plan))
    expected = {
        (mask.object_id, run.numbers[frame]): mask
        for frame, masks in track(tracker, frames, prompts, TrackOptions())
        for mask in masks
    }
    rows = masklets(plan, "good.mkv")
    assert list(rows.sort_values(["object_id", "frame"]).index) == list(range(len(rows)))
    assert set(zip(rows["object_id"], rows["frame"], strict=True)) == set(expected)
    for row in rows.itertuples():
        mask = expected[row.object_id, row.frame]
        assert (row.counts, row.area_px) == (mask.counts, mask.area_px)
        assert row.object_score_logit == np.float32(mask.object_score_logit)
    assert rows[rows["category"] == "block"]["object_id"].unique().tolist() == [1]
    assert [tuple(row) for row in rows[rows["is_prompted"]][["object_id", "frame"]].to_numpy()] == [(1, 1), (2, 3)]


def test_a_folder_of_frames_and_a_lossless_video_give_the_same_masks(finished):
    plan, _ = finished
    columns = ["object_id", "frame", "counts", "object_score_logit"]
    pd.testing.assert_frame_equal(masklets(plan, "good.mkv")[columns], masklets(plan, "sub~frames")[columns])


def test_unusable_videos_and_prompts_are_rows_with_a_reason(finished):
    plan, line = finished
    summary = pd.read_parquet(plan.layout.tracked.summary).set_index("video_key")
    assert summary["status"].to_dict() == {**STATUSES, "nowhere.mp4": "unknown_video"}
    assert summary[summary["status"] != "ok"]["message"].notna().all()
    objects = pd.read_parquet(plan.layout.tracked.objects).set_index(["video_key", "object_id"])
    statuses = objects["status"].to_dict()
    assert statuses["good.mkv", 3] == "missing_frame"
    assert statuses["cut.mkv", 1] == "bad_video"
    assert statuses["nowhere.mp4", 1] == "unknown_video"
    assert statuses["good.mkv", 1] == "ok"  # its other prompt was good
    assert "9 videos, 2 of them with masklets" in line
    prompts = pd.read_parquet(plan.layout.tracked.prompts)
    assert sorted(prompts["status"]) == [
        "bad_video",
        "missing_frame",
        "no_area",
        "ok",
        "ok",
        "ok",
        "ok",
        "unknown_video",
    ]


def test_groups_of_objects_give_the_same_bytes_as_one_job(finished, tracker, tmp_path):
    plan, _ = finished
    grouped = make_plan(make_config(objects_per_job=1), plan.base_dir, tmp_path / "results")
    run_stages(grouped, tracker)
    assert [job.object_ids for job in read_jobs(grouped.layout.tracked.jobs)] == [[1], [2], [1], [2]]
    whole, parts = (hashes(one.layout.tracked.root) for one in (plan, grouped))
    for name in whole:
        if (
            name.startswith(("masklets/", "png/", "palette/", "sa_v/", "overlay/", "overlay_mp4/"))
            or name == "objects.parquet"
        ):
            assert parts[name] == whole[name], name


def test_a_second_run_gives_the_same_bytes(finished, tracker, tmp_path):
    plan, _ = finished
    again = make_plan(plan.config, plan.base_dir, tmp_path / "results")
    run_stages(again, tracker)
    assert hashes(again.layout.tracked.root) == hashes(plan.layout.tracked.root)


def test_non_overlap_masks_keeps_objects_together(finished, tmp_path):
    plan, _ = finished
    config = make_config(objects_per_job=1, non_overlap_masks=True)
    together = make_plan(config, plan.base_dir, tmp_path / "results")
    index_videos(together)
    assert [job.object_ids for job in read_jobs(together.layout.tracked.jobs)] == [[1, 2], [1, 2]]


def test_exports_agree_with_the_table(finished):
    plan, _ = finished
    layout = plan.layout.tracked
    document = json.loads(layout.document("youtube_vis").read_text())
    assert [video["name"] for video in document["videos"]] == ["good.mkv", "sub/frames"]
    assert document["videos"][1]["file_names"] == ["sub/frames/1.png", "sub/frames/3.png"]
    assert document["categories"] == [{"id": 1, "name": "block", "supercategory": "object"},
                                      {"id": 2, "name": "object", "supercategory": "object"}]  # fmt: skip
    sa_v = json.loads(layout.export("sa_v", "good.mkv").read_text())
    assert (sa_v["masklet_id"], sa_v["frame_numbers"], len(sa_v["masklet"])) == ([1, 2], [1, 3], 2)
    by_object = {(a["video_id"], a["object_id"]): a for a in document["annotations"]}
    for row in masklets(plan, "good.mkv").itertuples():
        position = [1, 3].index(row.frame)
        mask = coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": row.counts}).astype(bool)
        code = sa_v["masklet"][position][row.object_id - 1]
        assert np.array_equal(coco_mask.decode(code).astype(bool), mask)
        assert by_object[1, row.object_id]["areas"][position] == row.area_px
        assert by_object[1, row.object_id]["segmentations"][position]["counts"] == row.counts.decode()
        picture = np.array(
            PIL.Image.open(layout.export("png", "good.mkv") / f"{row.object_id:03d}/{row.frame:05d}.png")
        )
        assert np.array_equal(picture == 255, mask)
        palette = np.array(PIL.Image.open(layout.export("palette", "good.mkv") / f"{row.frame:05d}.png"))
        assert palette.max() <= 2
        assert row.object_id == 2 or np.array_equal(palette == 1, mask)  # where objects overlap, the lower number wins
    assert (layout.export("png", "sub~frames") / "001/1.png").is_file()


def test_the_palette_is_pascal_vocs():
    # Aeroplane, bicycle and bird, as in VOC2012's own pictures.
    assert voc_palette()[3:12] == [128, 0, 0, 0, 128, 0, 128, 128, 0]
    assert len(voc_palette()) == 768


def mots_lines(path):
    """The lines of a MOTS file as (frame, id, class) and mask, in its order; read as mots_tools and TrackEval do."""
    lines = []
    for line in path.read_text().splitlines():
        frame, number, class_id, height, width, counts = line.split(" ")
        code = {"size": [int(height), int(width)], "counts": counts.encode()}
        lines.append(((int(frame), int(number), int(class_id)), coco_mask.decode(code).astype(bool)))
    return lines


@pytest.mark.parametrize(
    ("ids", "categories", "expected"),
    [
        ([1, 2], ["car", "pedestrian"], [1001, 2002]),
        ([999, 3], ["Person", "Car"], [2999, 1003]),
        ([2, 1000], [None, "block"], [3001, 3002]),  # MOTS has three digits for an object
        ([7000, 0], ["car", "car"], [1002, 1001]),
    ],
)
def test_mots_has_a_line_per_object_and_frame(finished, tmp_path, ids, categories, expected):
    plan, _ = finished
    run = read_run(plan, "good.mkv")
    table = pq.read_table(run.path)
    masks = {1: np.zeros((HEIGHT, WIDTH), bool), 2: np.zeros((HEIGHT, WIDTH), bool)}
    masks[1][4:20, 4:20] = masks[2][10:30, 10:30] = True
    given = dict(zip(ids, categories, strict=True))
    rows = []
    for row in table.to_pylist():  # the run's own masks on frame 1, drawn ones that overlap on frame 3
        counts = row["counts"] if row["frame"] == 1 else rle.encode(masks[row["object_id"]])
        object_id = ids[row["object_id"] - 1]
        rows.append({**row, "object_id": object_id, "category": given[object_id], "counts": counts})
    rows.sort(key=lambda row: (row["object_id"], row["frame"]))
    with pq.ParquetWriter(tmp_path / "made.parquet", table.schema) as writer:
        for object_id in sorted(ids):
            mine = [row for row in rows if row["object_id"] == object_id]
            writer.write_table(pa.Table.from_pylist(mine, table.schema))
    write_mots(replace(run, path=tmp_path / "made.parquet"), tmp_path / "made.txt")
    lines = dict(mots_lines(tmp_path / "made.txt"))
    by_id = dict(zip(ids, expected, strict=True))
    seen = {}
    for row in rows:
        mask = coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": row["counts"]}).astype(bool)
        before = seen.setdefault(row["frame"], np.zeros_like(mask))
        number = by_id[row["object_id"]]
        left = mask & ~before
        if left.any():
            assert np.array_equal(lines.pop((row["frame"], number, number // 1000)), left)
        seen[row["frame"]] = before | mask
    assert not lines
    assert (masks[1] & masks[2]).any()


def test_mots_has_the_masklets_of_the_run(finished):
    plan, _ = finished
    for run in ("good.mkv", "sub~frames"):
        rows = masklets(plan, run)
        lines = mots_lines(plan.layout.tracked.export("mots", run))
        assert [key for key, _ in lines] == sorted(key for key, _ in lines)
        assert {number for (_, number, _), _ in lines} == {3001, 3002}
        union = {frame: np.zeros((HEIGHT, WIDTH), int) for frame in (1, 3)}
        for (frame, _, _), mask in lines:
            union[frame] += mask
        for frame, covered in union.items():
            codes = rows[rows["frame"] == frame]["counts"]
            masks = [coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": code}) for code in codes]
            assert np.array_equal(covered, np.any(masks, axis=0))  # everything, and no pixel twice


def test_a_video_of_too_many_objects_for_mots_is_an_error(finished, tmp_path):
    plan, _ = finished
    run = read_run(plan, "good.mkv")
    table = pq.read_table(run.path).slice(0, 1)
    row = table.to_pylist()[0]
    with pq.ParquetWriter(tmp_path / "many.parquet", table.schema) as writer:
        for object_id in range(1, 1001):
            writer.write_table(pa.Table.from_pylist([{**row, "object_id": object_id}], table.schema))
    with pytest.raises(UserError, match=r"mots numbers at most 999 objects, and good.mkv has 1000"):
        write_mots(replace(run, path=tmp_path / "many.parquet"), tmp_path / "many.txt")
    assert not (tmp_path / "many.txt").exists()


def test_coco_has_an_image_a_frame(finished):
    plan, _ = finished
    coco = COCO(str(plan.layout.tracked.document("coco")))
    videos = {video["id"]: video["name"] for video in coco.dataset["videos"]}
    assert list(videos.values()) == ["good.mkv", "sub/frames"]
    images = coco.loadImgs(coco.getImgIds())
    assert [(videos[image["video_id"]], image["frame_id"], image["frame_number"]) for image in images] == [
        (name, index, number) for name in videos.values() for index, number in ((0, 1), (1, 3))
    ]
    assert images[2]["file_name"] == "sub/frames/1.png"
    names = {category["id"]: category["name"] for category in coco.loadCats(coco.getCatIds())}
    rows = {}
    for run in ("good.mkv", "sub~frames"):
        table = masklets(plan, run)
        seen = table[table["area_px"] > 0]
        rows |= {(row.video_key, row.object_id, row.frame): row for row in seen.itertuples()}
    youtube_vis = json.loads(plan.layout.tracked.document("youtube_vis").read_text())
    tracks = {each["id"]: (each["video_id"], each["object_id"]) for each in youtube_vis["annotations"]}
    found = coco.loadAnns(coco.getAnnIds())
    assert len(found) == len(rows) >= 6
    for each in found:
        image = coco.imgs[each["image_id"]]
        row = rows[videos[each["video_id"]], each["object_id"], image["frame_number"]]
        assert image["video_id"] == each["video_id"]
        expected = coco_mask.decode({"size": [HEIGHT, WIDTH], "counts": row.counts})
        assert np.array_equal(coco.annToMask(each), expected)
        assert (each["area"], each["bbox"]) == (row.area_px, list(row.bbox_xywh))
        assert names[each["category_id"]] == ("object" if pd.isna(row.category) else row.category)
        assert each["track_id"] == each["instance_id"]
        assert tracks[each["track_id"]] == (each["video_id"], each["object_id"])


@pytest.mark.parametrize("form", ["youtube_vis", "coco"])
@pytest.mark.parametrize("frames", [{}, {"start": 1, "stride": 1}])  # frames 1, 2, ... are not those of a file from MOT
def test_exported_documents_can_be_used_as_prompts(finished, tracker, tmp_path, form, frames):
    plan, _ = finished
    if frames:
        plan = make_plan(make_config(exports=[form], **frames), plan.base_dir, tmp_path / "first")
        run_stages(plan, tracker)
    config = make_config(prompts=str(plan.layout.tracked.document(form)), prompt_frames="all", **frames)
    again = make_plan(config, plan.base_dir, tmp_path / "results")
    index_videos(again)
    prompts = pd.read_parquet(again.layout.tracked.prompts)
    rows = masklets(plan, "good.mkv")
    seen = rows[rows["area_px"] > 0].sort_values(["object_id", "frame"])
    mine = prompts[prompts["video_key"] == "good.mkv"]
    assert set(prompts["status"]) == {"ok"}
    assert list(zip(mine["frame"], mine["mask_counts"], strict=True)) == list(
        zip(seen["frame"], seen["counts"], strict=True)
    )


def test_the_page_has_no_serious_fault(finished):
    plan, _ = finished
    find_browser()
    with chromium.tab() as tab:
        assert faults(tab, plan.layout.tracked.page) == []


def test_overlays_show_the_video(finished):
    plan, _ = finished
    with PIL.Image.open(plan.layout.tracked.export("overlay", "good.mkv")) as picture:
        assert (picture.format, picture.n_frames, picture.size) == ("WEBP", 2, (WIDTH, HEIGHT))
    with PIL.Image.open(plan.layout.tracked.sheet("good.mkv")) as picture:
        assert np.asarray(picture).std() > 10
    page = plan.layout.tracked.page.read_text()
    assert "overlay/sub~frames.webp" in page
    assert "truncated" in page


def test_a_finished_job_is_not_run_again(finished, tracker):
    plan, _ = finished
    part = plan.layout.tracked.part("good.mkv", "0000")
    before = part.stat().st_ino
    track_job(plan, "good.mkv", "0000", partial(pytest.fail, "the network was loaded"))
    assert part.stat().st_ino == before
    assert "tracking  clips; prompts.jsonl; 2 of 2 jobs done" in plan_text(plan)


def test_a_video_deleted_since_the_index_gets_a_status(finished, tracker, tmp_path):
    plan, _ = finished
    moved = make_plan(plan.config, plan.base_dir, tmp_path / "results")
    index_videos(moved)
    hidden = (plan.base_dir / "clips/good.mkv").rename(plan.base_dir / "clips/away")
    try:
        track_job(moved, "good.mkv", "0000", lambda *_: tracker)
    finally:
        hidden.rename(plan.base_dir / "clips/good.mkv")
    join_masklets(moved, "good.mkv")
    assert read_run(moved, "good.mkv").origin["status"] == "missing"
    assert len(masklets(moved, "good.mkv")) == 0
    track_job(moved, "sub~frames", "0000", lambda *_: tracker)
    join_masklets(moved, "sub~frames")
    merge_tracked(moved)
    summary = pd.read_parquet(moved.layout.tracked.summary).set_index("video_key")
    assert summary.loc["good.mkv", "status"] == "missing"
    objects = pd.read_parquet(moved.layout.tracked.objects).set_index(["video_key", "object_id"])
    assert objects.loc[("good.mkv", 1), "status"] == "missing"


def test_sources_without_usable_videos_or_prompts_are_errors(finished, tmp_path):
    plan, _ = finished
    (tmp_path / "p.jsonl").write_text('{"video": "x", "frame": 1, "box_xyxy": [1, 1, 5, 5]}')
    config = make_config(prompts=str(tmp_path / "p.jsonl"))
    with pytest.raises(UserError, match=r"none of the 1 prompts .* for instance 'good.mkv'"):
        index_videos(make_plan(config, plan.base_dir, tmp_path / "results"))
    config = make_config(source="clips/empty.*")
    with pytest.raises(UserError, match="none of the 1 videos"):
        index_videos(make_plan(config, plan.base_dir, tmp_path / "results"))
    with pytest.raises(UserError, match="there is no job for 'x'"):
        track_job(plan, "x")
    assert len(read_videos(plan.layout.tracked.files)) == len(STATUSES)


def problems(plan):
    return [(one.kind, one.path.relative_to(plan.layout.tracked.root).as_posix()) for one in verify(plan)]


def test_verify_finds_no_problem_in_a_finished_run(finished):
    assert problems(finished[0]) == []


@pytest.mark.parametrize(
    ("path", "damage", "expected"),
    [
        ("videos.parquet", "remove", [("missing", "videos.parquet")]),
        ("jobs.parquet", "cut", [("truncated", "jobs.parquet")]),
        ("parts/good.mkv/0000.parquet", "cut", [("truncated", "parts/good.mkv/0000.parquet")]),
        ("masklets/good.mkv.parquet", "remove", [("missing", "masklets/good.mkv.parquet")]),
        ("masklets/good.mkv.parquet", "swap", [("stale", "masklets/good.mkv.parquet")]),
        ("overlay/good.mkv.webp", "cut", [("truncated", "overlay/good.mkv.webp")]),
        ("overlay/good.mkv.jpg", "cut", [("truncated", "overlay/good.mkv.jpg")]),
        ("overlay_mp4/good.mkv.mp4", "cut", [("truncated", "overlay_mp4/good.mkv.mp4")]),
        ("overlay_mp4/good.mkv.mp4", "remove", [("missing", "overlay_mp4/good.mkv.mp4")]),
        ("player.html", "cut", [("truncated", "player.html")]),
        ("player/good.mkv", "remove", [("missing", "player/good.mkv")]),
        ("player/good.mkv/frames-00000.js", "remove", [("missing", "player/good.mkv/frames-00000.js")]),
        ("sa_v/good.mkv.json", "cut", [("truncated", "sa_v/good.mkv.json")]),
        ("mots/good.mkv.txt", "cut", [("truncated", "mots/good.mkv.txt")]),
        ("mots/good.mkv.txt", "remove", [("missing", "mots/good.mkv.txt")]),
        ("png/good.mkv", "remove", [("missing", "png/good.mkv")]),
        ("youtube_vis.json", "cut", [("truncated", "youtube_vis.json")]),
        ("coco.json", "cut", [("truncated", "coco.json")]),
        ("coco.json", "remove", [("missing", "coco.json")]),
        ("index.html", "cut", [("truncated", "index.html")]),
        ("provenance.json", "cut", [("truncated", "provenance.json")]),
        ("summary.parquet", "remove", [("missing", "summary.parquet")]),
        ("parts/old.mp4/0000.parquet", "add", [("unneeded", "parts/old.mp4/0000.parquet")]),
    ],
)
def test_verify_names_problems(finished, tmp_path, path, damage, expected):
    plan, _ = finished
    shutil.copytree(plan.layout.root, tmp_path / "results")
    plan = make_plan(plan.config, plan.base_dir, tmp_path / "results")
    target = plan.layout.tracked.root / path
    if damage == "remove":
        shutil.rmtree(target) if target.is_dir() else target.unlink()
    elif damage == "cut":
        target.write_bytes(target.read_bytes()[:-5])
    else:
        target.parent.mkdir(exist_ok=True)
        shutil.copy(plan.layout.tracked.masklets("sub~frames"), target)
    found = problems(plan)
    if damage == "swap":  # files made from it are then stale too
        found = [one for one in found if one[1].startswith("masklets")]
    assert found == expected


@pytest.mark.parametrize(
    ("changes", "stale"),
    [
        ({"fill_hole_area": 5}, "parts/good.mkv/0000.parquet"),
        ({"objects_per_batch": 5}, "parts/good.mkv/0000.parquet"),
        ({"objects_per_batch": 1}, None),
        ({"memory": "samurai"}, "parts/good.mkv/0000.parquet"),
        ({"memory": "sam2", "memory_stable_frames": 3}, None),
        ({"stride": 1}, "parts/good.mkv/0000.parquet"),
        ({"offload_state_to_cpu": True}, None),
        ({"exports": ["youtube_vis"]}, None),
    ],
)
def test_results_are_stale_after_changes_that_affect_masks(finished, changes, stale):
    plan, _ = finished
    found = problems(make_plan(make_config(**changes), plan.base_dir, plan.layout.root))
    assert [one for one in found if one[1] == stale] == ([("stale", stale)] if stale else [])
    assert bool(found) == bool(stale)


AUTOMATIC = {
    "generator": {"points_per_side": 4, "pred_iou_thresh": 0.3, "stability_score_thresh": 0.3},
    "tracking": {
        "source": "clips/sub/*",
        "automatic": {"generate_every": 2},
        "sweep": {
            "grid": {"generate_every": [2, 3]},
            "points": [
                {"name": "few", "max_objects": 1},
                {"name": "back", "follow_back": 2},
                {"name": "same", "max_objects": None},
            ],
        },
        "exports": ["youtube_vis", "sa_v"],
    },
}


def test_automatic_objects_pass_all_stages_for_every_setting(finished, tracker, tmp_path):
    plan, _ = finished
    plan = make_plan(Config.model_validate(AUTOMATIC), plan.base_dir, tmp_path / "results")
    index_videos(plan)
    names = [setting.label for setting in plan.track_settings]
    # The grid's point with the baseline's values is the baseline.
    assert names[:1] + names[2:] == ["baseline", "few", "back", "same"]
    runs = [job.run for job in read_jobs(plan.layout.tracked.jobs)]
    assert sorted(runs) == sorted("frames" if name == "baseline" else f"frames@{name}" for name in names)
    for run in runs:
        track_job(plan, run, load=lambda *_: tracker)
        join_masklets(plan, run)
        export_run(plan, run, "sa_v")
    merge_tracked(plan)
    settings = pd.read_parquet(plan.layout.tracked.settings).set_index("setting")
    assert list(settings.index) == names
    assert json.loads(settings.loc["few", "parameters"])["max_objects"] == 1
    every = [json.loads(settings.loc[name, "parameters"])["generate_every"] for name in names]
    assert every == [2, 3, 2, 2, 2]
    # A setting with the same values under another name has the same masks.
    same = masklets(plan, "frames"), masklets(plan, "frames@same")
    pd.testing.assert_frame_equal(*same)
    assert json.loads(settings.loc["back", "parameters"])["follow_back"] == 2
    assert "follow_back" not in json.loads(settings.loc["baseline", "parameters"])
    assert len(masklets(plan, "frames@back")) >= len(masklets(plan, "frames"))
    assert masklets(plan, "frames@few").groupby("frame")["object_id"].nunique().max() == 1
    objects = pd.read_parquet(plan.layout.tracked.objects)
    seen = objects[(objects["setting"] == "baseline") & (objects["status"] == "ok")]
    assert settings.loc["baseline", "n_masklets"] == len(seen) > 0
    assert settings.loc["baseline", "mean_length"] == seen["n_visible"].mean()
    document = json.loads(plan.layout.tracked.document("youtube_vis").read_text())
    assert len(document["annotations"]) == len(seen)
    assert set(json.loads(plan.layout.tracked.export("sa_v", "frames").read_text())["masklet_type"]) == {"auto"}
    assert f"frames, {names[1]}" in plan.layout.tracked.page.read_text()
    assert verify(plan) == []
    # Another of the grid's points becomes the baseline, or points come and go: the jobs are of other settings.
    for changes in ({"automatic": {"generate_every": 3}}, {"sweep": {"grid": {"generate_every": [2, 4]}}}):
        changed = {**AUTOMATIC, "tracking": {**AUTOMATIC["tracking"], **changes}}
        other = make_plan(Config.model_validate(changed), plan.base_dir, plan.layout.root)
        assert [(one.kind, one.path.name) for one in verify(other)] == [("stale", "jobs.parquet")]
        assert "the sweep has other settings now" in forecast.line(other)
    # What a setting that is gone has found is kept, and no failure.
    fewer = {**AUTOMATIC["tracking"], "sweep": {"points": AUTOMATIC["tracking"]["sweep"]["points"]}}
    plan = make_plan(Config.model_validate({**AUTOMATIC, "tracking": fewer}), plan.base_dir, plan.layout.root)
    index_videos(plan)
    merge_tracked(plan)
    gone = f"frames@{names[1]}"
    assert problems(plan) == [("unneeded", f"parts/{gone}/0000.parquet"), ("unneeded", f"masklets/{gone}.parquet")]


def small_run(folder, tracker, prompts, **tracking):
    """Run all stages over clips/a, a folder of frames."""
    (folder / "p.jsonl").write_text("\n".join(map(json.dumps, prompts)))
    config = {"tracking": {"source": "clips", "prompts": "p.jsonl", "exports": ["png", "palette"], **tracking}}
    plan = make_plan(Config.model_validate(config), folder, folder / "results")
    run_stages(plan, tracker)
    return plan


def test_frames_that_differ_by_suffix_alone_have_pictures_of_their_own(tracker, tmp_path):
    clip = drawn(n_frames=4)
    write_frames(tmp_path / "clips" / "a", clip.frames[:2], ".png")
    for number in range(2):
        PIL.Image.fromarray(clip.frames[2 + number]).save(tmp_path / "clips/a" / f"{number}.bmp")
    prompt = {"video": "a", "frame": 0, "object_id": 1, "point_coords": with_points(clip.masks[0, 0])}
    plan = small_run(tmp_path, tracker, [prompt])
    names = ["0.bmp.png", "0.png.png", "1.bmp.png", "1.png.png"]
    assert sorted(path.name for path in (plan.layout.tracked.export("png", "a") / "001").iterdir()) == names
    assert sorted(path.name for path in plan.layout.tracked.export("palette", "a").iterdir()) == names


def test_numbers_in_palettes_do_not_depend_on_refused_objects(tracker, tmp_path):
    clip = drawn(n_frames=2)
    write_frames(tmp_path / "clips" / "a", clip.frames)
    rows = [
        {"video": "a", "frame": 0, "object_id": number, "point_coords": with_points(clip.masks[0, index])}
        for index, number in ((0, 3), (0, 5), (1, 8))
    ]
    values, digests = [], []
    for changes in ({}, {"point_coords": [[999, 999]]}):
        plan = small_run(tmp_path, tracker, [rows[0], {**rows[1], **changes}, rows[2]])
        run = read_run(plan, "a")
        masks = masklets(plan, "a")
        row = masks[(masks["object_id"] == 8) & (masks["frame"] == 0)].iloc[0]
        mask = coco_mask.decode({"size": list(run.video.size_hw), "counts": row["counts"]}).astype(bool)
        plane = np.array(PIL.Image.open(plan.layout.tracked.export("palette", "a") / "0.png"))
        values.append(np.bincount(plane[mask]).argmax())
        digests.append(read_jobs(plan.layout.tracked.jobs)[0].digest)
    assert values == [3, 3]
    # One more refused object moves numbers, so pictures must be made again although no mask changes.
    refused = [{**rows[1], "point_coords": [[999, 999]]}, {**rows[1], "object_id": 1, "frame": 9}]
    small_run(tmp_path, tracker, [rows[0], rows[2], *refused])
    assert read_jobs(plan.layout.tracked.jobs)[0].digest not in digests


@pytest.mark.parametrize(
    ("direction", "frames", "expected"),
    [
        ("backward", (0,), {1: "direction: backward follows nobody from frame 0"}),
        ("backward", (0, 1), {1: "backward follows nobody from frame 0", 2: "backward follows nobody from frame 0"}),
        ("backward", (1, 2), {}),
        ("forward", (0, 1), {}),
    ],
)
def test_an_object_that_is_not_followed_says_why(tracker, tmp_path, direction, frames, expected):
    clip = drawn(n_frames=3)
    write_frames(tmp_path / "clips" / "a", clip.frames)
    rows = [
        {"video": "a", "frame": frame, "object_id": index + 1, "point_coords": with_points(clip.masks[frame, index])}
        for index, frame in enumerate(frames)
    ]
    plan = small_run(tmp_path, tracker, rows, direction=direction)
    objects = pd.read_parquet(plan.layout.tracked.objects).set_index("object_id")
    lost = objects[objects["status"] == "not_tracked"]["message"].to_dict()
    assert lost.keys() == expected.keys()
    assert all(words in lost[number] for number, words in expected.items())
    summary = pd.read_parquet(plan.layout.tracked.summary).iloc[0]
    if frames[0] == 0 and direction == "backward":
        assert summary["status"] == "no_masklets"


def test_a_mirrored_video_is_tracked_anew_and_others_are_not(tmp_path):
    write_frames(tmp_path / "clips" / "a", drawn(n_frames=2).frames)
    config = Config.model_validate({"tracking": {"source": "clips"}})
    plan = make_plan(config, tmp_path, tmp_path / "results")
    index_videos(plan)
    (video,) = read_videos(plan.layout.tracked.files)

    def digest(rotation_deg):
        (job,) = make_jobs(plan, [replace(video, rotation_deg=rotation_deg)], [])
        return job.digest

    assert digest(None) == digest(0) == digest(90) == digest(180) == digest(270)
    assert len({digest(turn) for turn in (0, 3, 360, 540, 450, 630)}) == 6
