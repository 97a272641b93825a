"""True objects in every form that people have them in, good and bad; and masklets measured against them."""

import json
import shutil
import unicodedata
from dataclasses import replace

import numpy as np
import PIL.Image
import pyarrow as pa
import pytest
from made_masklets import disc, moving
from made_videos import write_frames

from maskgrid.config.files import parse_config
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_origin, read_table, write_batches
from maskgrid.masks import rle
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.accuracy.evaluate import evaluate_run
from maskgrid.tracked.accuracy.merge import accuracies
from maskgrid.tracked.accuracy.page import accuracy_sections
from maskgrid.tracked.accuracy.true_folders import folder_videos
from maskgrid.tracked.accuracy.truth import true_objects_origin, truth_state, write_true_objects
from maskgrid.tracked.exports.coco_frames import write_coco_frames
from maskgrid.tracked.exports.documents import write_sa_v, write_youtube_vis
from maskgrid.tracked.exports.stage import write_object_pictures, write_palette_pictures
from maskgrid.tracked.masklets import read_run
from maskgrid.tracked.tables import MASKLETS
from maskgrid.tracked.videos.index import Video
from maskgrid.tracked.videos.stage import write_videos

SIZE_HW = (60, 80)
N_FRAMES = 6
# Two objects that never overlap; the second is out of sight on frames 2 and 3.
TRUTH = moving(N_FRAMES, lambda t: (15, 15 + 3 * t, 8), lambda t: None if t in (2, 3) else (42, 60 - 2 * t, 9))
BASE = {"model": {"checkpoint": "demo"}}


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """A folder of two folders of frames, whose index is made once."""
    folder = tmp_path_factory.mktemp("videos")
    for name in ("a", "b"):
        write_frames(folder / "clips" / name, [np.full((*SIZE_HW, 3), 10 * t, np.uint8) for t in range(N_FRAMES)])
    write_videos(plan_of(folder, None))
    return folder


def plan_of(folder, truth, **tracking):
    given = {} if truth is None else {"ground_truth": str(truth)}
    config = parse_config({**BASE, "tracking": {"source": "clips", **given, **tracking}}, "c.yaml")
    return make_plan(config, folder, folder / "results")


def rle_of(mask):
    return rle.compressed(rle.encode(np.ascontiguousarray(mask)), SIZE_HW)


def labels(frame, void=None):
    picture = np.zeros(SIZE_HW, np.uint8)
    for number, mask in enumerate(TRUTH[frame], start=1):
        picture[mask] = number
    if void is not None:
        picture[void] = 255
    return picture


def save(path, picture, with_palette=True):
    path.parent.mkdir(parents=True, exist_ok=True)
    image = PIL.Image.fromarray(picture)
    if with_palette:
        image.putpalette([*range(256)] * 3)
    image.save(path)


def palettes(folder, frames=range(N_FRAMES), video="a"):
    for t in frames:
        save(folder / "480p" / video / f"{t}.png", labels(t))
    return folder


def object_pictures(folder):
    for t in range(0, N_FRAMES, 2):
        for number in (0, 1):
            save(folder / "a" / f"{number:03}" / f"{t}.png", TRUTH[t, number].astype(np.uint8), with_palette=False)
    return folder


def sa_v(folder, frames=range(N_FRAMES), n_frames=N_FRAMES, **more):
    folder.mkdir(parents=True)
    masklet = [[rle_of(TRUTH[t, number]) for number in (0, 1)] for t in frames]
    head = {"video_id": "a", "video_frame_count": n_frames, "masklet_id": [7, 8], **more}
    (folder / "a_manual.json").write_text(json.dumps({**head, "masklet": masklet}))
    return folder


def youtube_vis(folder, names=None, change=lambda content: None):
    segmentations = [[rle_of(m) if m.any() else None for m in TRUTH[:, number]] for number in (0, 1)]
    names = names or [f"a/{t}.jpg" for t in range(N_FRAMES)]
    content = {
        "videos": [{"id": 1, "width": SIZE_HW[1], "height": SIZE_HW[0], "length": N_FRAMES, "file_names": names}],
        "annotations": [
            {"id": 5 + n, "video_id": 1, "category_id": 1, "segmentations": part}
            for n, part in enumerate(segmentations)
        ],
        "categories": [{"id": 1, "name": "disc"}],
    }
    change(content)
    folder.mkdir(parents=True)
    (folder / "truth.json").write_text(json.dumps(content))
    return folder / "truth.json"


