"""``memory: samurai`` is the paper's rule, and holds wherever sam2's memory does."""

import io

import numpy as np
import pytest
import torch
from discovered import InTurn
from oracle_video import click, painted, random_case, with_attributes
from plain_kalman import PlainKalman

from killing import count_steps, die_at
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.errors import UserError
from maskgrid.io.journal import Journal
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation import predictor as predictors
from maskgrid.tracked.propagation import samurai
from maskgrid.tracked.propagation import tracker as trackers
from maskgrid.tracked.propagation.discovery import track_automatically
from maskgrid.tracked.propagation.motion import Motion
from maskgrid.tracked.propagation.predictor import VideoPredictor
from maskgrid.tracked.propagation.resume import track_resumably
from maskgrid.tracked.propagation.samurai import MaskChoice, Samurai, good_outputs
from maskgrid.tracked.propagation.state import NOTHING_LATER, Horizon, Reach, forget
from maskgrid.tracked.propagation.tracker import track
from maskgrid.tracked.videos.frames import FrameFolder

SOON = {"memory": "samurai", "memory_stable_frames": 2}
SHORT = {"num_maskmem": 3, "max_obj_ptrs_in_encoder": 4}

# Which mask

BOX = np.array([50.0, 40.0, 20.0, 10.0])
HERE, NEAR, FAR = (40, 35, 60, 45), (45, 35, 65, 45), (0, 0, 9, 9)


def moving(n_seen):
    """The motion of an object that stood at the box on every frame."""
    motion = Motion()
    for _ in range(n_seen):
        motion = motion.after(BOX, 1)
    return motion


def logits_of(*boxes_xyxy):
    logits = torch.full((len(boxes_xyxy), 80, 100), -5.0)
    for mask, (left, top, right, bottom) in zip(logits, boxes_xyxy, strict=True):
        mask[top:bottom, left:right] = 5.0
    return logits


def judged(policy, n_seen, boxes_xyxy, ious, score=3.0):
    """The place of the mask that is chosen, and whether the frame is good."""
    choice = MaskChoice(policy, [moving(n_seen)], 1, prompted=False)
    masks = logits_of(*boxes_xyxy)[None]
    weighed = choice.weigh(masks, torch.tensor([ious]), torch.tensor([[score]]))
    place = int(weighed[0].argmax())
    return place, bool(choice.notes(masks[:, place, None])["is_good"])


@pytest.mark.parametrize(
    ("weight", "n_seen", "boxes_xyxy", "ious", "expected"),
    [
        # Overlaps with the expected box: here 1, near 0.6, far 0.
        (0.25, 3, (HERE, NEAR, FAR), (0.7, 0.8, 0.9), 0),  # 0.775, 0.75, 0.675
        (0.15, 3, (HERE, NEAR, FAR), (0.7, 0.8, 0.9), 1),  # 0.745, 0.77, 0.765
        (0.05, 3, (HERE, NEAR, FAR), (0.7, 0.8, 0.9), 2),  # 0.715, 0.79, 0.855
        (0.0, 3, (HERE, NEAR, FAR), (0.7, 0.8, 0.9), 2),
        (1.0, 3, (NEAR, HERE, FAR), (0.9, 0.1, 0.9), 1),
        (0.25, 2, (HERE, NEAR, FAR), (0.7, 0.8, 0.9), 2),  # not seen often enough
        (0.25, 0, (HERE, NEAR, FAR), (0.7, 0.8, 0.9), 2),
        (0.25, 3, (FAR, FAR, FAR), (0.7, 0.9, 0.8), 1),
    ],
)
def test_which_of_three_masks(weight, n_seen, boxes_xyxy, ious, expected):
    assert judged(Samurai(weight, 3), n_seen, boxes_xyxy, ious)[0] == expected


@pytest.mark.parametrize("n_seen", [0, 2])
def test_without_motion_sam2s_values_are_not_touched(n_seen):
    ious = torch.rand(1, 3, generator=torch.Generator().manual_seed(0))
    choice = MaskChoice(Samurai(0.25, 3), [moving(n_seen)], 1, prompted=False)
    assert torch.equal(choice.weigh(logits_of(HERE, NEAR, FAR)[None], ious, torch.ones(1, 1)), ious)


