"""The config's section ``tracking``, as the stages read it. The workflow imports this too, so no heavy imports here."""

from dataclasses import dataclass, fields
from typing import Any

from maskgrid.config.models import BASELINE, Config
from maskgrid.config.settings import TrackSetting
from maskgrid.config.track_sweep import track_settings
from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import Plan
from maskgrid.tracked.options import AutomaticOptions, TrackOptions

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
    "vos_optimized",
}
_OF_NEITHER = {"offload_video_to_cpu", "offload_state_to_cpu", "exports", "automatic"}  # automatic is in the setting


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


def tracking_config(plan: Plan) -> TrackingConfig:
    """The config's section.

    Raises:
        UserError: there is none.
    """
    if plan.config.tracking is None:
        raise UserError("tracking: the config has no such section; give at least tracking.source")
    return plan.config.tracking


def reading_of(plan: Plan) -> Reading:
    """Which frames of videos are read."""
    config = tracking_config(plan)
    return Reading(config.start, config.stop, config.stride, plan.config.dataset.max_pixels)


def setting_of(config: Config, name: str) -> TrackSetting:
    """Return a setting of automatic tracking by name.

    Raises:
        UserError: the sweep has no setting of that name.
    """
    known = {setting.name: setting for setting in track_settings(config)}
    if name not in known:
        raise UserError(f"tracking.sweep: no setting is called {name!r}; known are {', '.join(known)}")
    return known[name]


def setting_name(run: str) -> str:
    """The setting in the name of a run."""
    return run.partition("@")[2] or BASELINE


def planning_parameters(config: Config) -> dict[str, Any]:
    """What the section says about videos, prompts and jobs, but not about masks."""
    return config.tracking.model_dump(exclude=_OF_MASKS | _OF_NEITHER) if config.tracking else {}


def mask_parameters(config: Config, setting: str) -> dict[str, Any]:
    """The config's values that affect masks, besides the model, the videos and their prompts."""
    if config.tracking is None:
        return {}
    values = config.tracking.model_dump(exclude=_OF_JOBS | _OF_NEITHER)
    return values if config.tracking.prompts is not None else {**values, **setting_of(config, setting).parameters()}


def options_of(config: TrackingConfig) -> TrackOptions:
    """The config's parameters as the tracker takes them."""
    return TrackOptions(**config.model_dump(include={field.name for field in fields(TrackOptions)}))


def automatic_options(setting: TrackSetting) -> AutomaticOptions:
    """A setting's options for finding objects, in the tracker's form."""
    return AutomaticOptions(**setting.automatic.model_dump())