def coco(folder, change=lambda content: None):
    size = {"width": SIZE_HW[1], "height": SIZE_HW[0]}
    content = {
        "videos": [{"id": 1, "name": "a", **size}],
        "images": [{"id": t, "video_id": 1, "file_name": f"a/{t}.png", "frame_id": t, **size} for t in range(N_FRAMES)],
        "annotations": [
            {"id": 10 * t + n, "image_id": t, "track_id": n, "segmentation": rle_of(TRUTH[t, n])}
            for t in range(N_FRAMES)
            for n in (0, 1)
            if TRUTH[t, n].any()
        ],
        "categories": [],
    }
    change(content)
    folder.mkdir(parents=True)
    (folder / "truth.json").write_text(json.dumps(content))
    return folder / "truth.json"


def read(folder, truth, **tracking):
    plan = plan_of(folder, truth, **tracking)
    write_true_objects(plan)
    layout = plan.layout.tracked
    videos = {row["video_key"]: row for row in read_table(layout.ground_truth("videos")).to_pylist()}
    return videos, read_table(layout.ground_truth("masks")).to_pylist()


def single(folder):
    for t in range(N_FRAMES):
        save(folder / "a" / f"{t}.png", labels(t))
    return folder / "a"


FORMS = {
    "DAVIS palettes": (palettes, ("1", "2"), range(N_FRAMES)),
    "the folder of one video": (single, ("1", "2"), range(N_FRAMES)),
    "SA-V pictures, sparse": (object_pictures, ("000", "001"), range(0, N_FRAMES, 2)),
    "SA-V JSON, all frames": (sa_v, ("7", "8"), range(N_FRAMES)),
    "SA-V JSON, every 4th frame": (lambda folder: sa_v(folder, (0, 4)), ("7", "8"), (0, 4)),
    "SA-V JSON, own frame numbers": (
        lambda folder: sa_v(folder, (1, 3), 2, frame_numbers=[1, 3]),
        ("7", "8"),
        (1, 3),
    ),
    "YouTube-VIS": (youtube_vis, ("5", "6"), range(N_FRAMES)),
    "COCO-video": (coco, ("0", "1"), range(N_FRAMES)),
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_gives_the_same_masks(clips, tmp_path, form):
    write, ids, frames = FORMS[form]
    videos, rows = read(clips, write(tmp_path / "truth"))
    assert {key: row["status"] for key, row in videos.items()} == {"a": "ok", "b": "no_truth"}
    assert (videos["a"]["n_objects"], videos["a"]["n_frames"], videos["a"]["n_unusable"]) == (2, len(frames), 0)
    expected = [(t, truth_id) for t in frames for truth_id in ids]
    assert [(row["frame"], row["truth_id"]) for row in rows] == expected
    for row in rows:
        mask = TRUTH[row["frame"], ids.index(row["truth_id"])]
        assert np.array_equal(rle.decode(row["counts"], SIZE_HW), mask)
        assert row["area_px"] == mask.sum()


def bad_palettes(folder):
    palettes(folder)
    pictures = folder / "480p" / "a"
    (pictures / "0.png").write_bytes(b"no picture")
    save(pictures / "1.png", np.zeros((10, 10), np.uint8))
    PIL.Image.fromarray(np.zeros((*SIZE_HW, 3), np.uint8)).save(pictures / "2.png")
    save(pictures / "99.png", labels(0))
    return folder


def frame_with_two_pictures(folder):
    palettes(folder)
    save(folder / "480p/a/1.PNG", labels(2))
    return folder


def broken_code(content):
    content["annotations"][0]["segmentations"][1]["counts"] = "!!"


def other_size(content):
    content["videos"][0] |= {"width": 8, "height": 6}


def box_alone(content):
    content["annotations"][0]["segmentations"][1] = None
    content["annotations"][0]["bboxes"] = [None, [1, 1, 5, 5]]


def twice(content):
    content["annotations"].append({**content["annotations"][0], "id": 99})


def of_small_images(content):
    for image in content["images"][1:3]:
        image |= {"width": SIZE_HW[1] // 2, "height": SIZE_HW[0] // 2}


def of_no_image(content):
    content["annotations"].append({"id": 900, "image_id": 77, "track_id": 0, "segmentation": [[1, 1, 9, 1, 9, 9]]})


def ids_as_pandas_writes_them(content):
    for image in content["images"]:
        image |= {"id": float(image["id"]), "video_id": 1.0}


def seen_nowhere_by_empty_masks(content):
    nothing = rle_of(np.zeros(SIZE_HW, bool))
    content["annotations"] += [
        {"id": 900 + t, "image_id": t, "track_id": 1, "segmentation": nothing, "bbox": [0, 0, 0, 0]} for t in (2, 3)
    ]


@pytest.mark.parametrize("change", [ids_as_pandas_writes_them, seen_nowhere_by_empty_masks])
def test_coco_is_the_same_however_tools_write_it(clips, tmp_path, change):
    assert read(clips, coco(tmp_path / "other", change)) == read(clips, coco(tmp_path / "truth"))


def test_annotations_without_their_image_are_a_row(clips, tmp_path):
    videos, _ = read(clips, coco(tmp_path / "truth", of_no_image))
    assert videos["video None"]["message"] == "the file lists no image and no video of some annotations"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("write", [palettes, sa_v], ids=["pictures", "json"])
def test_names_of_videos_are_found_in_both_forms_of_unicode(tmp_path, form, write):
    other = {"NFC": "NFD", "NFD": "NFC"}[form]
    write_frames(
        tmp_path / "clips" / unicodedata.normalize(form, "bär"), [np.zeros((*SIZE_HW, 3), np.uint8)] * N_FRAMES
    )
    write_videos(plan_of(tmp_path, None))
    name = unicodedata.normalize(other, "bär")
    where = tmp_path / "truth"
    truth = palettes(where, video=name) if write is palettes else sa_v(where, video_id=name)
    videos, _ = read(tmp_path, truth)
    assert [row["status"] for row in videos.values()] == ["ok"]


@pytest.mark.parametrize(
    ("write", "statuses"),
    [
        # Two objects on one of the small images, one of them on the other.
        (lambda folder: coco(folder, change=of_small_images), {"other_size": 3}),
        (bad_palettes, {"bad_picture": 2, "other_size": 1, "missing_frame": 1}),
        (lambda folder: youtube_vis(folder, change=broken_code), {"malformed_mask": 1}),
        (lambda folder: youtube_vis(folder, change=box_alone), {"no_mask": 1}),
        (lambda folder: coco(folder, change=twice), {"duplicate": 2}),
        (frame_with_two_pictures, {"duplicate": 1}),
        (lambda folder: youtube_vis(folder, [f"a/{t + 1}.jpg" for t in range(N_FRAMES)]), {"missing_frame": 3}),
    ],
)
def test_what_cannot_be_used_is_a_row_with_a_reason(clips, tmp_path, write, statuses):
    videos, rows = read(clips, write(tmp_path / "truth"))
    found = [row["status"] for row in rows if row["status"] != "ok"]
    assert {status: found.count(status) for status in found} == statuses
    assert videos["a"]["n_unusable"] == len(found)
    assert all(row["message"] for row in rows if row["status"] != "ok")


def test_a_frame_with_two_pictures_measures_nobody(clips, tmp_path):
    _, rows = read(clips, frame_with_two_pictures(tmp_path / "truth"))
    (bad,) = [row for row in rows if row["status"] != "ok"]
    assert (bad["frame"], bad["truth_id"]) == (1, None)
    assert bad["message"] == "1.PNG and 1.png are both of frame 1"


def named_otherwise(folder):
    return palettes(palettes(folder), video="elsewhere")


def in_two_folders(folder):
    single(palettes(folder))
    return folder


@pytest.mark.parametrize(
    ("write", "key", "status"),
    [
        (named_otherwise, "480p/elsewhere", "unknown_video"),
        (in_two_folders, "a (again)", "duplicate"),
    ],
)
def test_a_video_that_cannot_be_used_is_a_row_with_a_reason(clips, tmp_path, write, key, status):
    videos, _ = read(clips, write(tmp_path / "truth"))
    assert videos[key]["status"] == status
    assert videos["a"]["status"] == "ok"


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (
            lambda folder: youtube_vis(folder, change=other_size),
            "made for frames of 8 x 6 pixels, but the video has 80 x 60",
        ),
        (lambda folder: palettes(folder, video="x"), "the source has no video '480p/x'"),
        (lambda folder: sa_v(folder, range(5), 9), "5 annotated frames are neither all of 9 nor every 4th"),
        (lambda folder: folder, "there is no file or folder"),
        (lambda folder: save(folder / "a.jpg", labels(0), False) or folder, "there are no .png pictures and no .json"),
        (lambda folder: save(folder / "a.png", labels(0)) or folder / "a.png", "is neither a folder nor a .json file"),
    ],
)
def test_ground_truth_without_anything_to_use_is_an_error(clips, tmp_path, write, words):
    with pytest.raises(UserError, match=words) as error:
        read(clips, write(tmp_path / "truth"))
    assert str(error.value).startswith("tracking.ground_truth: ")


