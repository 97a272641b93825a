"""Snapshots hold what they save: objects of a batch take no more room than objects that were tracked by themselves."""

import io

import numpy as np
import pytest
import torch

from maskgrid import TrackOptions, track
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.tracked.propagation.lost import LostObjects
from maskgrid.tracked.propagation.snapshots import with_own_storage, write_snapshot
from maskgrid.tracked.propagation.state import kept_state, state_of
from maskgrid.tracked.propagation.tracker import tracked_masks
from maskgrid.tracked.records import FramePrompt
from maskgrid.tracked.videos.frames import FrameFolder

N_OBJECTS = 16
BATCH = torch.arange(16 * 1000.0).reshape(16, 1, 1000)
SHARED = torch.arange(2000.0)


def saved(content):
    stream = io.BytesIO()
    write_snapshot(content, stream)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("tensors", "n_numbers"),
    [
        ([*BATCH.split(1)], 16_000),
        ([BATCH[3:4]], 1_000),
        ([BATCH[3:4], BATCH[9:10]], 2_000),
        ([BATCH[3:4], BATCH[3:4]], 1_000),
        ([BATCH[3:4], BATCH[3:4, :, :10]], 1_010),
        ([SHARED, SHARED, SHARED.expand(5, -1)], 2_000),
        ([BATCH[:0], torch.empty(0)], 0),
    ],
)
def test_a_snapshot_has_the_bytes_of_what_it_holds(tensors, n_numbers):
    content = {"n": 1, "objects": {number: {"of": [tensor, None]} for number, tensor in enumerate(tensors)}}
    found = saved(content)
    assert 4 * n_numbers <= len(found) < 4 * n_numbers + 4000
    loaded = torch.load(io.BytesIO(found), weights_only=True)
    assert loaded["n"] == 1
    for number, tensor in enumerate(tensors):
        one, nothing = loaded["objects"][number]["of"]
        assert nothing is None
        assert torch.equal(one, tensor)
        assert one.stride() == tensor.stride()


def test_only_slices_are_copied():
    assert with_own_storage(SHARED) is SHARED
    assert with_own_storage(BATCH[3:4]).untyped_storage().nbytes() == 4000


@pytest.fixture(scope="module")
def begun(tracker, clip):
    """Tracking of sixteen squares, four frames in, by how many go together."""
    frames = FrameFolder(clip[0])
    height, width = (side // 4 for side in frames.size_hw)
    prompts = []
    for number in range(N_OBJECTS):
        top, left = number // 4 * height, number % 4 * width
        mask = np.zeros(frames.size_hw, np.bool_)
        mask[top + 2 : top + height - 2, left + 2 : left + width - 2] = True
        prompts.append(FramePrompt(0, number + 1, mask=mask))

    def begin(chosen, objects_per_batch):
        options = TrackOptions(objects_per_batch=objects_per_batch)
        tracking = track(tracker, frames, [prompts[number] for number in chosen], options)
        for _ in range(4):
            next(tracking)
        return tracking

    return begin


def n_bytes(tracking):
    stream = io.BytesIO()
    tracking.save(stream)
    return len(stream.getvalue())


def test_sixteen_objects_in_a_batch_take_the_room_of_sixteen_objects(begun):
    together, apart = (n_bytes(begun(range(N_OBJECTS), size)) for size in (N_OBJECTS, 1))
    single = sum(n_bytes(begun([number], 1)) for number in range(N_OBJECTS))
    assert together <= apart
    assert apart < single


def test_one_object_of_a_batch_takes_the_room_of_one(begun):
    single = len(saved(kept_state(begun([3], 1)._state)))
    of_batch = len(saved(kept_state(state_of(begun(range(N_OBJECTS), N_OBJECTS)._state, [4]))))
    assert of_batch < 1.1 * single


def test_an_object_out_of_sight_does_not_hold_its_batch_in_memory(begun):
    tracking = begun(range(N_OBJECTS), N_OBJECTS)
    state, frame = tracking._state, 3
    logits = torch.ones(N_OBJECTS, 1, *tracking.size_hw)
    lost = LostObjects(AutomaticConfig(rejoin_within=9))
    lost.note(state, frame, tracked_masks(state, frame, state["obj_ids"], logits))
    before = largest(lost, frame)
    lost.note(state, frame + 1, tracked_masks(state, frame, state["obj_ids"], -logits))
    assert largest(lost, frame) * N_OBJECTS == before


def largest(lost, frame):
    """Bytes of the largest tensor that is kept for an object's memory of a frame."""
    memory = lost.plain()[4][2][frame]
    return max(one.untyped_storage().nbytes() for one in memory.values() if isinstance(one, torch.Tensor))