@pytest.mark.parametrize(
    ("n_seen", "box_xyxy", "iou", "score", "expected"),
    [
        (3, HERE, 0.51, 0.1, True),
        (3, HERE, 0.49, 0.1, False),
        (3, HERE, 0.51, -0.1, False),
        (3, FAR, 0.9, 3.0, False),
        (2, FAR, 0.9, 3.0, True),  # its motion does not count yet
        (0, FAR, 0.9, 3.0, True),
        (0, FAR, 0.4, 3.0, False),
    ],
)
def test_which_frames_are_good(n_seen, box_xyxy, iou, score, expected):
    assert judged(Samurai(0.25, 3), n_seen, [box_xyxy] * 3, [iou, iou - 0.2, iou - 0.3], score)[1] == expected


def test_objects_of_a_batch_are_judged_each_by_itself():
    masks, ious = logits_of(HERE, NEAR, FAR)[None].expand(3, -1, -1, -1), torch.tensor([[0.7, 0.8, 0.9]] * 3)
    choice = MaskChoice(Samurai(0.25, 3), [moving(0), moving(3), moving(2)], 1, prompted=False)
    assert choice.weigh(masks, ious, torch.tensor([[1.0], [1.0], [-1.0]])).argmax(1).tolist() == [2, 0, 2]
    notes = choice.notes(masks[:, :1])
    assert notes["is_good"].tolist() == [True, True, False]
    assert notes["motion_n_seen"].tolist() == [1, 4, 3]


def test_a_prompted_frame_is_good_and_begins_the_motion():
    choice = MaskChoice(Samurai(0.25, 3), [moving(9)], 1, prompted=True)
    notes = choice.notes(logits_of(FAR)[None])
    assert (notes["is_good"].tolist(), notes["motion_n_seen"].tolist()) == ([True], [1])
    assert notes["motion_state"].tolist() == [[4.5, 4.5, 9, 9, 0, 0, 0, 0]]


# Which frames


def outputs_of(goods, cond=()):
    """Outputs by frame that say which frame they are of."""
    tracked = {t: {"frame": t, "is_good": torch.tensor([bool(good)])} for t, good in goods.items()}
    return {"cond_frame_outputs": {t: {"frame": t} for t in cond}, "non_cond_frame_outputs": tracked}


@pytest.mark.parametrize(
    ("goods", "cond", "frame", "reverse", "expected"),
    [
        # By the frame that sam2 takes it for, the frame that it reads.
        ({1: 1, 2: 1, 3: 1}, [0], 4, False, {3: 3, 2: 2, 1: 1}),
        ({1: 1, 2: 0, 3: 1}, [0], 4, False, {3: 3, 2: 1}),
        ({1: 1, 2: 1, 3: 0}, [0], 4, False, {3: 3, 2: 2, 1: 1}),  # the frame before is always there
        ({1: 1, 2: 0, 3: 0}, [0], 4, False, {3: 3, 2: 1}),
        ({1: 0, 2: 0, 3: 0}, [0], 4, False, {3: 3}),
        ({1: 1, 2: 1}, [0], 9, False, {8: 2, 7: 1}),  # however long ago
        ({1: 1, 2: 1, 6: 1, 7: 1}, [0], 4, False, {3: 2, 2: 1}),  # nothing after the frame
        ({5: 0, 6: 1, 8: 1, 2: 1}, [9], 4, True, {5: 5, 6: 6, 7: 8}),
        ({6: 0, 7: 1}, [9], 4, True, {5: 7}),
        ({}, [0], 4, False, {}),
        # Around a conditioning frame, which takes up a place.
        ({1: 1, 3: 1}, [2], 4, False, {3: 3, 1: 1}),
        ({1: 1, 2: 0, 3: 1, 5: 0, 6: 0}, [4], 7, False, {6: 6, 4: 3, 3: 1}),
        ({1: 1, 2: 1}, [3], 4, False, {2: 2, 1: 1}),
        ({5: 1, 6: 0, 7: 1}, [4], 3, True, {5: 5, 6: 7}),
    ],
)
def test_which_frames_are_read(goods, cond, frame, reverse, expected):
    found = good_outputs(outputs_of(goods, cond), frame, reverse)
    assert {place: output["frame"] for place, output in found["non_cond_frame_outputs"].items()} == expected
    assert list(found["cond_frame_outputs"]) == cond