@pytest.mark.parametrize("write", [palettes, object_pictures], ids=["of all", "of one"])
@pytest.mark.parametrize(
    ("numbers", "stop", "expected"),
    [
        ([0, 2, 4], None, [0, 2, 4]),
        ([1, 3, 6], None, [0, 2, 5]),  # there is no frame 6, so they count from 1
        ([1, 3, 5], None, [1, 3, 5]),
        ([0, 3, 6], None, [0, 3]),
        ([1, 3, 6], 6, [1, 3]),  # frame 6 may be there, after the stop
    ],
)
def test_pictures_of_a_video_file_may_count_from_1(tmp_path, write, numbers, stop, expected):
    write(tmp_path / "made")
    for source in (tmp_path / "made").rglob("0.png"):
        folder = tmp_path / "truth" / source.parent.relative_to(tmp_path / "made")
        folder.mkdir(parents=True)
        for number in numbers:
            shutil.copy(source, folder / f"frame_{number:04}.png")
    video = Video("a.mp4", "a.mp4", b"a.mp4", "", "file", width=SIZE_HW[1], height=SIZE_HW[0], n_frames=N_FRAMES)
    (found,) = folder_videos(tmp_path / "truth", {"a"}, stop)
    masks = [mask for mask in found.read(video) if mask.status == "ok"]
    assert sorted({mask.frame for mask in masks}) == expected


