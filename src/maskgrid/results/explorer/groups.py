"""What the explorer offers to choose from: groups of passes, and the settings of the sweep."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from maskgrid.config.models import GeneratorConfig
from maskgrid.config.settings import Setting
from maskgrid.io.wording import parameter
from maskgrid.plan.passes import PASS_PARAMETERS, PassRun, Recording, passes_of
from maskgrid.plan.plan import Plan

# The values of a setting that the page can change.
THRESHOLDS = (
    *("pred_iou_thresh", "stability_score_thresh", "box_nms_thresh", "crop_nms_thresh"),
    *("mask_threshold", "stability_score_offset", "min_mask_region_area"),
)
# More settings would make the page slow to load; the baseline is the first.
_MAX_SETTINGS = 2000


@dataclass(frozen=True, slots=True)
class RunGroup:
    """Passes of the network that settings use together: one choice on the page.

    Attributes:
        setting: the first setting that uses them.
        runs: the passes, by crop layer.
    """

    setting: Setting
    runs: tuple[PassRun, ...]

    @property
    def names(self) -> list[str]:
        """The passes' folders, with the checkpoint, because checkpoints share pass names."""
        return [run.folder for run in self.runs]

    def data(self, baseline: Setting) -> dict[str, Any]:
        """A group's title and recording, and the config lines that ask for its passes."""
        values, base = self.setting.parameters(), baseline.parameters()
        lines = {name: values[name] for name in PASS_PARAMETERS if values[name] != base[name]}
        defaults = GeneratorConfig().model_dump()
        wanted = [name for name in PASS_PARAMETERS if values[name] != defaults.get(name) or name in lines]
        title = ", ".join(f"{name} {parameter(value)}" for name, value in lines.items())
        if self.setting.checkpoint != baseline.checkpoint:
            title = ", ".join([f"checkpoint {parameter(self.setting.checkpoint)}", *([title] if title else [])])
        return {
            "title": title or f"as {baseline.label}",
            "checkpoint": self.setting.checkpoint,
            "is_other_checkpoint": self.setting.checkpoint != baseline.checkpoint,
            "passes": [run.pass_.name for run in self.runs],
            "keys": self.names,
            "generator": {name: values[name] for name in wanted},
            "changed": list(lines),
            "recording": common_recording(self.runs).as_dict(),
        }


def run_groups(plan: Plan) -> list[RunGroup]:
    """Group the plan's settings by their passes, the baseline's group first."""
    known = {(run.checkpoint, run.pass_.name): run for run in plan.runs}
    found: dict[tuple[str, tuple[str, ...]], RunGroup] = {}
    for setting in (plan.baseline, *plan.settings):
        key = _passes(setting)
        if key not in found:
            found[key] = RunGroup(setting, tuple(known[key[0], name] for name in key[1]))
    return list(found.values())


def settings_data(plan: Plan, groups: Sequence[RunGroup]) -> list[dict[str, Any]]:
    """The settings of the sweep, the baseline first, each with its group and what differs from the baseline."""
    places = {_passes(group.setting): place for place, group in enumerate(groups)}
    base = values_of(plan.baseline)
    return [
        {
            "id": setting.id,
            "label": setting.label,
            "group": places[_passes(setting)],
            "values": {name: value for name, value in values_of(setting).items() if value != base[name]},
        }
        for setting in listed_settings(plan)
    ]


def listed_settings(plan: Plan) -> list[Setting]:
    """The settings that the page offers, the baseline first."""
    return list(dict.fromkeys([plan.baseline, *plan.settings]))[:_MAX_SETTINGS]


def values_of(setting: Setting) -> dict[str, Any]:
    """What the page can change of a setting: thresholds and filters."""
    thresholds = {name: float(getattr(setting.generator, name)) for name in THRESHOLDS}
    return {**thresholds, **setting.filters.model_dump()}


def common_recording(runs: Sequence[PassRun]) -> Recording:
    """What all passes recorded: the highest of their floors, and their common levels and offsets."""
    recordings = [run.recording for run in runs]
    levels = set.intersection(*(set(one.mask_thresholds) for one in recordings))
    offsets = set.intersection(*(set(one.stability_score_offsets) for one in recordings))
    return Recording(
        max(one.pred_iou_thresh for one in recordings),
        max(one.stability_score_thresh for one in recordings),
        tuple(sorted(levels)),
        tuple(sorted(offsets)),
    )


def _passes(setting: Setting) -> tuple[str, tuple[str, ...]]:
    return setting.checkpoint, tuple(pass_.name for pass_ in passes_of(setting.generator))
