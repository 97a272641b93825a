"""What ``tune`` searches: thresholds and filters, from what was recorded to where nothing is left, at each stem.

A stem is what the search leaves as the sweep has it: the checkpoint, the points, the crops, the levels.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.replay.shapes import measured
from maskgrid.config.messages import unknown_name
from maskgrid.config.models import Config
from maskgrid.config.settings import WITHOUT_EFFECT, Setting
from maskgrid.config.spaces import generator_space
from maskgrid.config.sweep import Row
from maskgrid.io.errors import UserError
from maskgrid.plan.passes import Recording

# Digits of a threshold: more would only make the config harder to read.
_DIGITS = 4
# The share of a filter's range where it is off.
_OFF_SHARE = 0.25
# Scores that stand for all candidates' when a threshold's range is laid out.
_MOST_SCORES = 4096

# What an axis is compared with in the masks, at a stability_score_offset.
Scores = Callable[[Selection, float], NDArray[Any]]


@dataclass(frozen=True, slots=True)
class Axis:
    """A parameter to search. Another joins by a line in ``AXES``.

    Attributes:
        name: the parameter, as a sweep writes it.
        low: its least value; for what was recorded above a floor, that floor counts.
        high: its greatest value.
        step: how far the goal ``steady`` moves it.
        scores: what it is compared with in the candidates, so that the search looks where candidates are; None: the
            range is searched evenly.
        whole: whether it takes whole numbers only.
        off_at: the end of the range, ``low`` or ``high``, at which the filter is off; None if it is always on.
        off: the value that turns it off.
        by_default: whether it is searched without being named in ``vary``.
    """

    name: str
    low: float
    high: float
    step: float
    scores: Scores | None = None
    whole: bool = False
    off_at: str | None = None
    off: float | None = None
    by_default: bool = True


def _shape(key: str) -> Scores:
    return lambda masks, _: measured(key, masks)


def _counts_up_to(masks: Selection, _: float) -> NDArray[Any]:
    """Numbers of masks, the closer the fewer: settings keep a small part of what was recorded."""
    return np.geomspace(1.0, max(len(masks), 1), 64).round()


THRESHOLDS = (
    Axis("pred_iou_thresh", 0.0, 1.0, 0.02, lambda masks, _: masks.predicted_iou()),
    Axis("stability_score_thresh", 0.0, 1.0, 0.02, Selection.stability_score),
    Axis("box_nms_thresh", 0.3, 1.0, 0.05),
    Axis("crop_nms_thresh", 0.3, 1.0, 0.05),
)
_MOST_PX = 1e9
FILTER_AXES = (
    Axis("min_area_px", 0, _MOST_PX, 20, _shape("min_area_px"), True, "low", 0, False),
    Axis("max_area_px", 0, _MOST_PX, 500, _shape("max_area_px"), True, "high", None, False),
    Axis("min_area_frac", 0.0, 1.0, 0.001, _shape("min_area_frac"), False, "low", 0.0, False),
    Axis("max_area_frac", 0.0, 1.0, 0.05, _shape("max_area_frac"), False, "high", 1.0, False),
    Axis("border", 0, 20, 1, None, True, "low", None, False),
    Axis("min_fill_frac", 0.0, 1.0, 0.05, _shape("min_fill_frac"), False, "low", 0.0, False),
    Axis("max_aspect_ratio", 1.0, 20.0, 0.5, _shape("max_aspect_ratio"), False, "high", None, False),
    Axis("mask_nms_thresh", 0.3, 1.0, 0.05, None, False, "high", 1.0, False),
    Axis("max_containment_frac", 0.3, 1.0, 0.05, None, False, "high", 1.0, False),
    Axis("max_masks", 1, _MOST_PX, 5, _counts_up_to, True, "high", None, False),
)
AXES = (*THRESHOLDS, *FILTER_AXES)
# Names for several axes at once. Areas are searched as pixels or as shares, by name as both.
GROUPS: Mapping[str, tuple[str, ...]] = {
    "thresholds": tuple(axis.name for axis in THRESHOLDS),
    "filters": tuple(axis.name for axis in FILTER_AXES if axis.name not in ("max_area_px", "min_area_frac")),
}
# A lower limit above the upper one keeps nothing, and the config refuses it.
_LIMITS = (("min_area_px", "max_area_px"), ("min_area_frac", "max_area_frac"))


@dataclass(frozen=True, slots=True)
class Scale:
    """An axis at one stem: where a share from 0 to 1 of the way lies.

    Attributes:
        axis: the axis.
        values: ascending; equal steps from one to the next.
    """

    axis: Axis
    values: NDArray[np.float64]

    def value(self, share: float) -> float | int | None:
        """The parameter's value at a share of the way."""
        if self.axis.off_at is not None:
            share = share if self.axis.off_at == "low" else 1.0 - share
            if share < _OFF_SHARE:
                return self.axis.off
            share = (share - _OFF_SHARE) / (1.0 - _OFF_SHARE)
            share = share if self.axis.off_at == "low" else 1.0 - share
        found = float(np.interp(share * (len(self.values) - 1), np.arange(len(self.values)), self.values))
        if self.axis.whole:
            return round(found)
        # Rounding must not lead below the floor of what was recorded.
        return max(round(found, _DIGITS), float(self.values[0]))

    def moved(self, value: float, steps: int) -> float | int:
        """The value so many steps further, within the range."""
        found = min(max(value + steps * self.axis.step, float(self.values[0])), float(self.values[-1]))
        return round(found) if self.axis.whole else max(round(found, _DIGITS), float(self.values[0]))


