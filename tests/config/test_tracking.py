"""The config's ``tracking`` section: which values it refuses, with which message, and its defaults."""

import dataclasses
import inspect

import pytest
from sam2.sam2_video_predictor import SAM2VideoPredictor

from maskgrid.config.files import parse_config
from maskgrid.config.tracking import AutomaticConfig, TrackingConfig
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.options import TrackOptions


@pytest.mark.parametrize(
    ("tracking", "words"),
    [
        ({}, "tracking.source: field required"),
        ({"source": "x", "prompts": "p.txt"}, "tracking.prompts: "),
        ({"source": "x", "strid": 2}, "tracking.strid: unknown key; did you mean 'stride'"),
        ({"source": "x", "stride": 0}, "tracking.stride: "),
        ({"source": "x", "start": 5, "stop": 5}, "start: 5 to stop: 5 selects no frames"),
        ({"source": "x", "exports": ["gif"]}, "tracking.exports"),
        ({"source": "x", "prompts": "demo"}, "prompts: demo works only with source: demo"),
        ({"source": "x", "ground_truth": "demo"}, "ground_truth: demo works only with source: demo"),
        ({"source": "x", "match_truth_by": "ids"}, "match_truth_by: ids needs prompts"),
        ({"source": "x", "direction": "both"}, "direction and max_frame_num_to_track need prompts"),
        ({"source": "x", "automatic": {"generate_evry": 2}}, "did you mean 'generate_every'"),
        ({"source": "x", "automatic": {"join_iou_thresh": 2}}, "tracking.automatic.join_iou_thresh"),
        ({"source": "x", "automatic": {"follow_back": 0}}, "tracking.automatic.follow_back"),
        ({"source": "x", "automatic": {"rejoin_within": 0}}, "tracking.automatic.rejoin_within"),
        ({"source": "x", "automatic": {"rejoin_distance_frac": 2}}, "tracking.automatic.rejoin_distance_frac"),
        ({"source": "x", "prompts": "p.csv", "sweep": {"grid": {"end_after": [1]}}}, "remove either sweep or prompts"),
        ({"source": "x", "sweep": {"grid": {"end_aftr": [1]}}}, "tracking.sweep.grid.end_aftr: unknown parameter; did"),
        ({"source": "x", "sweep": {"grid": {"end_after": [0]}}}, "tracking.sweep.grid.end_after"),
        ({"source": "x", "sweep": {"points": [{"name": "../a"}]}}, "cannot be a setting's name"),
        ({"source": "x", "objects_per_batch": 0}, "tracking.objects_per_batch"),
        ({"source": "x", "objects_per_batch": 2, "vos_optimized": True}, "remove one of the two"),
        ({"source": "x", "memory": "samurei"}, "tracking.memory"),
        ({"source": "x", "memory": "samurai", "memory_motion_weight": 1.5}, "tracking.memory_motion_weight"),
        ({"source": "x", "memory": "samurai", "memory_stable_frames": 0}, "tracking.memory_stable_frames"),
        ({"source": "x", "sweep": {"points": [{"name": "a"}, {"name": "a"}]}}, "'a' is used twice"),
    ],
)
def test_wrong_values_are_errors_before_any_work(tmp_path, tracking, words):
    with pytest.raises(UserError) as error:
        make_plan(parse_config({"tracking": tracking}, "c.yaml"), tmp_path, tmp_path)
    assert words in str(error.value)


def test_a_section_is_written_as_before_objects_in_batches_unless_it_has_them():
    written = [TrackingConfig(source="x", **more).model_dump() for more in ({}, {"objects_per_batch": 1})]
    assert written[0] == written[1]
    assert "objects_per_batch" not in written[0]
    assert TrackingConfig(source="x", objects_per_batch=2).model_dump() == {**written[0], "objects_per_batch": 2}


def test_a_section_is_written_as_before_memories_that_choose_unless_it_has_one():
    plain = TrackingConfig(source="x").model_dump()
    assert not any(name.startswith("memory") for name in plain)
    assert TrackingConfig(source="x", memory="sam2", memory_stable_frames=3).model_dump() == plain
    more = {"memory": "samurai", "memory_motion_weight": 0.25, "memory_stable_frames": 3}
    assert TrackingConfig(source="x", memory="samurai", memory_stable_frames=3).model_dump() == plain | more


def test_a_section_is_written_as_before_ground_truth_unless_it_has_one():
    plain = TrackingConfig(source="x").model_dump()
    more = {"ground_truth": "truth", "match_truth_by": "masks", "skip_first_and_last": False}
    assert not plain.keys() & more.keys()
    assert TrackingConfig(source="x", **more).model_dump() == plain | more


def test_a_section_is_written_as_before_objects_were_followed_back_unless_they_are():
    plain = AutomaticConfig().model_dump()
    assert not {"follow_back", "rejoin_within", "rejoin_iou_thresh", "rejoin_distance_frac"} & set(plain)
    assert AutomaticConfig(rejoin_iou_thresh=0.7).model_dump() == plain
    assert AutomaticConfig(follow_back=3).model_dump() == {**plain, "follow_back": 3}
    rejoining = {"rejoin_within": 3, "rejoin_iou_thresh": 0.5, "rejoin_distance_frac": 0.25}
    assert AutomaticConfig(rejoin_within=3).model_dump() == {**plain, **rejoining}


def test_defaults_match_the_tracker_and_sam2():
    ours = TrackingConfig(source="x")
    for field in dataclasses.fields(TrackOptions):
        if field.name != "start_frame_idx":
            assert getattr(ours, field.name) == field.default, field.name
    named = set()
    for function in (SAM2VideoPredictor.__init__, SAM2VideoPredictor.init_state, SAM2VideoPredictor.propagate_in_video):
        for name, parameter in inspect.signature(function).parameters.items():
            if name in TrackingConfig.model_fields:
                named.add(name)
                assert getattr(ours, name) == parameter.default, name
    assert {"fill_hole_area", "non_overlap_masks", "offload_state_to_cpu", "max_frame_num_to_track"} < named
