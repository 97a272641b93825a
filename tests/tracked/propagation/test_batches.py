"""Objects tracked in batches have the masks of objects tracked one at a time, within rounding."""

import io

import numpy as np
import pytest
import torch
from oracle_video import VIDEO, boxed, click, painted, random_case, video_frames, with_attributes

from maskgrid import TrackOptions, load_tracker, track
from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.tracked.propagation.batches import joined
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.predictor import CompiledVideoPredictor, VideoPredictor
from maskgrid.tracked.records import FramePrompt
from maskgrid.tracked.videos.frames import FrameFolder

# With a short memory, histories grow alike within a clip.
SHORT = {"num_maskmem": 3, "max_obj_ptrs_in_encoder": 3}


@pytest.fixture
def run(monkeypatch):
    """Numbers of objects that went through the network together, by frame."""
    found = {}
    run_one = VideoPredictor._run

    def recording(self, arguments):
        if not arguments["is_init_cond_frame"]:
            found.setdefault(arguments["frame_idx"], []).append(arguments["batch_size"])
        return run_one(self, arguments)

    monkeypatch.setattr(VideoPredictor, "_run", recording)
    return found


def alike(one, many, logits, within=0.005, iou=0.99):
    """Compare logits and masks by frame; logits differ by at most this share of the highest.

    Rounding that turns a bit of sam2's memories, which are bfloat16, shows in the frames after it.
    """
    (masks_one, logits_one), (masks_many, logits_many) = (one, logits[0]), (many, logits[1])
    assert masks_one.keys() == masks_many.keys()
    n_seen = 0
    for frame in masks_one:
        apart, highest = np.abs(logits_one[frame] - logits_many[frame]).max(), np.abs(logits_one[frame]).max()
        assert apart <= within * highest, frame
        for first, second in zip(masks_one[frame], masks_many[frame], strict=True):
            assert (first.frame, first.object_id) == (second.frame, second.object_id)
            assert abs(first.object_score_logit - second.object_score_logit) <= 0.05
            joint = (first.segmentation | second.segmentation).sum()
            common = (first.segmentation & second.segmentation).sum()
            assert common >= iou * joint, (frame, first.object_id, common, joint)
            n_seen += bool(joint)
    return n_seen


def both(tracker, video, prompts, logits, size=8, **options):
    """Track one object at a time, then in batches."""
    results, recorded = [], []
    for objects_per_batch in (1, size):
        logits.clear()
        results.append(
            dict(track(tracker, video, prompts, TrackOptions(**options, objects_per_batch=objects_per_batch)))
        )
        recorded.append(dict(logits))
    return *results, recorded


def quarters(size_hw=(120, 160), n=5):
    """Masks of n squares."""
    height, width = size_hw
    found = np.zeros((n, height, width), np.bool_)
    for number in range(n):
        found[number, 20 * number : 20 * number + 18, 25 * number : 25 * number + 24] = True
    return found


SAMURAI = {"memory": "samurai", "memory_stable_frames": 2}
CASES = {
    "same frame": ({0: 0, 1: 0, 2: 0}, {}),
    "different frames": ({0: 1, 1: 1, 2: 3}, {}),
    "both directions": ({0: 3, 1: 3, 2: 5}, {"direction": "both"}),
    "before the first prompt": ({0: 5, 1: 5, 2: 6}, {"start_frame_idx": 2}),
    "backward": ({0: 5, 1: 5, 2: 4}, {"direction": "backward"}),
    "holes": ({0: 0, 1: 0, 2: 0}, {"fill_hole_area": 30}),
    "no overlaps": ({0: 0, 1: 0, 2: 0}, {"non_overlap_masks": True}),
    "memory on the CPU": ({0: 0, 1: 0, 2: 0}, {"offload_state_to_cpu": True}),
    "samurai": ({0: 0, 1: 0, 2: 0}, SAMURAI),
    "samurai, different frames": ({0: 1, 1: 1, 2: 3}, SAMURAI),
    "samurai, both directions": ({0: 3, 1: 3, 2: 5}, {"direction": "both", **SAMURAI}),
}


@pytest.mark.parametrize("name", CASES)
def test_masks_are_those_of_one_at_a_time(tracker, clip, logits, run, name):
    folder, masks = clip
    frames, options = CASES[name]
    prompts = [painted(masks[frame, number], frame, number) for number, frame in frames.items()]
    model = with_attributes(tracker, **SHORT)
    one, many, recorded = both(model, FrameFolder(folder), prompts, logits, **options)
    assert alike(one, many, recorded) > 5
    assert max(size for sizes in run.values() for size in sizes) > 1


