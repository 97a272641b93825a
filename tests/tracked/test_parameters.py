"""What of the config decides about the plan of a tracking job, and what about its masks: both make rules run again."""

from dataclasses import replace

import pytest

from maskgrid.config.models import Config
from maskgrid.config.tracking import TrackingConfig
from maskgrid.plan.plan import make_plan
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.parameters import mask_parameters, options_of, planning_parameters

PLANNING = ["source", "prompts", "use", "prompt_frames", "normalized", "start", "stop", "stride", "objects_per_job"]
MASKS = ["clear_non_cond_mem_around_input", "add_all_frames_to_correct_as_cond", "fill_hole_area", "vos_optimized"]


@pytest.fixture
def plan(tmp_path):
    tracking = {"source": "clips", "prompts": "p.csv", "stop": 9, "fill_hole_area": 3}
    return make_plan(Config.model_validate({"tracking": tracking}), tmp_path, tmp_path / "results")


def test_the_fields_that_decide(plan):
    """In this order: Snakemake compares the parameters as text."""
    assert list(planning_parameters(plan)) == [*PLANNING, "non_overlap_masks", "sweep"]
    assert list(mask_parameters(plan, "baseline")) == [
        "direction",
        "max_frame_num_to_track",
        "non_overlap_masks",
        *MASKS,
    ]
    assert planning_parameters(plan)["stop"] == 9
    assert mask_parameters(plan, "baseline")["fill_hole_area"] == 3


def test_objects_in_batches_decide_only_where_there_are_batches(plan):
    def parameters(**more):
        tracking = {"source": "clips", "prompts": "p.csv", **more}
        return mask_parameters(replace(plan, config=Config.model_validate({"tracking": tracking})), "baseline")

    assert parameters(objects_per_batch=1) == parameters()
    assert parameters(objects_per_batch=2) == {**parameters(), "objects_per_batch": 2}


def test_a_memory_that_chooses_decides_only_where_it_is_on(plan):
    def parameters(**more):
        tracking = {"source": "clips", "prompts": "p.csv", **more}
        changed = replace(plan, config=Config.model_validate({"tracking": tracking}))
        assert planning_parameters(changed) == planning_parameters(replace(changed, config=without))
        return mask_parameters(changed, "baseline")

    without = Config.model_validate({"tracking": {"source": "clips", "prompts": "p.csv"}})
    assert parameters(memory="sam2", memory_motion_weight=0.5, memory_stable_frames=3) == parameters()
    more = {"memory": "samurai", "memory_motion_weight": 0.5, "memory_stable_frames": 3}
    assert parameters(**more) == {**parameters(), **more}


def test_following_back_and_rejoining_decide_only_where_they_are_on(tmp_path):
    def parameters(**automatic):
        tracking = {"source": "clips", "automatic": automatic}
        return mask_parameters(make_plan(Config.model_validate({"tracking": tracking}), tmp_path, tmp_path), "baseline")

    assert parameters(rejoin_distance_frac=0.5) == parameters()
    assert "follow_back" not in parameters()
    assert parameters(follow_back=8) == {**parameters(), "follow_back": 8}
    rejoining = {"rejoin_within": 9, "rejoin_iou_thresh": 0.5, "rejoin_distance_frac": 0.5}
    assert parameters(rejoin_within=9, rejoin_distance_frac=0.5) == {**parameters(), **rejoining}


def test_a_new_field_reruns_everything_until_somebody_says_what_depends_on_it(plan):
    class Grown(TrackingConfig):
        new: int = 1

    grown = replace(plan, config=Config.model_construct(tracking=Grown(source="clips", prompts="p.csv")))
    assert planning_parameters(grown)["new"] == mask_parameters(grown, "baseline")["new"] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"direction": "both", "offload_state_to_cpu": True, "fill_hole_area": 4, "objects_per_batch": 4},
        {"memory": "samurai", "memory_motion_weight": 0.5, "memory_stable_frames": 3},
    ],
)
def test_the_tracker_takes_its_options_from_the_config(changes):
    config = TrackingConfig(source="clips", prompts="p.csv", **changes)
    assert options_of(config) == TrackOptions(**changes)


def test_jobs_are_planned_again_when_another_point_of_the_grid_is_the_baseline(tmp_path):
    def planned(every, values):
        tracking = {
            "source": "clips",
            "automatic": {"generate_every": every},
            "sweep": {"grid": {"generate_every": values}},
        }
        plan = make_plan(Config.model_validate({"tracking": tracking}), tmp_path, tmp_path / "results")
        return planning_parameters(plan)["sweep"], {setting.label for setting in plan.track_settings}

    (first, labels), (second, others), (none, all_) = planned(2, [2, 3]), planned(3, [2, 3]), planned(4, [2, 3])
    assert labels != others != all_
    assert first != second != none != first
    assert planned(5, [2, 3])[0] == none  # no point is the baseline: as written, whatever the baseline is
