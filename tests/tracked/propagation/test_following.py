"""Found objects are followed back to where they came into view, and lost ones that come back keep their number."""

import io
from dataclasses import replace

import numpy as np
import pytest
from discovered import InTurn, Painted
from oracle_video import painted, sam2_logits

from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.journal import Journal
from maskgrid.masks import rle
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.held import HeldFrames
from maskgrid.tracked.propagation.lost import LostObjects
from maskgrid.tracked.propagation.resume import resumably
from maskgrid.tracked.propagation.tracker import add_prompt, tracked_masks
from maskgrid.tracked.propagation.trails import Followed, Trail, _extend
from maskgrid.tracked.records import TrackedMask
from maskgrid.tracked.videos.frames import FrameFolder

SIZE_HW = 20, 30
FOUND_ON = 4


def by_object(tracking):
    """The masks of each object by frame."""
    found = {}
    for frame, masks in tracking:
        for mask in masks:
            assert mask.frame == frame
            found.setdefault(mask.object_id, {})[frame] = mask
    return found


def late(masks, options=None, **automatic):
    """Arguments with which one object is found on frame 0, and another on frame 4 of eight."""
    shown = [[painted(masks[0, 0])], [painted(masks[FOUND_ON, 1], FOUND_ON)], []]
    config = AutomaticConfig(generate_every=FOUND_ON, end_after=None, join_containment_thresh=1.0, **automatic)
    return InTurn(shown), config, options or TrackOptions()


def track_late(tracker, clip, options=None, **automatic):
    folder, masks = clip
    generator, config, options = late(masks, options, **automatic)
    return track_automatically(tracker, generator, FrameFolder(folder), config, options)


@pytest.mark.parametrize("follow_back", [2, 4, 100])
def test_masks_before_an_object_was_found_are_sam2s_in_reverse(tracker, sam2_video, clip, follow_back):
    folder, masks = clip
    found = by_object(track_late(tracker, clip, follow_back=follow_back))
    theirs = sam2_logits(sam2_video, folder, [painted(masks[FOUND_ON, 1], FOUND_ON)], "backward", FOUND_ON)
    earlier = range(max(0, FOUND_ON - follow_back), FOUND_ON)
    assert sorted(found[2]) == [*earlier, *range(FOUND_ON, 8)]
    for frame in earlier:
        assert np.array_equal(found[2][frame].segmentation, theirs[frame][0] > 0), frame
        assert found[2][frame].area_px > 0
    without = by_object(track_late(tracker, clip))
    assert sorted(without[2]) == [*range(FOUND_ON, 8)]
    assert found[1] == without[1]
    assert {frame: found[2][frame] for frame in without[2]} == without[2]


def test_objects_in_batches_are_followed_back_alike(tracker, clip):
    one, many = (
        by_object(track_late(tracker, clip, TrackOptions(objects_per_batch=size), follow_back=4)) for size in (1, 4)
    )
    assert {number: list(masks) for number, masks in one.items()} == {
        number: list(masks) for number, masks in many.items()
    }
    for number, masks in one.items():
        for frame, mask in masks.items():
            assert rle.pairwise_iou([mask.counts], [many[number][frame].counts], mask.size_hw)[0, 0] > 0.99


def test_objects_followed_back_take_no_pixels_of_others(tracker, clip):
    options = TrackOptions(non_overlap_masks=True)
    for _, masks in track_late(tracker, clip, options, follow_back=4):
        assert len(masks) == 2
        assert sum(mask.segmentation.astype(int) for mask in masks).max() <= 1
        assert all(mask.area_px == mask.segmentation.sum() for mask in masks)


@pytest.mark.parametrize("every", [1, 3])
def test_killed_tracking_goes_on_with_the_frames_that_it_held(tracker, clip, tmp_path, every):
    folder, masks = clip
    whole = list(track_late(tracker, clip, follow_back=3, rejoin_within=2))

    def begin(snapshot):
        generator, config, options = late(masks, follow_back=3, rejoin_within=2)
        if snapshot is not None:  # then the generator has given the masks of frame 0, and maybe of frame 4
            generator.prompts = iter(late(masks)[0].lists[first_lists[0] :])
        return track_automatically(tracker, generator, FrameFolder(folder), config, options, snapshot)

    for n_given in range(every, 8, every):
        first_lists = [1 if n_given + 3 <= FOUND_ON else 2]
        output = tmp_path / str(n_given)
        killed = resumably(begin, Journal(output, "f"), every)
        given = [next(killed) for _ in range(n_given - every + 1)]
        assert given == whole[: len(given)]
        assert list(resumably(begin, Journal(output, "f"), every)) == whole