def forgotten(goods, frame, reach, horizon=NOTHING_LATER):
    """Frames that are kept, and those of them with features."""
    outputs = outputs_of(goods)
    for output in outputs["non_cond_frame_outputs"].values():
        output |= {"maskmem_features": 1, "maskmem_pos_enc": 1, "pred_masks": 1}
    forget({"output_dict_per_obj": {0: outputs}, "frames_tracked_per_obj": {0: {}}}, frame, reach, horizon)
    kept = outputs["non_cond_frame_outputs"]
    return sorted(kept), sorted(t for t, output in kept.items() if output["maskmem_features"] is not None)


@pytest.mark.parametrize(
    ("goods", "horizon", "kept", "with_features"),
    [
        (dict.fromkeys(range(1, 10), 1), NOTHING_LATER, [5, 6, 7, 8, 9], [7, 8, 9]),
        ({1: 1, 2: 1, 3: 1, 4: 1, 5: 1, 6: 0, 7: 0, 8: 0, 9: 0}, NOTHING_LATER, [2, 3, 4, 5, 8, 9], [4, 5, 8, 9]),
        (dict.fromkeys(range(1, 10), 0), NOTHING_LATER, [8, 9], [8, 9]),
        ({1: 1, 2: 1, 3: 0, 4: 0, 5: 1, 6: 1, 7: 0, 8: 0, 9: 0}, Horizon(frozenset([4]), frozenset()), None, None),
    ],
)
def test_what_is_forgotten(goods, horizon, kept, with_features):
    everything = sorted(goods) if kept is None else kept
    found, features = forgotten(goods, 9, Reach(2, 4, good_only=True), horizon)
    if kept is None:  # around frame 4, where a later pass begins, and behind frame 9
        assert (found, features) == ([1, 2, 3, 4, 5, 6, 8, 9], [1, 2, 3, 4, 5, 6, 8, 9])
    else:
        assert (found, features) == (everything, with_features)


def test_a_frame_that_stays_lets_go_of_its_batch():
    goods = {1: 1, **dict.fromkeys(range(2, 10), 0)}
    outputs, batch = outputs_of(goods), torch.zeros(5, 8)
    for output in outputs["non_cond_frame_outputs"].values():
        output |= {"maskmem_features": batch[:1], "maskmem_pos_enc": [batch[:1]], "pred_masks": None}
    forget(
        {"output_dict_per_obj": {0: outputs}, "frames_tracked_per_obj": {0: {}}}, 9, Reach(2, 4, True), NOTHING_LATER
    )
    kept = outputs["non_cond_frame_outputs"]
    assert {t: output["maskmem_features"].untyped_storage().nbytes() for t, output in kept.items()} == {
        1: 8 * 4,
        8: 5 * 8 * 4,
        9: 5 * 8 * 4,
    }


# All of it, on the network


@pytest.fixture
def watched(monkeypatch, tracker):
    """What the network gave and read, by frame."""
    seen = {"given": [], "read": {}, "masks": {}}
    hook = tracker.sam_mask_decoder.register_forward_hook(
        lambda _, __, found: seen["given"].append((found[0].clone(), found[1].clone(), float(found[3])))
    )
    run, recall = VideoPredictor._run, samurai.good_outputs

    def running(self, arguments):
        seen["given"].clear()
        output, masks = run(self, arguments)
        seen["masks"][arguments["frame_idx"]] = output["pred_masks"][0, 0], list(seen["given"])
        return output, masks

    def recalling(outputs, frame, reverse):
        found = recall(outputs, frame, reverse)
        names = {id(output): t for t, output in outputs["non_cond_frame_outputs"].items()}
        seen["read"][frame] = {t: names[id(output)] for t, output in found["non_cond_frame_outputs"].items()}
        return found

    monkeypatch.setattr(VideoPredictor, "_run", running)
    monkeypatch.setattr(predictors, "good_outputs", recalling)
    yield seen
    hook.remove()


