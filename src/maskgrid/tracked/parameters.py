"""The config's section ``tracking`` as the stages read it; the workflow reads it too, so nothing heavy is imported."""

from dataclasses import dataclass
from typing import Any

from maskgrid.config.models import BASELINE, Config
from maskgrid.config.settings import TrackSetting
from maskgrid.config.track_sweep import track_settings
from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import Plan
from maskgrid.tracked.options import AutomaticOptions, TrackOptions

# What decides about masks; offloading decides about memory alone.
_MASKS = (
    "direction",
    "max_frame_num_to_track",
    "non_overlap_masks",
    "clear_non_cond_mem_around_input",
    "add_all_frames_to_correct_as_cond",
    "fill_hole_area",
)
_OFFLOADING = ("offload_video_to_cpu", "offload_state_to_cpu")


@dataclass(frozen=True, slots=True)
class Reading:
    """Which frames of videos are read, and up to which size."""

    start: int
    stop: int | None
    stride: int
    max_pixels: int

    def numbers(self, n_frames: int) -> range:
        """The video's own numbers of the frames that are read."""
        return range(n_frames)[self.start : self.stop : self.stride]


def reading_of(plan: Plan) -> Reading:
    """Which frames of videos are read."""
    config = plan.tracking
    return Reading(config.start, config.stop, config.stride, plan.config.dataset.max_pixels)


def setting_of(config: Config, name: str) -> TrackSetting:
    """A setting of automatic tracking by its name.

    Raises:
        UserError: the sweep has none of that name.
    """
    known = {setting.name: setting for setting in track_settings(config)}
    if name not in known:
        raise UserError(f"tracking.sweep: has no setting {name!r}; there are {', '.join(known)}")
    return known[name]


def setting_name(run: str) -> str:
    """The setting in the name of a run."""
    return run.partition("@")[2] or BASELINE


def mask_parameters(config: Config, setting: str) -> dict[str, Any]:
    """What of a config decides about masks, beside the model, the videos and their prompts."""
    if config.tracking is None:
        return {}
    values = {name: getattr(config.tracking, name) for name in (*_MASKS, "vos_optimized")}
    return values if config.tracking.prompts is not None else {**values, **setting_of(config, setting).parameters()}


def options_of(config: TrackingConfig) -> TrackOptions:
    """The config's parameters as the tracker takes them."""
    return TrackOptions(**{name: getattr(config, name) for name in (*_MASKS, *_OFFLOADING)})


def automatic_options(setting: TrackSetting) -> AutomaticOptions:
    """How objects are found under a setting, as the tracker takes it."""
    return AutomaticOptions(**setting.automatic.model_dump())