def test_who_comes_in_after_the_last_generation_is_found_on_the_last_frame(tracker):
    frames = Painted([True] * 6)
    for follow_back, expected in ((None, [0, 4]), (2, [0, 4, 5])):
        automatic = AutomaticConfig(generate_every=4, follow_back=follow_back)
        tracking = track_automatically(tracker, frames.generator(), frames, automatic)
        assert [frame for frame, _ in tracking] == list(range(6))
        assert tracking.generated_on == expected


# What a trail meets


def mask_of(top, left, bottom, right, object_id=0, score=5.0):
    mask = np.zeros(SIZE_HW, np.bool_)
    mask[top:bottom, left:right] = True
    return TrackedMask(3, object_id, rle.encode(mask), int(mask.sum()), score, SIZE_HW)


HERE, ASIDE, INSIDE, NOWHERE = (0, 0, 10, 10), (0, 15, 10, 25), (2, 2, 6, 6), (0, 0, 0, 0)


@pytest.mark.parametrize(
    ("mask", "there", "seen", "trail", "expected"),
    [
        (HERE, {7: ASIDE}, {7}, Trail(None), (None, False, 1)),  # it goes on
        (HERE, {7: HERE}, set(), Trail(None), (7, True, 0)),  # it is who was lost
        (HERE, {7: HERE}, {7}, Trail(None), (None, True, 0)),  # a drifted masklet: these frames stay the other's
        (INSIDE, {7: HERE}, set(), Trail(None), (None, True, 0)),  # a part
        (HERE, {7: INSIDE}, set(), Trail(None), (None, False, 1)),
        (HERE, {7: NOWHERE}, set(), Trail(None), (None, False, 1)),
        (NOWHERE, {7: HERE}, set(), Trail(None), (None, False, 1)),  # out of sight
        (NOWHERE, {7: HERE}, set(), Trail(None, n_unseen=1), (None, True, 1)),  # for end_after frames
        (HERE, {7: ASIDE}, {7}, Trail(9), (9, False, 1)),
        (HERE, {9: ASIDE}, set(), Trail(9), (9, True, 0)),  # it was there itself
        (HERE, {7: HERE}, set(), Trail(9), (9, True, 0)),
    ],
)
def test_where_trails_end(mask, there, seen, trail, expected):
    trail, held = replace(trail, masks=[]), HeldFrames(4)
    held.add(3, [mask_of(*corners, object_id=one, score=5.0 if corners[2] else -5.0) for one, corners in there.items()])
    _extend([trail], [mask_of(*mask)], Followed(held, frozenset(seen), {}), AutomaticConfig(end_after=2))
    assert (trail.object_id, trail.ends, len(trail.masks)) == expected


def test_a_lost_object_is_found_once():
    trails, held = [Trail(None), Trail(None)], HeldFrames(4)
    held.add(3, [mask_of(*HERE, object_id=7)])
    _extend(trails, [mask_of(*HERE, 0), mask_of(*HERE, 1)], Followed(held, frozenset(), {}), AutomaticConfig())
    assert [(trail.object_id, trail.ends) for trail in trails] == [(7, True), (None, True)]


def test_two_trails_on_the_same_object_are_one():
    trails, held = [Trail(None), Trail(None)], HeldFrames(4)
    held.add(3, [])
    _extend(trails, [mask_of(*HERE, 0), mask_of(*HERE, 1)], Followed(held, frozenset(), {}), AutomaticConfig())
    assert [trail.ends for trail in trails] == [False, True]