def box_of(mask):
    rows, columns = np.nonzero(mask.numpy())
    if not len(rows):
        return None
    low, high = np.array([columns.min(), rows.min()]), np.array([columns.max() + 1, rows.max() + 1])
    return np.concatenate([(low + high) / 2, high - low]).astype(float)


def overlap(box, other):
    if box is None:
        return 0.0
    low = np.maximum(box[:2] - box[2:] / 2, other[:2] - other[2:] / 2)
    high = np.minimum(box[:2] + box[2:] / 2, other[:2] + other[2:] / 2)
    common = np.clip(high - low, 0, None).prod()
    return common / (box[2:].prod() + other[2:].prod() - common)


@pytest.mark.parametrize(("direction", "start"), [("forward", 0), ("backward", 7)])
def test_the_tracker_follows_the_rule(tracker, clip, watched, monkeypatch, direction, start):
    """The rule in plain words, from what the network gave on each frame."""
    folder, masks = clip
    least, weight = 0.94, 0.6
    monkeypatch.setattr(samurai, "LEAST_IOU", least)
    options = TrackOptions(direction=direction, memory="samurai", memory_motion_weight=weight, memory_stable_frames=2)
    n_moved = n_bad = 0
    for number in range(3):
        list(track(tracker, FrameFolder(folder), [painted(masks[start, number], start)], options))
        step = 1 if direction == "forward" else -1
        kalman, good = PlainKalman(box_of(watched["masks"][start][0] > 0)), []
        for frame in range(start + step, 8 if step == 1 else -1, step):
            before = [] if frame == start + step else [frame - step]
            expected = [*before, *(t for t in reversed(good) if t not in before)]
            assert list(dict(sorted(watched["read"][frame].items(), reverse=step == 1)).values()) == expected
            mask, ((candidates, (ious,), score),) = watched["masks"][frame]
            counts = kalman is not None and kalman.n_seen >= 2
            boxes = [box_of(candidate > 0) for candidate in candidates[0]]
            near = [overlap(box, kalman.expected(step)) if counts else 1 for box in boxes]
            weighed = [weight * one + (1 - weight) * float(iou) for one, iou in zip(near, ious, strict=True)]
            best = int(np.argmax(weighed)) if counts else int(ious.argmax())
            n_moved += best != int(ious.argmax())
            assert torch.equal(mask > 0, (candidates[0, best] > 0) & (score > 0))
            if float(ious[best]) > least and score > 0 and near[best] > 0:
                good.append(frame)
            else:
                n_bad += 1
            box = box_of(mask > 0)
            if box is None:
                kalman = None
            elif kalman is None:
                kalman = PlainKalman(box)
            else:
                kalman.see(box, step)
    assert n_moved > 0
    assert n_bad > 0


@pytest.mark.parametrize("options", [{"direction": "both"}, {"objects_per_batch": 3}])
def test_where_all_frames_are_good_and_motion_never_counts_it_is_sam2s(tracker, clip, monkeypatch, options):
    folder, masks = clip
    monkeypatch.setattr(samurai, "LEAST_IOU", -1.0)
    monkeypatch.setattr(samurai, "LEAST_SCORE", -np.inf)
    prompts = [painted(masks[2, number], 2, number) for number in range(3)] + [click(masks[5, 0], 5, 1, round=1)]
    never = {"memory": "samurai", "memory_stable_frames": 99}
    expected = list(track(tracker, FrameFolder(folder), prompts, TrackOptions(**options)))
    assert list(track(tracker, FrameFolder(folder), prompts, TrackOptions(**options, **never))) == expected


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_forgotten_that_is_read_later(tracker, clip, monkeypatch, seed):
    folder, masks = clip
    prompts, options, memory = random_case(np.random.default_rng(seed), masks)
    given = {name: getattr(options, name) for name in TrackOptions.__slots__ if not name.startswith("memory")}
    options, model = TrackOptions(**given, **SOON), with_attributes(tracker, **memory)
    monkeypatch.setattr(samurai, "LEAST_IOU", 0.955)  # about half of the frames are good
    found = list(track(model, FrameFolder(folder), prompts, options))
    monkeypatch.setattr(trackers, "forget", lambda *_: None)
    assert list(track(model, FrameFolder(folder), prompts, options)) == found