def test_corrected_objects_go_by_themselves(tracker, clip, logits, run):
    folder, masks = clip
    prompts = [
        click(masks[0, 0], 0, 1),
        boxed(masks[0, 1], 0, 2),
        painted(masks[0, 2], 0, 3),
        click(masks[4, 0], 4, 1, round=1),
    ]
    for cond, clear in ((False, False), (True, False), (True, True)):
        options = {"add_all_frames_to_correct_as_cond": cond, "clear_non_cond_mem_around_input": clear}
        one, many, recorded = both(tracker, FrameFolder(folder), prompts, logits, **options)
        assert alike(one, many, recorded) > 10
    # In the last round, object 1 has two conditioning frames; on one of them, sam2 takes the prompt's mask.
    assert run[4][-1:] == [2]
    assert sorted(run[6][-2:]) == [1, 2]


def test_a_model_without_memory(tracker, clip, logits, run):
    folder, masks = clip
    prompts = [painted(masks[0, number], 0, number) for number in range(3)]
    one, many, recorded = both(with_attributes(tracker, num_maskmem=0), FrameFolder(folder), prompts, logits)
    assert alike(one, many, recorded) > 10
    assert run[1] == [1, 1, 1, 3]


def test_bfloat16(clip):
    """Batches move masks less than bfloat16 itself does."""
    folder, masks = clip
    prompts = [painted(masks[0, number], 0, number) for number in range(3)]
    found = {}
    for dtype, size in (("float32", 1), ("bfloat16", 1), ("bfloat16", 3)):
        given = track(
            load_tracker("demo", device="cpu", dtype=dtype), folder, prompts, TrackOptions(objects_per_batch=size)
        )
        found[dtype, size] = np.stack([mask.segmentation for _, row in given for mask in row])

    def mean_iou(one, other):
        joint, common = (one | other).sum((1, 2)), (one & other).sum((1, 2))
        return (common / joint)[joint > 0].mean()

    single, batched = found["bfloat16", 1], found["bfloat16", 3]
    assert mean_iou(single, batched) > mean_iou(single, found["float32", 1])


@pytest.mark.parametrize("seed", range(4))
def test_random_cases(tracker, clip, logits, seed):
    folder, masks = clip
    prompts, options, memory = random_case(np.random.default_rng(seed), masks)
    given = {name: getattr(options, name) for name in TrackOptions.__slots__ if name != "objects_per_batch"}
    one, many, recorded = both(with_attributes(tracker, **memory), FrameFolder(folder), prompts, logits, **given)
    alike(one, many, recorded)


@pytest.mark.parametrize(
    ("frames", "size", "memory", "expected"),
    [
        # By frame, the numbers of objects that go together.
        ([0, 0, 0, 0, 0], 2, {}, {1: [2, 2, 1], 7: [2, 2, 1]}),
        ([0, 0, 0, 0, 0], 8, {}, {1: [5], 7: [5]}),
        # Prompted on different frames: together once their memories have as many frames.
        ([0, 0, 1, 1], 8, SHORT, {1: [2], 2: [2, 2], 3: [2, 2], 4: [4], 7: [4]}),
        ([0, 0, 1, 1], 3, SHORT, {4: [3, 1]}),
        ([0, 0, 1, 1], 8, {}, {7: [2, 2]}),
        # Prompted later, but tracked from the beginning.
        ([0, 0, 2], 8, {}, {1: [2, 1], 2: [2]}),
        ([0, 2, 4], 8, SHORT, {6: [2, 1], 7: [3]}),
    ],
)
def test_which_objects_go_together(tracker, clip, run, frames, size, memory, expected):
    folder, _ = clip
    prompts = [
        painted(mask, frame, number) for number, (frame, mask) in enumerate(zip(frames, quarters(), strict=False))
    ]
    options = TrackOptions(objects_per_batch=size)
    list(track(with_attributes(tracker, **memory), FrameFolder(folder), prompts, options))
    assert {frame: run[frame] for frame in expected} == expected


def test_of_many_conditioning_frames_objects_remember_different_ones(tracker, clip, logits, run):
    folder, masks = clip
    prompts = [painted(masks[frame, number], frame, number) for number in range(2) for frame in (0, 2 + number, 4)]
    prompts.append(painted(masks[0, 2], 0, 2))
    model = with_attributes(tracker, **SHORT, max_cond_frames_in_attn=2)
    one, many, recorded = both(model, FrameFolder(folder), prompts, logits)
    assert alike(one, many, recorded) > 10
    assert run[6][-3:] == [1, 1, 1]


