"""Tracking gives the same logits and masks as sam2's own video predictor on the same JPEG files."""

import numpy as np
import PIL.Image
import pytest
import sam2.utils.misc
import scipy.ndimage
import torch
from oracle_video import (
    VIDEO,
    boxed,
    click,
    clip_folder,
    innermost,
    painted,
    random_case,
    sam2_logits,
    video_frames,
    with_attributes,
    write_jpegs,
)

from maskgrid.dataset.demo import draw_clip
from maskgrid.dataset.demo.clips import encode_clip
from maskgrid.io.errors import MachineError, UserError
from maskgrid.masks import rle
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.schedule import plan_passes
from maskgrid.tracked.propagation.tracker import load_tracker, track, tracked_masks
from maskgrid.tracked.records import FramePrompt
from maskgrid.tracked.videos.frames import FrameFolder, VideoFile
from maskgrid.tracked.videos.scan import BadVideoError

# A model that looks back over fewer frames shows already in short clips if memory is dropped too early.
SHORT = {"num_maskmem": 4, "max_obj_ptrs_in_encoder": 4}


def compare(tracker, sam2_video, folder, prompts, options, logits):
    """Compare both sides; return the number of non-empty masks, so that a test can require some."""
    ours = dict(track(tracker, FrameFolder(folder), prompts, options))
    theirs = sam2_logits(
        sam2_video, folder, prompts, options.direction, options.start_frame_idx, options.max_frame_num_to_track
    )
    assert ours.keys() == theirs.keys()
    for frame, masks in ours.items():
        assert np.abs(logits[frame] - theirs[frame]).max() <= 1e-5, frame
        decoded = np.stack([rle.decode(mask.counts, theirs[frame].shape[1:]) for mask in masks])
        assert np.array_equal(decoded, theirs[frame] > 0), frame
        assert [mask.area_px for mask in masks] == (theirs[frame] > 0).sum((1, 2)).tolist()
        assert {mask.frame for mask in masks} == {frame}
    ids = list(dict.fromkeys(prompt.object_id for prompt in sorted(prompts, key=lambda prompt: prompt.round)))
    assert all([mask.object_id for mask in masks] == ids for masks in ours.values())
    return sum(mask.area_px > 0 for masks in ours.values() for mask in masks)


def cases(masks):
    """Prompts by name."""
    return {
        "point": ([click(masks[0, 0])], {}),
        "box": ([boxed(masks[0, 0])], {}),
        "mask": ([painted(masks[0, 1])], {}),
        "two objects, box and points": (
            [click(masks[0, 0]), boxed(masks[0, 1], object_id=7), click(masks[0, 1], 0, 1, clear_old_points=False)],
            {},
        ),
        "two prompted frames": ([painted(masks[1, 0], 1), click(masks[4, 1], 4, 2), click(masks[5, 0], 5)], {}),
        "reverse": ([painted(masks[5, 0], 5), boxed(masks[5, 1], 5, 2)], {"direction": "backward"}),
        "both": ([painted(masks[3, 0], 3), click(masks[4, 1], 4, 2)], {"direction": "both"}),
        "range": ([click(masks[2, 0], 2)], {"direction": "both", "start_frame_idx": 4, "max_frame_num_to_track": 2}),
        "correction": (
            [click(masks[0, 0]), click(masks[0, 1], 0, 2), click(masks[4, 0], 4, round=1)],
            {"add_all_frames_to_correct_as_cond": True},
        ),
        "corrections, both": (
            [
                painted(masks[3, 0], 3),
                click(masks[5, 0], 5, round=1),
                boxed(masks[1, 1], 1, 2, round=1),
                click(masks[0, 0], 0, round=2, clear_old_points=False),
            ],
            {"direction": "both", "add_all_frames_to_correct_as_cond": True},
        ),
        "forgotten correction": ([click(masks[0, 0]), click(masks[4, 0], 4, round=1)], {}),
    }


@pytest.mark.parametrize("name", cases(np.ones((8, 2, 2, 2), np.bool_)))
def test_masks_equal_sam2s(tracker, sam2_video, clip, logits, name):
    folder, masks = clip
    prompts, given = cases(masks)[name]
    options = TrackOptions(**given)
    oracle = with_attributes(
        sam2_video, **SHORT, add_all_frames_to_correct_as_cond=options.add_all_frames_to_correct_as_cond
    )
    assert compare(with_attributes(tracker, **SHORT), oracle, folder, prompts, options, logits) > 2