class BackAndForth:
    """Frames of a clip, again and again."""

    def __init__(self, frames, n):
        self.frames, self.n, self.size_hw = frames, n, frames.size_hw

    def __len__(self):
        return self.n

    def read(self, frame):
        return self.frames.read(frame % len(self.frames))


@pytest.mark.parametrize("least", [-1.0, 0.963, 2.0])
def test_memory_does_not_grow(tracker, clip, monkeypatch, least):
    folder, masks = clip
    monkeypatch.setattr(samurai, "LEAST_IOU", least)
    model = with_attributes(tracker, **SHORT)
    tracking = track(model, BackAndForth(FrameFolder(folder), 20), [painted(masks[0, 0])], TrackOptions(**SOON))
    for _ in tracking:
        kept = tracking._state["output_dict_per_obj"][0]["non_cond_frame_outputs"]
        assert len(kept) <= 3 + 2  # pointers, the last frame and the one before
        assert sum(output["maskmem_features"] is not None for output in kept.values()) <= 2 + 2


# Killed and resumed


def cases(masks):
    return [painted(masks[3, 0], 3, 1), painted(masks[2, 1], 2, 2), click(masks[4, 0], 4, 1, round=1)]


@pytest.mark.parametrize("options", [{}, {"objects_per_batch": 2}])
def test_a_resumed_run_gives_the_same_bytes(tracker, clip, tmp_path, options):
    folder, masks = clip
    options = TrackOptions("both", add_all_frames_to_correct_as_cond=True, **SOON, **options)
    whole = list(track(tracker, FrameFolder(folder), cases(masks), options))
    for n_taken in (1, 4, 6):
        tracking = track(tracker, FrameFolder(folder), cases(masks), options)
        first, saved = [next(tracking) for _ in range(n_taken)], io.BytesIO()
        tracking.save(saved)
        (tmp_path / "snapshot").write_bytes(saved.getvalue())
        rest = track(tracker, FrameFolder(folder), cases(masks), options, snapshot=tmp_path / "snapshot")
        assert [*first, *rest] == whole


def test_a_killed_run_ends_with_the_same_bytes(tracker, clip, tmp_path):
    folder, masks = clip
    prompts, options = [painted(masks[0, number], 0, number) for number in range(2)], TrackOptions(**SOON)
    whole = list(track(tracker, FrameFolder(folder), prompts, options))

    def work(output):
        return list(track_resumably(tracker, FrameFolder(folder), prompts, options, Journal(output, "f"), 2))

    n_steps = count_steps(lambda: work(tmp_path / "first"))
    for step in range(3, n_steps, n_steps // 2):
        output = tmp_path / f"killed-{step}"
        assert die_at(lambda output=output: work(output), step)
        assert work(output) == whole


@pytest.mark.parametrize("options", [{}, {"objects_per_batch": 4}])
def test_found_objects_are_followed_back_and_rejoined(tracker, clip, tmp_path, options):
    folder, masks = clip
    shown = [[painted(masks[0, 0])], [painted(masks[4, 1], 4)], []]
    automatic = AutomaticConfig(
        generate_every=4, end_after=1, follow_back=3, rejoin_within=4, join_containment_thresh=1.0
    )
    options = TrackOptions(**SOON, **options)

    def begin(snapshot, generator=None):
        generator = generator or InTurn(shown)
        return track_automatically(tracker, generator, FrameFolder(folder), automatic, options, snapshot=snapshot)

    whole = list(begin(None))
    assert {mask.object_id: mask.frame for _, row in reversed(whole) for mask in row if mask.area_px} == {1: 0, 2: 1}
    tracking = begin(None)
    first, saved = [next(tracking) for _ in range(3)], io.BytesIO()
    tracking.save(saved)
    (tmp_path / "snapshot").write_bytes(saved.getvalue())
    left = InTurn(shown[len(tracking.generated_on) :])
    assert [*first, *begin(tmp_path / "snapshot", left)] == whole


def test_another_memory_is_an_error():
    with pytest.raises(UserError, match="take sam2 or samurai"):
        samurai.samurai_of(TrackOptions(memory="samurei"))