@dataclass(frozen=True, slots=True)
class SearchSpace:
    """All that can be tried.

    Attributes:
        stems: the stems, each as one of the sweep's settings.
        scales: for each stem, the scale of each axis.
        make: makes a setting of all of its parameters.
    """

    stems: tuple[Setting, ...]
    scales: tuple[tuple[Scale, ...], ...]
    make: Callable[[Mapping[str, Any]], Setting]

    @classmethod
    def of(cls, config: Config, stems: Sequence[Setting], axes: Sequence[Axis], masks: "Candidates") -> Self:
        """Lay out the scales of each stem after the candidates."""
        space = generator_space(config)

        def make(values: Mapping[str, Any]) -> Setting:
            return space.make(Row(None, dict(values), "tune", False))

        scales = tuple(tuple(_scale(axis, stem, masks(stem)) for axis in axes) for stem in stems)
        return cls(tuple(stems), scales, make)

    @property
    def axes(self) -> list[Axis]:
        """The axes that are searched."""
        return [scale.axis for scale in self.scales[0]]

    def at(self, shares: NDArray[np.float64]) -> Setting:
        """The setting at a share of the way along each axis; the last share chooses the stem."""
        place = min(int(shares[-1] * len(self.stems)), len(self.stems) - 1)
        found = {
            scale.axis.name: scale.value(float(share))
            for scale, share in zip(self.scales[place], shares[:-1], strict=True)
        }
        return self.changed(self.stems[place], found)

    def changed(self, setting: Setting, values: Mapping[str, Any]) -> Setting:
        """The setting with other values of some parameters."""
        return self.make({**setting.parameters(), **_within_limits(setting.parameters(), values)})

    def without(self, setting: Setting) -> list[Setting]:
        """The setting without one of the filters searched, for each that is on."""
        values, off = setting.parameters(), {axis.name: axis.off for axis in self.axes if axis.off_at is not None}
        return [self.changed(setting, {name: value}) for name, value in off.items() if values[name] != value]

    def neighbours(self, setting: Setting) -> list[Setting]:
        """The settings one step up and down each axis; the setting itself at the end of a range."""
        names = [axis.name for axis in self.axes]
        place = [stem_of(stem, names) for stem in self.stems].index(stem_of(setting, names))
        values = setting.parameters()
        found = []
        for scale in self.scales[place]:
            value = values[scale.axis.name]
            for steps in (-1, 1):
                is_off = value is None or (scale.axis.off_at is not None and value == scale.axis.off)
                moved = value if is_off else scale.moved(float(value), steps)
                found.append(setting if moved == value else self.changed(setting, {scale.axis.name: moved}))
        return found


# The masks recorded for a stem, image by image, and what was recorded.
Candidates = Callable[[Setting], tuple[Sequence[Selection], Recording]]


def _scale(axis: Axis, stem: Setting, found: tuple[Sequence[Selection], Recording]) -> Scale:
    masks, recording = found
    low = max(axis.low, float(getattr(recording, axis.name, axis.low)))
    if axis.scores is None:
        return Scale(axis, np.array([min(low, axis.high), axis.high]))
    offset = float(stem.generator.stability_score_offset)
    scores = [axis.scores(one, offset).astype(np.float64) for one in masks]
    listed = np.sort(np.concatenate([np.zeros(0), *scores]))
    listed = listed[(listed > low) & (listed < axis.high)]
    if len(listed) > _MOST_SCORES:
        listed = np.quantile(listed, np.linspace(0.0, 1.0, _MOST_SCORES))
    return Scale(axis, np.array([min(low, axis.high), *listed, *([axis.high] if not len(listed) else [])]))


def _within_limits(others: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """The values, with no lower limit above its upper one."""
    found = dict(values)
    for low, high in _LIMITS:
        least, most = ({**others, **found}[name] for name in (low, high))
        if most is not None and least > most:
            found.update({low: most} if low in found else {high: least})
    return found


def axes_for(names: Sequence[str] | None, settings: Iterable[Setting]) -> list[Axis]:
    """The axes to search: those named, one by one or as a group, else all thresholds that matter.

    Raises:
        UserError: a name is not that of an axis.
    """
    known = {axis.name: axis for axis in AXES}
    has_crops = any(setting.generator.crop_n_layers or setting.generator.tile_px for setting in settings)
    default = [axis.name for axis in AXES if axis.by_default and (axis.name != "crop_nms_thresh" or has_crops)]
    if names is None:
        return [known[name] for name in default]
    for name in names:
        if name not in known and name not in GROUPS:
            can = [*GROUPS, *known]
            raise UserError(f"tune.vary: {name!r} cannot be searched{unknown_name(name, can)}; can: {', '.join(can)}")
    groups = {**GROUPS, "thresholds": tuple(default)}
    return [known[one] for one in dict.fromkeys(one for name in names for one in groups.get(name, (name,)))]


def stem_of(setting: Setting, names: Iterable[str]) -> bytes:
    """What a setting shares with others that differ only in the parameters that are searched."""
    left_out = {*names, *WITHOUT_EFFECT}
    return orjson.dumps([value for name, value in setting.parameters().items() if name not in left_out])
