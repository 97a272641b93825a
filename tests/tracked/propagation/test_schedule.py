"""The passes through a video, and how far back a model looks in it."""

from types import SimpleNamespace

import numpy as np
import pytest

from maskgrid.io.errors import UserError
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.schedule import Pass, last_passes, plan_passes
from maskgrid.tracked.propagation.state import Reach, reach_of
from maskgrid.tracked.records import FramePrompt


def prompt(frame, object_id=1, round=0):
    return FramePrompt(frame, object_id, box_xyxy=np.array([0, 0, 1, 1], np.float32), round=round)


@pytest.mark.parametrize(
    ("prompts", "options", "passes"),
    [
        ([prompt(3)], {}, [(0, 3, 9)]),
        ([prompt(3)], {"direction": "backward"}, [(0, 3, 0)]),
        ([prompt(3), prompt(2, 2)], {"direction": "both"}, [(0, 2, 9), (0, 2, 0)]),
        ([prompt(0)], {"direction": "both"}, [(0, 0, 9)]),
        ([prompt(0)], {"direction": "backward"}, []),
        ([prompt(3)], {"direction": "both", "max_frame_num_to_track": 2}, [(0, 3, 5), (0, 3, 1)]),
        ([prompt(3)], {"start_frame_idx": 5}, [(0, 5, 9)]),
        ([prompt(3), prompt(5, round=2)], {}, [(0, 3, 9), (2, 3, 9)]),
        # A pass starts at a new prompt on a frame where the object was not tracked yet, but not at a correction.
        ([prompt(3), prompt(1, round=1)], {}, [(0, 3, 9), (1, 1, 9)]),
        ([prompt(3), prompt(1, round=1)], {"direction": "both"}, [(0, 3, 9), (0, 3, 0), (1, 3, 9), (1, 3, 0)]),
        ([prompt(3), prompt(1, 2, round=1)], {"direction": "both"}, [(0, 3, 9), (0, 3, 0), (1, 1, 9), (1, 1, 0)]),
        (
            [prompt(3), prompt(1, round=1)],
            {"direction": "both", "add_all_frames_to_correct_as_cond": True},
            [(0, 3, 9), (0, 3, 0), (1, 1, 9), (1, 1, 0)],
        ),
        ([], {}, []),
    ],
)
def test_passes(prompts, options, passes):
    planned = plan_passes(prompts, TrackOptions(**options), 10)
    assert [(one.round, one.frames[0], one.frames[-1]) for one in planned] == passes
    assert all(one.reverse == (one.frames[-1] < one.frames[0]) for one in planned)


def test_the_start_must_be_a_frame():
    with pytest.raises(UserError, match="start_frame_idx"):
        plan_passes([prompt(0)], TrackOptions(start_frame_idx=10), 10)


def test_the_last_pass_over_a_frame():
    passes = [Pass(0, range(2, 5)), Pass(0, range(2, -1, -1)), Pass(1, range(1, 3))]
    assert last_passes(passes) == {0: 1, 1: 2, 2: 2, 3: 0, 4: 0}


@pytest.mark.parametrize(("num_maskmem", "stride"), [(n, r) for n in range(8) for r in (1, 2, 5)])
def test_reach_covers_the_frames_that_sam2_looks_at(num_maskmem, stride):
    """The expected frames are those that sam2's ``_prepare_memory_conditioned_features`` picks."""
    looked_back = [0]
    for frame in range(100, 200):
        for t_rel in range(1, num_maskmem):
            nearest = (frame - 2) // stride * stride
            looked_back.append(1 if t_rel == 1 else frame - (nearest - (t_rel - 2) * stride))
    model = SimpleNamespace(num_maskmem=num_maskmem, memory_temporal_stride_for_eval=stride, max_obj_ptrs_in_encoder=16)
    assert reach_of(model) == Reach(max(looked_back), 15)