def test_objects_in_a_batch_do_not_see_each_other(tracker, clip, logits, run):
    """``non_overlap_masks_for_mem_enc`` of a model's config does nothing to one object at a time."""
    folder, masks = clip
    prompts = [painted(masks[0, 0] | masks[0, 1], 0, 1), painted(masks[0, 1], 0, 2)]
    model = with_attributes(tracker, non_overlap_masks_for_mem_enc=True)
    one, many, recorded = both(model, FrameFolder(folder), prompts, logits)
    assert alike(one, many, recorded) > 10
    assert run[7] == [1, 1, 2]


def test_memory_that_runs_out_halves_batches(tracker, clip, run, monkeypatch, caplog):
    folder, _ = clip
    prompts = [painted(mask, 0, number) for number, mask in enumerate(quarters())]
    expected = list(track(tracker, FrameFolder(folder), prompts, TrackOptions(objects_per_batch=2)))
    run.clear()
    run_some = VideoPredictor._run

    def small(self, arguments):
        found = run_some(self, arguments)
        if arguments["batch_size"] > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate")
        return found

    monkeypatch.setattr(VideoPredictor, "_run", small)
    assert list(track(tracker, FrameFolder(folder), prompts, TrackOptions(objects_per_batch=5))) == expected
    assert run[1] == [5, 3, 2, 2, 1]
    assert run[2] == [2, 2, 1]
    assert "going on with 2 objects at once" in caplog.text


def test_a_resumed_run_gives_the_same_bytes(tracker, clip, tmp_path):
    folder, masks = clip
    prompts = [painted(masks[0, number], 0, number) for number in range(3)] + [click(masks[2, 0], 2, 7)]
    options = TrackOptions(direction="both", objects_per_batch=3)
    whole = list(track(tracker, FrameFolder(folder), prompts, options))
    tracking = track(tracker, FrameFolder(folder), prompts, options)
    first = [next(tracking) for _ in range(4)]
    saved = io.BytesIO()
    tracking.save(saved)
    (tmp_path / "snapshot").write_bytes(saved.getvalue())
    rest = list(track(tracker, FrameFolder(folder), prompts, options, snapshot=tmp_path / "snapshot"))
    assert first + rest == whole


def test_objects_found_on_different_frames(tracker, clip, run):
    folder, _ = clip
    generator = MaskGenerator(tracker, points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)
    model, found = with_attributes(tracker, **SHORT), []
    automatic = AutomaticConfig(generate_every=3, end_after=2)
    for size in (1, 16):
        options = TrackOptions(objects_per_batch=size)
        found.append(list(track_automatically(model, generator, FrameFolder(folder), automatic, options)))
    for (frame, one), (_, many) in zip(*found, strict=True):
        assert [mask.object_id for mask in one] == [mask.object_id for mask in many], frame
        for first, second in zip(one, many, strict=True):
            assert rle.pairwise_iou([first.counts], [second.counts], first.size_hw)[0, 0] > 0.99 or not first.area_px
    assert max(max(sizes) for sizes in run.values()) > 3


def test_a_real_video(tracker, logits, run):
    if not VIDEO.is_file():
        pytest.skip("the video is not there")
    prompts = [
        FramePrompt(0, 1, np.array([[210, 350], [250, 220]], np.float32), np.array([1, 1], np.int32)),
        FramePrompt(0, 2, np.array([[400, 150]], np.float32), np.array([1], np.int32)),
    ]
    one, many, recorded = both(tracker, video_frames(31, 6), prompts, logits)
    assert alike(one, many, recorded) > 5
    assert run[1] == [1, 1, 2]


def test_slices_are_joined_without_copying():
    whole = torch.arange(24.0).view(4, 2, 3).transpose(1, 2)
    slices = torch.split(whole, 1)
    assert torch.equal(joined(slices[1:3]), whole[1:3])
    assert joined(slices).data_ptr() == whole.data_ptr()
    for parts in (
        (slices[1], slices[0]),
        (slices[0], slices[2]),
        (slices[0], slices[1].clone()),
        (slices[0].double(), slices[1]),
    ):
        assert torch.equal(joined(parts), torch.cat(parts))
        assert joined(parts).data_ptr() != whole.data_ptr()


def test_the_compiled_network_takes_one_object_at_a_time():
    with pytest.raises(UserError, match="objects_per_batch"):
        CompiledVideoPredictor.with_options(
            CompiledVideoPredictor.__new__(CompiledVideoPredictor), TrackOptions(objects_per_batch=2)
        )
