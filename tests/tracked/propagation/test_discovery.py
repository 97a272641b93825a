"""Automatic tracking: which masks become objects, and when objects end."""

import numpy as np
import pytest
from discovered import InTurn, Painted
from oracle_video import painted

from maskgrid.automatic.mask_generator import MaskGenerator
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.errors import UserError
from maskgrid.io.journal import Journal
from maskgrid.masks import rle
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.proposals import Proposal, new_objects, propose
from maskgrid.tracked.propagation.resume import resumably
from maskgrid.tracked.propagation.tracker import track, tracked_masks
from maskgrid.tracked.videos.frames import FrameFolder

SIZE_HW = 20, 30


def rectangle(top, left, bottom, right, predicted_iou=0.9):
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[top:bottom, left:right] = True
    return Proposal(rle.encode(mask), predicted_iou, int(mask.sum()))


WHOLE, PART, BESIDE = rectangle(0, 0, 10, 10), rectangle(2, 2, 5, 5, 0.8), rectangle(0, 15, 10, 25, 0.7)
SHIFTED, HALF_OUT = rectangle(0, 2, 10, 12, 0.6), rectangle(0, 6, 4, 14, 0.5)


@pytest.mark.parametrize(
    ("proposed", "tracked", "options", "new"),
    [
        ([WHOLE, BESIDE], [], {}, [WHOLE, BESIDE]),
        ([WHOLE, PART], [], {}, [WHOLE]),
        ([WHOLE, PART], [], {"join_containment_thresh": 1.0}, [WHOLE, PART]),
        ([WHOLE, SHIFTED], [], {}, [WHOLE]),
        ([WHOLE, SHIFTED], [], {"join_iou_thresh": 0.7}, [WHOLE, SHIFTED]),
        ([WHOLE, HALF_OUT], [], {}, [WHOLE, HALF_OUT]),
        ([SHIFTED, BESIDE], [WHOLE], {}, [BESIDE]),
        ([PART, HALF_OUT], [WHOLE], {}, [HALF_OUT]),
        ([PART], [WHOLE], {"join_containment_thresh": 1.0}, [PART]),
        ([WHOLE], [PART], {}, [WHOLE]),
        ([], [WHOLE], {}, []),
        ([WHOLE], [rectangle(0, 0, 0, 0)], {}, [WHOLE]),
    ],
)
def test_which_masks_are_new_objects(proposed, tracked, options, new):
    found = new_objects(proposed, [one.counts for one in tracked], SIZE_HW, AutomaticConfig(**options))
    assert found == new


def test_objects_end_and_are_found_again(tracker, monkeypatch):
    frames = Painted([True] * 2 + [False] * 5 + [True] * 2)
    options = AutomaticConfig(generate_every=1, end_after=2)

    def seen(state, frame, ids, logits):
        # The demo's network keeps seeing the disc after it is gone.
        logits = logits if frames.there[frame] else logits * 0 - 1
        return tracked_masks(state, frame, ids, logits)

    monkeypatch.setattr("maskgrid.tracked.propagation.discovery.tracked_masks", seen)
    tracking = track_automatically(tracker, frames.generator(), frames, options)
    found = [(frame, [(mask.object_id, mask.area_px > 0) for mask in masks]) for frame, masks in tracking]
    assert [frame for frame, _ in found] == list(range(9))
    by_frame = dict(found)
    assert by_frame[0] == by_frame[1] == [(1, True)]
    assert by_frame[2] == by_frame[3] == [(1, False)]
    assert by_frame[4] == by_frame[6] == []
    assert by_frame[7] == by_frame[8] == [(2, True)]


def test_masks_are_generated_on_the_right_frames(tracker):
    frames = Painted([True] * 9)

    def generated_on(**options):
        tracking = track_automatically(tracker, frames.generator(), frames, AutomaticConfig(**options))
        list(tracking)
        return tracking.generated_on

    assert generated_on(generate_every=None) == [0]
    assert generated_on(generate_every=4) == [0, 4, 8]
    assert generated_on(generate_every=None, min_coverage_frac=0.9, min_generate_gap=3) == [0, 3, 6]
    assert generated_on(generate_every=None, min_coverage_frac=0.01) == [0]