def test_an_object_may_be_named_like_another_video(clips, tmp_path):
    for t in range(N_FRAMES):
        save(tmp_path / "truth/a/b" / f"{t}.png", TRUTH[t, 0].astype(np.uint8), with_palette=False)
    videos, rows = read(clips, tmp_path / "truth")
    assert (videos["a"]["status"], videos["b"]["status"]) == ("ok", "no_truth")
    assert {row["truth_id"] for row in rows} == {"b"}


def test_frames_after_stop_are_no_mistake(clips, tmp_path):
    folder = tmp_path / "run"
    (folder / "clips").parent.mkdir()
    (folder / "clips").symlink_to(clips / "clips")
    plan = plan_of(folder, palettes(tmp_path / "truth"), stop=3)
    write_videos(plan)
    videos, _ = read(folder, tmp_path / "truth", stop=3)
    assert (videos["a"]["n_frames"], videos["a"]["n_unusable"]) == (3, 0)


def test_state_and_origin_follow_the_content(clips, tmp_path):
    plan = plan_of(clips, palettes(tmp_path / "truth"))
    before = truth_state(plan), true_objects_origin(plan)["fingerprint"]
    save(tmp_path / "truth/480p/a/0.png", labels(1))
    after = truth_state(plan), true_objects_origin(plan)["fingerprint"]
    assert not {*before} & {*after}


def masklets(plan, planes, run="a", ids=None):
    """Write a run's masklets; planes (T, N, H, W); ids of the objects, ours and the prompts'."""
    ids = ids or [(number + 1, str(number + 1)) for number in range(planes.shape[1])]
    rows = [
        {
            "video_key": run,
            "object_id": ids[number][0],
            "source_id": ids[number][1],
            "frame": t,
            "is_prompted": False,
            "object_score_logit": 1.0,
            "area_px": int(planes[t, number].sum()),
            "counts": rle.encode(np.ascontiguousarray(planes[t, number])),
        }
        for number in range(planes.shape[1])
        for t in range(len(planes))
    ]
    n_frames = len(planes)
    tables = (pa.Table.from_pylist(rows[n : n + n_frames], MASKLETS) for n in range(0, len(rows), n_frames))
    write_batches(plan.layout.tracked.masklets(run), MASKLETS, tables, {"fingerprint": run})


