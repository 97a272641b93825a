"""The config's section ``tracking``, as the stages read it. The workflow imports this too, so no heavy imports here."""

from dataclasses import dataclass, fields
from typing import Any

from maskgrid.config.models import BASELINE
from maskgrid.config.sweep import find
from maskgrid.config.tracking import TrackingConfig
from maskgrid.plan.plan import Plan
from maskgrid.tracked.options import TrackOptions

# Fields of the section, by what depends on them alone: the jobs (which video, frames and objects), or the masks. Both
# depend on a field in neither set, so a new one reruns too much rather than too little.
_OF_JOBS = {
    "source",
    "prompts",
    "use",
    "prompt_frames",
    "normalized",
    "start",
    "stop",
    "stride",
    "objects_per_job",
    "sweep",
}
_OF_MASKS = {
    "direction",
    "max_frame_num_to_track",
    "clear_non_cond_mem_around_input",
    "add_all_frames_to_correct_as_cond",
    "fill_hole_area",
    "objects_per_batch",
    "memory",
    "memory_motion_weight",
    "memory_stable_frames",
    "vos_optimized",
}
# automatic is in the setting.
_OF_NEITHER = {
    "offload_video_to_cpu",
    "offload_state_to_cpu",
    "exports",
    "automatic",
    "ground_truth",
    "match_truth_by",
    "skip_first_and_last",
}


@dataclass(frozen=True, slots=True)
class Reading:
    """Which frames of a video are read, and the size limit ``max_pixels`` (width x height)."""

    start: int
    stop: int | None
    stride: int
    max_pixels: int

    def numbers(self, n_frames: int) -> range:
        """The numbers of the frames that are read, out of ``n_frames``."""
        return range(n_frames)[self.start : self.stop : self.stride]


def reading_of(plan: Plan) -> Reading:
    """Which frames of videos are read."""
    config = plan.tracking
    return Reading(config.start, config.stop, config.stride, plan.config.dataset.max_pixels)


def setting_name(run: str) -> str:
    """The setting in the name of a run."""
    return run.partition("@")[2] or BASELINE


def planning_parameters(plan: Plan) -> dict[str, Any]:
    """The section's values that decide about videos, prompts and jobs, but not about masks."""
    config = plan.config.tracking
    if config is None:
        return {}
    values = config.model_dump(exclude=_OF_MASKS | _OF_NEITHER)
    # A table's path says nothing about its settings; nor does a grid, one of whose points is the baseline.
    if isinstance(config.sweep, str) or any(
        setting.in_grid and setting.label == BASELINE for setting in plan.track_settings
    ):
        values["sweep"] = [setting.label for setting in plan.track_settings]
    return values


def mask_parameters(plan: Plan, setting: str) -> dict[str, Any]:
    """The config's values that affect masks, besides the model, the videos and their prompts."""
    config = plan.config.tracking
    if config is None:
        return {}
    values = config.model_dump(exclude=_OF_JOBS | _OF_NEITHER)
    if config.prompts is not None:
        return values
    return {**values, **find(plan.track_settings, setting, "tracking.sweep").parameters()}


def options_of(config: TrackingConfig) -> TrackOptions:
    """The config's parameters as the tracker takes them."""
    return TrackOptions(**config.model_dump(include={field.name for field in fields(TrackOptions)}))