def test_memory_is_not_dropped_too_early_with_default_parameters(tracker, sam2_video, tmp_path, logits):
    folder, masks = clip_folder(tmp_path, seed=3, n_frames=20, size_hw=(64, 64))
    options = TrackOptions(direction="both")
    assert compare(tracker, sam2_video, folder, [click(masks[2, 0], 2)], options, logits) > 10


@pytest.mark.parametrize("seed", range(4))
def test_random_cases_equal_sam2(tracker, sam2_video, clip, logits, seed):
    """Random prompts, rounds, directions and memory parameters."""
    folder, masks = clip
    random = np.random.default_rng(seed)
    prompts, options, memory = random_case(random, masks)
    oracle = with_attributes(
        sam2_video,
        **memory,
        non_overlap_masks=options.non_overlap_masks,
        add_all_frames_to_correct_as_cond=options.add_all_frames_to_correct_as_cond,
    )
    compare(with_attributes(tracker, **memory), oracle, folder, prompts, options, logits)


def test_a_real_video(tracker, sam2_video, tmp_path, logits):
    if not VIDEO.is_file():
        pytest.skip("the video is not there")
    folder = write_jpegs(tmp_path, video_frames(31, 6))
    prompts = [  # one child's shirt and the other's head, as in sam2's notebook
        FramePrompt(0, 1, np.array([[210, 350], [250, 220]], np.float32), np.array([1, 1], np.int32)),
        FramePrompt(0, 2, np.array([[400, 150]], np.float32), np.array([1], np.int32)),
    ]
    options = TrackOptions(non_overlap_masks=True)
    oracle = with_attributes(sam2_video, non_overlap_masks=True)
    assert compare(tracker, oracle, folder, prompts, options, logits) > 5


def test_the_network_gets_the_same_pixels_as_sam2s(tracker, clip):
    folder, _ = clip
    state = tracker.init_lazily(FrameFolder(folder), TrackOptions())
    with torch.inference_mode():
        theirs = tracker.init_state(str(folder))["images"]
    for frame, image in enumerate(theirs):
        assert torch.equal(state["images"][frame], image)
        assert state["images"][frame].stride() == image.stride()


def test_groups_of_objects_give_the_same_masks(tracker, clip):
    folder, masks = clip
    prompts = [
        click(masks[3, 0], 3, 5),
        painted(masks[1, 1], 1, 4),
        boxed(masks[2, 2], 2, 9),
        click(masks[5, 0], 5, 5, round=1),
        click(masks[0, 1], 0, 2, round=1),
    ]
    options = TrackOptions(direction="both", add_all_frames_to_correct_as_cond=True)
    frames = FrameFolder(folder)
    passes = plan_passes(prompts, options, len(frames))
    together = {
        (mask.frame, mask.object_id): mask for _, masks in track(tracker, frames, prompts, options) for mask in masks
    }
    apart = {}
    for ids in ([5, 4], [9, 2], [2]):
        of_group = [prompt for prompt in prompts if prompt.object_id in ids]
        for _, found in track(tracker, frames, of_group, options, passes):
            apart.update({(mask.frame, mask.object_id): mask for mask in found})
    assert apart == together


def test_frames_come_in_tracking_order(tracker, clip):
    folder, masks = clip
    given = [frame for frame, _ in track(tracker, FrameFolder(folder), [painted(masks[2, 0], 2)], TrackOptions("both"))]
    assert given == [3, 4, 5, 6, 7, 2, 1, 0]


def test_png_frames_give_the_same_masks(tracker, clip, tmp_path):
    """Neither format nor names of the files matter."""
    folder, masks = clip
    for path in folder.iterdir():
        PIL.Image.open(path).save(tmp_path / f"frame {int(path.stem)}.png")
    results = [list(track(tracker, FrameFolder(place), [click(masks[0, 0])])) for place in (folder, tmp_path)]
    assert results[0] == results[1]


