"""What of the config decides about the plan of a tracking job, and what about its masks: both make rules run again."""

import pytest

from maskgrid.config.models import Config
from maskgrid.config.tracking import TrackingConfig
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.parameters import mask_parameters, options_of, planning_parameters

CONFIG = Config.model_validate({"tracking": {"source": "clips", "prompts": "p.csv", "stop": 9, "fill_hole_area": 3}})
PLANNING = ["source", "prompts", "use", "prompt_frames", "normalized", "start", "stop", "stride", "objects_per_job"]
MASKS = ["clear_non_cond_mem_around_input", "add_all_frames_to_correct_as_cond", "fill_hole_area", "vos_optimized"]


def test_the_fields_that_decide():
    """In this order: Snakemake compares the parameters as text."""
    assert list(planning_parameters(CONFIG)) == [*PLANNING, "non_overlap_masks", "sweep"]
    assert list(mask_parameters(CONFIG, "baseline")) == [
        "direction",
        "max_frame_num_to_track",
        "non_overlap_masks",
        *MASKS,
    ]
    assert planning_parameters(CONFIG)["stop"] == 9
    assert mask_parameters(CONFIG, "baseline")["fill_hole_area"] == 3


def test_a_new_field_reruns_everything_until_somebody_says_what_depends_on_it():
    class Grown(TrackingConfig):
        new: int = 1

    config = Config.model_construct(tracking=Grown(source="clips", prompts="p.csv"))
    assert planning_parameters(config)["new"] == mask_parameters(config, "baseline")["new"] == 1


@pytest.mark.parametrize("changes", [{}, {"direction": "both", "offload_state_to_cpu": True, "fill_hole_area": 4}])
def test_the_tracker_takes_its_options_from_the_config(changes):
    config = TrackingConfig(source="clips", prompts="p.csv", **changes)
    assert options_of(config) == TrackOptions(**changes)
