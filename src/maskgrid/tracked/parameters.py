"""The config's section ``tracking`` as the stages read it; the workflow reads it too, so nothing heavy is imported."""

from dataclasses import dataclass
from typing import Any

from maskgrid.config.models import BASELINE
from maskgrid.config.sweep import find
from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.errors import UserError
from maskgrid.plan.plan import Plan
from maskgrid.tracked.options import TrackOptions

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


def setting_name(run: str) -> str:
    """The setting in the name of a run."""
    return run.partition("@")[2] or BASELINE


def mask_parameters(plan: Plan, setting: str) -> dict[str, Any]:
    """What of a config decides about masks, beside the model, the videos and their prompts."""
    config = plan.config.tracking
    if config is None:
        return {}
    values = {name: getattr(config, name) for name in (*_MASKS, "vos_optimized")}
    if config.prompts is not None:
        return values
    return {**values, **find(plan.track_settings, setting, "tracking.sweep").parameters()}


def options_of(config: TrackingConfig) -> TrackOptions:
    """The config's parameters as the tracker takes them."""
    return TrackOptions(**{name: getattr(config, name) for name in (*_MASKS, *_OFFLOADING)})