def test_holes_are_filled_like_by_sam2s_kernel(tracker, sam2_video, clip, logits, monkeypatch):
    """Test ``fill_hole_area``; on sam2's side, SciPy stands in for its CUDA extension."""
    folder, masks = clip
    n_holes = []

    def components(mask):
        labels, counts = np.zeros(mask.shape, np.int64), np.zeros(mask.shape, np.int64)
        for index in range(len(mask)):
            labels[index, 0], n_found = scipy.ndimage.label(mask[index, 0].numpy(), np.ones((3, 3)))
            areas = np.bincount(labels[index, 0].ravel())
            areas[0] = 0
            counts[index, 0] = areas[labels[index, 0]]
            n_holes.append(n_found - 1)
        return torch.from_numpy(labels), torch.from_numpy(counts)

    monkeypatch.setattr(sam2.utils.misc, "get_connected_components", components)
    # A mask prompt with a hole, since a good network draws none.
    pierced = masks[0, 0].copy()
    x, y = (int(place) for place in innermost(pierced))
    pierced[y - 4 : y + 5, x - 4 : x + 5] = False
    prompts = [
        click(masks[0, 0]),
        boxed(masks[0, 1], 0, 2),
        painted(pierced, 0, 3),
        click(masks[3, 1], 3, 2, round=1),
    ]
    options = TrackOptions(fill_hole_area=60, add_all_frames_to_correct_as_cond=True, max_frame_num_to_track=4)
    oracle = with_attributes(sam2_video, fill_hole_area=60, add_all_frames_to_correct_as_cond=True)
    compare(tracker, oracle, folder, prompts, options, logits)
    assert sum(n_holes) > 0


def test_memory_around_prompts_is_cleared(tracker, sam2_video, clip, logits):
    """sam2 1.1.0 lacks the method for one object; with a single object, the one for all objects does the same."""
    folder, masks = clip
    given = {"clear_non_cond_mem_around_input": True, "add_all_frames_to_correct_as_cond": True}
    oracle = with_attributes(sam2_video, **SHORT, **given)
    oracle._clear_obj_non_cond_mem_around_input = lambda state, frame, _: oracle._clear_non_cond_mem_around_input(
        state, frame
    )
    prompts = [click(masks[0, 0]), click(masks[4, 0], 4, round=1)]
    options = TrackOptions(**given)
    assert compare(with_attributes(tracker, **SHORT), oracle, folder, prompts, options, logits) > 2


def test_half_precision_is_autocast(sam2_video, clip, logits):
    folder, masks = clip
    prompts = [click(masks[1, 0], 1), painted(masks[1, 1], 1, 2)]
    options = TrackOptions(max_frame_num_to_track=3)
    ours = dict(track(load_tracker("demo", device="cpu", dtype="bfloat16"), FrameFolder(folder), prompts, options))
    assert list(ours) == [1, 2, 3, 4]
    with torch.autocast("cpu", torch.bfloat16):
        theirs = sam2_logits(sam2_video, folder, prompts, most=3)
    for frame, found in theirs.items():
        assert np.array_equal(logits[frame], found), frame