def test_max_objects_limits_the_objects(tracker):
    frames = Painted([True] * 2)
    generator = frames.generator()
    generator.by_pixel[0] = [frames.disc, ~frames.disc]
    masks = dict(track_automatically(tracker, generator, frames, AutomaticConfig(max_objects=1)))
    assert [len(found) for found in masks.values()] == [1, 1]


@pytest.fixture(scope="module")
def generator(tracker):
    return MaskGenerator(tracker, points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)


def test_masks_of_the_first_frame_are_prompts(tracker, generator, clip):
    """Automatic tracking gives the same masks as tracking with these masks as prompts."""
    folder, _ = clip
    frames = FrameFolder(folder, stop=3)
    automatic = AutomaticConfig(generate_every=None, end_after=None, max_objects=3)
    found = list(track_automatically(tracker, generator, frames, automatic))
    masks = new_objects(propose(generator, frames.read(0)), [], frames.size_hw, automatic)[:3]
    prompts = [painted(rle.decode(one.counts, frames.size_hw), 0, number) for number, one in enumerate(masks, 1)]
    assert len(prompts) == 3
    assert found == list(track(tracker, frames, prompts))


def test_a_killed_process_continues_with_the_same_objects(tracker, generator, clip, tmp_path):
    folder, _ = clip
    frames = FrameFolder(folder, stop=6)
    automatic = AutomaticConfig(generate_every=3, end_after=1, max_objects=4)

    def begin(snapshot):
        return track_automatically(tracker, generator, frames, automatic, snapshot=snapshot)

    uninterrupted = list(begin(None))
    first = resumably(begin, Journal(tmp_path / "x", "f"), every=2)
    assert [next(first) for _ in range(5)] == uninterrupted[:5]
    assert list(resumably(begin, Journal(tmp_path / "x", "f"), every=2)) == uninterrupted


def test_options_without_meaning_are_refused(tracker, generator, clip):
    with pytest.raises(UserError, match="direction"):
        track_automatically(tracker, generator, FrameFolder(clip[0]), options=TrackOptions("backward"))


@pytest.mark.parametrize("options", [TrackOptions(), TrackOptions(non_overlap_masks=True)])
def test_new_objects_do_not_change_the_others_masks(tracker, clip, monkeypatch, options):
    """Objects are tracked once a frame, and as if sam2 had tracked all of them together."""
    folder, masks = clip
    shown = [painted(masks[frame, number], frame, number + 1) for frame, number in ((0, 0), (0, 1), (2, 2))]
    automatic, calls = AutomaticConfig(generate_every=2, end_after=None, join_containment_thresh=1.0), []
    run_one = VideoPredictor._run

    def recording(self, arguments):
        if not arguments["is_init_cond_frame"]:
            calls.append((arguments["frame_idx"], id(arguments["output_dict"])))
        return run_one(self, arguments)

    monkeypatch.setattr(VideoPredictor, "_run", recording)
    frames = FrameFolder(folder, stop=4)
    found = dict(track_automatically(tracker, InTurn([shown[:2], shown[2:]]), frames, automatic, options))
    assert [len(tracked) for tracked in found.values()] == [2, 2, 3, 3]
    assert len(calls) - len(set(calls)) == (2 if options.non_overlap_masks else 0)
    if options.non_overlap_masks:
        assert all(sum(one.segmentation.astype(int) for one in tracked).max() <= 1 for tracked in found.values())
        return
    old, new = dict(track(tracker, frames, shown[:2])), dict(track(tracker, frames, shown[2:]))
    assert found == {frame: old[frame] + new.get(frame, []) for frame in range(4)}