def measured(plan, *runs):
    write_true_objects(plan)
    for run in runs:
        evaluate_run(plan, run)
    return accuracies(plan, [read_run(plan, run) for run in runs], {"baseline": None})


def test_masklets_are_measured_and_summarized(clips, tmp_path):
    truth = palettes(palettes(tmp_path / "truth"), (0, 2, 4), "b")
    plan = plan_of(clips, truth)
    masklets(plan, TRUTH[:, ::-1])
    masklets(plan, np.concatenate([TRUTH[:, :1], moving(N_FRAMES, lambda t: (30, 70, 4))], axis=1), "b")
    found = measured(plan, "a", "b")
    assert [(row["video_key"], row["truth_id"], row["object_id"], row["n_frames"]) for row in found.objects] == [
        ("a", "1", 2, 6),
        ("a", "2", 1, 6),
        ("b", "1", 1, 3),
        ("b", "2", None, 3),
    ]
    # The object that was not found is out of sight on one frame of three, but the masklet left to it is not.
    assert [row["j_and_f"] for row in found.objects] == [1, 1, 1, 0]
    assert found.objects[3]["status"] == "no_masklet"
    assert [(row["n_frames"], row["n_matched"], row["n_masklets"]) for row in found.videos] == [(6, 2, 2), (3, 1, 2)]
    (setting,) = found.settings
    assert (setting["n_videos"], setting["n_truth"], setting["j_and_f"]) == (2, 4, 0.75)
    # Of 10 + 5 true masks 13 are found, and 3 masks are extra.
    assert setting["det_a"] == pytest.approx(13 / 18)
    assert setting["idf1"] == pytest.approx(26 / 31)
    html = "".join(map(str, accuracy_sections(found)))
    assert html.index("Objects, worst first") < html.index("<td>b</td>")
    assert "0.750" in html


@pytest.mark.parametrize(
    ("tracking", "expected"),
    [
        # The masklets have the other object's number.
        ({}, [(2, 6, 1.0), (1, 6, 1.0)]),
        ({"skip_first_and_last": True}, [(2, 4, 1.0), (1, 4, 1.0)]),
        ({"prompts": "p.csv"}, [(None, 4, 0.0), (None, 4, 0.0)]),
        ({"prompts": "p.csv", "skip_first_and_last": False}, [(None, 6, 0.0), (None, 6, 0.0)]),
        ({"prompts": "p.csv", "match_truth_by": "masks"}, [(2, 4, 1.0), (1, 4, 1.0)]),
        ({"stride": 2}, [(2, 3, 1.0), (1, 3, 1.0)]),
    ],
)
def test_keys_say_which_masklet_and_which_frames(clips, tmp_path, tracking, expected):
    plan = plan_of(clips, palettes(tmp_path / "truth"), **tracking)
    masklets(plan, TRUTH[:, ::-1])
    found = measured(plan, "a")
    assert [(row["object_id"], row["n_frames"], row["j"]) for row in found.objects] == expected


@pytest.mark.parametrize("ids", [("1", "2"), ("001", "002"), ("1.0", "2.0")])
def test_ids_are_the_same_however_they_are_written(clips, tmp_path, ids):
    def renumber(content):
        for annotation, one in zip(content["annotations"], ids, strict=True):
            annotation["id"] = one

    plan = plan_of(clips, youtube_vis(tmp_path / "truth", change=renumber), prompts="p.csv")
    masklets(plan, TRUTH)
    assert [row["object_id"] for row in measured(plan, "a").objects] == [1, 2]


# The objects' numbers, and what the prompts called them.
IDS = {"whole": [(4, "4"), (7, "7.0")], "names": [(1, "dog"), (2, "cat")], "both": [(1, "dog"), (2, "2")]}
EXPORTS = {
    "youtube_vis": lambda path, run: write_youtube_vis(path, [other_run(run), run], [], {}),
    "coco": lambda path, run: write_coco_frames(path, [other_run(run), run], [], {}),
    "sa_v": lambda path, run: write_sa_v(path, run, "manual"),
    "png": lambda path, run: write_object_pictures(run, path.with_suffix("") / "a"),
}