def test_nan_values_are_an_error(tracker, clip, monkeypatch):
    folder, masks = clip
    encode = VideoPredictor._run_memory_encoder

    def broken(self, **given):
        features, positions = encode(self, **given)
        return features * float("nan"), positions

    monkeypatch.setattr(VideoPredictor, "_run_memory_encoder", broken)
    with pytest.raises(FloatingPointError):
        list(track(tracker, FrameFolder(folder), [click(masks[0, 0])], TrackOptions(max_frame_num_to_track=1)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("place", ["score", "logit", None])
def test_one_bad_number_is_an_error(bad, place):
    logits, scores = torch.ones(2, 1, 3, 4), torch.tensor([3.0, -4.0])
    if place == "score":
        scores[1] = bad
    elif place == "logit":
        logits[1, 0, 2, 3] = bad
    outputs = [{"cond_frame_outputs": {5: {"object_score_logits": score[None, None]}}} for score in scores]
    state = {"output_dict_per_obj": dict(enumerate(outputs))}
    if place is None:
        found = tracked_masks(state, 5, [7, 8], logits)
        assert [(mask.object_id, mask.area_px, mask.object_score_logit) for mask in found] == [(7, 12, 3), (8, 12, -4)]
    else:
        with pytest.raises(FloatingPointError, match="frame 5"):
            tracked_masks(state, 5, [7, 8], logits)


@pytest.mark.parametrize(
    ("words", "told"), [("CUDA out of memory. Tried", "offload_state_to_cpu"), ("CUDA error: gone", "has failed")]
)
def test_a_device_that_fails_is_named(tracker, clip, monkeypatch, words, told):
    folder, masks = clip

    def failing(self, **given):
        raise RuntimeError(words)

    tracking = track(tracker, FrameFolder(folder), [click(masks[0, 0])], TrackOptions(max_frame_num_to_track=1))
    monkeypatch.setattr(VideoPredictor, "_run_single_frame_inference", failing)
    with pytest.raises(MachineError, match=told):
        list(tracking)


# From a notebook


def test_a_video_may_be_a_folder_arrays_pictures_or_paths(tracker, clip):
    folder, masks = clip
    paths = sorted(folder.iterdir())
    pictures = [PIL.Image.open(path) for path in paths]
    arrays = [np.asarray(picture) for picture in pictures]
    prompts, options = [click(masks[0, 0])], TrackOptions(max_frame_num_to_track=3)
    expected = list(track(tracker, FrameFolder(folder), prompts, options))
    for video in (folder, str(folder), paths, pictures, arrays, np.stack(arrays)):
        assert list(track(tracker, video, prompts, options)) == expected


def test_a_video_may_be_a_file(tracker, clip, tmp_path):
    _, masks = clip
    (tmp_path / "clip.mkv").write_bytes(encode_clip(draw_clip(0, 4, (120, 160))))
    given = list(track(tracker, str(tmp_path / "clip.mkv"), [click(masks[0, 0])]))
    decoded = VideoFile(tmp_path / "clip.mkv")
    assert given == list(track(tracker, [decoded.read(frame) for frame in range(4)], [click(masks[0, 0])]))
    assert len(given) == 4


def test_prompts_may_be_lists_and_masks_are_arrays(tracker, sam2_video, clip):
    folder, masks = clip
    box, point = [float(edge) for edge in boxed(masks[0, 1]).box_xyxy], click(masks[0, 0]).point_coords.tolist()
    prompts = [
        FramePrompt(0, 1, point_coords=point, point_labels=[1]),
        FramePrompt(0, 7, box_xyxy=box),
        FramePrompt(1, 3, mask=masks[1, 0].tolist()),
    ]
    theirs = sam2_logits(sam2_video, folder, prompts)
    for frame, found in track(tracker, folder, prompts):
        assert np.array_equal(np.stack([one.segmentation for one in found]), theirs[frame] > 0)
        assert [one.object_id for one in found] == [1, 7, 3]
        assert [one.segmentation.sum() for one in found] == [one.area_px for one in found]


@pytest.mark.parametrize(
    ("video", "words"),
    [
        ("gone.mp4", "gone.mp4: there is no such file"),
        ([], "has no frame"),
        (7, "a path or a sequence of images, not int"),
        ([np.zeros((4, 4), np.uint8)], r"not uint8 of shape \(4, 4\)"),
    ],
)
def test_videos_that_cannot_be_used_are_explained(tracker, video, words):
    with pytest.raises(UserError, match=words):
        track(tracker, video, [FramePrompt(0, 1, box_xyxy=[1, 2, 3, 4])])


def test_frames_of_other_sizes_and_no_prompts_are_explained(tracker):
    frames = [np.zeros((40, 40, 3), np.uint8), np.zeros((40, 41, 3), np.uint8)]
    with pytest.raises(BadVideoError, match=r"^frame 1 has 41 x 40 pixels"):
        list(track(tracker, frames, [FramePrompt(0, 1, box_xyxy=[1, 2, 30, 40])]))
    with pytest.raises(UserError, match="FramePrompt"):
        track(tracker, frames, [])
    with pytest.raises(UserError, match="object 1, frame 5: there is no frame 5"):
        track(tracker, frames, [FramePrompt(5, 1, box_xyxy=[1, 2, 30, 40])])