def test_only_frames_without_the_object_are_amended():
    held = HeldFrames(4)
    held.add(3, [mask_of(*HERE, object_id=7), mask_of(*NOWHERE, object_id=8, score=-3.0)])
    held.amend([mask_of(*ASIDE, object_id=7)], apart=False)
    held.amend([mask_of(*ASIDE, object_id=8)], apart=False)
    held.amend([mask_of(0, 5, 10, 15, object_id=5)], apart=True)
    again = HeldFrames(4)
    again.restore(held.plain())
    for frames in (held, again):
        frame, masks = frames.take()
        assert frame == 3
        assert masks == [
            mask_of(0, 10, 10, 15, object_id=5),
            mask_of(*HERE, object_id=7),
            mask_of(*ASIDE, object_id=8),
        ]


# Who comes back


@pytest.mark.parametrize(
    ("there", "automatic", "ids"),
    [
        ("11.....11", {}, {1: [0, 1, 2, 3], 2: [7, 8]}),
        ("11.....11", {"rejoin_within": 6}, {1: [0, 1, 2, 3, 7, 8]}),
        ("11.....11", {"rejoin_within": 5}, {1: [0, 1, 2, 3], 2: [7, 8]}),  # last seen on frame 1
        ("11.....22", {"rejoin_within": 6, "rejoin_distance_frac": 0.1}, {1: [0, 1, 2, 3], 2: [7, 8]}),
        ("11.....11", {"rejoin_within": 6, "follow_back": 6}, {1: list(range(9))}),
        ("11.111111", {"rejoin_within": 6, "end_after": 9}, {1: list(range(9))}),
    ],
)
def test_an_object_that_comes_back_keeps_its_number(tracker, monkeypatch, there, automatic, ids):
    frames = Painted([{"1": True, "2": "aside"}.get(sign, False) for sign in there])

    def seen(state, frame, ids, logits):
        # The demo's network keeps seeing the disc after it is gone.
        if not frames.there[frame]:
            logits = logits * 0 - 1
        return tracked_masks(state, frame, ids, logits)

    for module in ("discovery", "trails"):
        monkeypatch.setattr(f"maskgrid.tracked.propagation.{module}.tracked_masks", seen)
    options = AutomaticConfig(**{"generate_every": 1, "end_after": 2, **automatic})
    generator = frames.generator()
    found = by_object(track_automatically(tracker, generator, frames, options))
    assert {number: sorted(masks) for number, masks in found.items()} == ids
    for masks in found.values():
        for frame, mask in masks.items():
            assert (mask.area_px > 0) == bool(frames.there[frame])


def test_an_object_whose_memory_draws_something_else_is_a_new_one(tracker, monkeypatch):
    frames = Painted([True])
    state = tracker.init_lazily(frames, TrackOptions())
    add_prompt(tracker, state, painted(frames.disc))
    ((_, ids, logits),) = tracker.propagate_quietly(state, range(1))
    lost = LostObjects(AutomaticConfig(rejoin_within=3, rejoin_iou_thresh=0.7))
    lost.note(state, 0, tracked_masks(state, 0, ids, logits))
    half = frames.disc.copy()
    half[30:] = False
    for masks, seen, expected in (
        ([frames.disc], (), {0: 1}),
        ([frames.aside, frames.disc], (), {1: 1}),
        ([half], (), {}),
        ([half, frames.disc], (), {1: 1}),
        ([frames.disc], (1,), {}),
        ([], (), {}),
    ):
        found = [rle.encode(mask) for mask in masks]
        assert lost.recognise(tracker, state, 0, found, seen) == expected


def test_the_memory_of_lost_objects_is_forgotten_in_time(tracker, monkeypatch):
    frames = Painted([True, True, False, False, False, False])
    monkeypatch.setattr(
        "maskgrid.tracked.propagation.discovery.tracked_masks",
        lambda state, frame, ids, logits: tracked_masks(
            state, frame, ids, logits if frames.there[frame] else logits * 0 - 1
        ),
    )
    automatic = AutomaticConfig(generate_every=1, end_after=1, rejoin_within=3)
    tracking = track_automatically(tracker, frames.generator(), frames, automatic)
    remembered = []
    for _ in tracking:
        stream = io.BytesIO()
        tracking.save(stream)
        remembered.append(sorted(tracking._lost.plain()))
    assert remembered == [[1], [1], [1], [1], [], []]