def other_run(run):
    """The same masklets of another video, so that numbers over all videos are not the objects'."""
    return replace(run, name="b", video=replace(run.video, video_key="b", video_name="b"))


@pytest.mark.parametrize("ids", IDS)
@pytest.mark.parametrize("form", EXPORTS)
def test_a_run_measured_against_its_own_export_is_right_everywhere(clips, tmp_path, form, ids):
    path = tmp_path / "truth.json"
    path.with_suffix("").mkdir()
    plan = plan_of(clips, path.with_suffix("") if form == "png" else path, prompts="p.csv", skip_first_and_last=False)
    masklets(plan, TRUTH, ids=IDS[ids])
    EXPORTS[form](path, read_run(plan, "a"))
    found = measured(plan, "a")
    assert sorted((row["object_id"], row["n_frames"], row["j_and_f"]) for row in found.objects) == [
        (number, N_FRAMES, 1) for number in sorted(number for number, _ in IDS[ids])
    ]


# The second object is out of sight on a third of the frames, where it is right to have no mask.
@pytest.mark.parametrize(("matching", "j_and_f", "warns"), [("ids", [0, 1 / 3], True), ("masks", [1, 1], False)])
def test_palettes_of_other_ids_are_matched_by_masks(clips, tmp_path, caplog, matching, j_and_f, warns):
    plan = plan_of(clips, tmp_path / "truth", prompts="p.csv", skip_first_and_last=False, match_truth_by=matching)
    masklets(plan, TRUTH, ids=IDS["whole"])
    write_palette_pictures(read_run(plan, "a"), tmp_path / "truth/a")
    found = measured(plan, "a")
    assert [(row["truth_id"], row["j_and_f"]) for row in found.objects] == [*zip("12", j_and_f, strict=True)]
    words = (
        "a: 2 of 2 true objects have no masklet with their id and are measured with empty masks: 1, 2; masklets' ids: "
        "4, 7.0; tracking.match_truth_by: masks"
    )
    assert (words in caplog.text) == warns


def test_true_objects_without_a_prompt_are_said(clips, tmp_path, caplog):
    plan = plan_of(clips, palettes(tmp_path / "truth"), prompts="p.csv")
    masklets(plan, TRUTH[:, :1])
    assert [row["status"] for row in measured(plan, "a").objects] == ["ok", "no_masklet"]
    assert "a: 1 of 2 true objects have no masklet with their id and are measured with empty masks: 2; " in caplog.text
    assert "match_truth_by" not in caplog.text


def test_void_pixels_count_for_nobody(clips, tmp_path):
    void = disc(30, 40, 10, SIZE_HW)
    for t in range(N_FRAMES):
        save(tmp_path / "truth/a" / f"{t}.png", labels(t, void))
    plan = plan_of(clips, tmp_path / "truth")
    masklets(plan, np.concatenate([TRUTH, np.repeat(void[None, None], N_FRAMES, 0)], axis=1))
    (setting,) = measured(plan, "a").settings
    assert [setting[name] for name in ("j_and_f", "hota", "idf1", "n_masklets")] == [1, 1, 1, 2]


def test_a_video_without_an_annotated_frame_says_so(clips, tmp_path):
    plan = plan_of(clips, palettes(tmp_path / "truth", (1, 3)), stride=2)
    masklets(plan, TRUTH)
    found = measured(plan, "a")
    assert found.objects == []
    assert [(row["status"], row["message"], row["j"], row["hota"]) for row in found.videos] == [
        ("no_frames", "none of the frames that were read is annotated", None, None)
    ]
    assert found.settings[0]["n_videos"] == 0


def test_the_fingerprint_follows_masklets_truth_and_keys(clips, tmp_path):
    prints = []
    for number, tracking in enumerate(({}, {"skip_first_and_last": True}, {})):
        plan = plan_of(clips, palettes(tmp_path / f"truth{number}", range(4 + number)), **tracking)
        masklets(plan, TRUTH)
        measured(plan, "a")
        prints.append(read_origin(plan.layout.tracked.run_accuracy("a"))["fingerprint"])
    assert len({*prints}) == 3
