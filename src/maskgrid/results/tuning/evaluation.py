"""The columns of every setting tried: what it counts in each image, from which any figure over any images follows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates
from maskgrid.automatic.replay.image_replay import ImageReplay, recorded
from maskgrid.automatic.replay.selection import Selection
from maskgrid.config.settings import Setting
from maskgrid.plan.passes import Recording, passes_of
from maskgrid.results.accuracy.image_truth import ImageTruth, TrueObjects
from maskgrid.results.advice.goals import Goal
from maskgrid.results.tuning.measures import Covered, Found, Measure, Panoptic
from maskgrid.results.tuning.space import SearchSpace
from maskgrid.results.tuning.spans import Spans

# Settings that go through an image together: more use more memory, fewer more time per setting.
_AT_ONCE = 512

# What settings share that choose from the same masks: checkpoint, passes, mask_threshold, stability_score_offset,
# min_mask_region_area.
_Kind = tuple[str, tuple[str, ...], float, float, int]


def _kind(setting: Setting) -> _Kind:
    generator = setting.generator
    passes = tuple(pass_.name for pass_ in passes_of(generator))
    level, offset = float(generator.mask_threshold), float(generator.stability_score_offset)
    return setting.checkpoint, passes, level, offset, generator.min_mask_region_area


@dataclass(frozen=True, slots=True)
class Image:
    """An image to judge settings on.

    Attributes:
        key: the image.
        candidates: its candidates by checkpoint and pass.
        objects: its annotated objects; None without ground truth.
        in_image: its part of each region, as a run-length code, by the config's ``filters.region``.
    """

    key: str
    candidates: Mapping[tuple[str, str], Candidates]
    objects: TrueObjects | None
    in_image: Mapping[str, bytes] = field(default_factory=dict)

    def of(self, setting: Setting) -> dict[str, Candidates] | None:
        """The candidates of the setting's passes by name; None if one is missing."""
        names = [pass_.name for pass_ in passes_of(setting.generator)]
        found = {name: self.candidates.get((setting.checkpoint, name)) for name in names}
        there = {name: part for name, part in found.items() if part is not None}
        return there if len(there) == len(found) else None


@dataclass(slots=True)
class Evaluator:
    """Measures settings, each once.

    Attributes:
        images: the images.
        goal: what to measure.
        lowest: no threshold of a suppression will be below this.
        space: where the goal ``steady`` finds a setting's neighbours.
        columns: float64 (images, columns) by setting id: 1, masks, the measure's two (``measures``), and for the goal
            ``steady`` the masks of each neighbour.
        settings: the settings measured, by id.
    """

    images: Sequence[Image]
    goal: Goal
    lowest: float
    space: SearchSpace | None = None
    columns: dict[str, NDArray[np.float64]] = field(default_factory=dict)
    settings: dict[str, Setting] = field(default_factory=dict)
    _replays: dict[tuple[_Kind, str], tuple[ImageReplay, Measure]] = field(default_factory=dict)

    def recorded(self, stem: Setting) -> tuple[list[Selection], Recording]:
        """The masks of a stem in each image, and what was recorded in all of them."""
        parts = [part for image in self.images if (part := image.of(stem)) is not None]
        kept = [one.recording for part in parts for one in part.values()]
        common = Recording(
            max(one.pred_iou_thresh for one in kept), max(one.stability_score_thresh for one in kept), (), ()
        )
        return [recorded(part, stem) for part in parts], common

    def measure(self, settings: Sequence[Setting]) -> None:
        """Measure those of the settings that have not been."""
        new = {setting.id: setting for setting in settings if setting.id not in self.columns}
        groups: dict[_Kind, list[Setting]] = {}
        for setting in new.values():
            groups.setdefault(_kind(setting), []).append(setting)
        for kind, group in groups.items():
            for start in range(0, len(group), _AT_ONCE):
                some = group[start : start + _AT_ONCE]
                for setting, columns in zip(some, self._measure(kind, some), strict=True):
                    self.columns[setting.id], self.settings[setting.id] = columns, setting

    def of(self, settings: Sequence[Setting]) -> NDArray[np.float64]:
        """The columns of settings: float64 (settings, images, columns)."""
        self.measure(settings)
        return np.stack([self.columns[setting.id] for setting in settings])

    def _measure(self, kind: _Kind, settings: Sequence[Setting]) -> NDArray[np.float64]:
        """Float64 (settings, images, columns)."""
        others = self._neighbours(settings)
        every = [*settings, *(one for listed in others for one in listed)]
        n, per_image = len(settings), []
        for image in self.images:
            replay, measure = self._prepared(image, kind, settings[0])
            alive = replay.keep(every)
            n_masks = alive.sum(axis=0).astype(np.float64)
            near = n_masks[n:].reshape(n, -1)
            per_image.append(
                np.concatenate([np.ones((n, 1)), n_masks[:n, None], measure.of(alive[:, :n]), near], axis=1)
            )
        return np.stack(per_image, axis=1)

    def _neighbours(self, settings: Sequence[Setting]) -> list[list[Setting]]:
        if self.goal.name != "steady" or self.space is None:
            return [[] for _ in settings]
        return [self.space.neighbours(setting) for setting in settings]

    def _prepared(self, image: Image, kind: _Kind, setting: Setting) -> tuple[ImageReplay, Measure]:
        key = (kind, image.key)
        if key not in self._replays:
            candidates = image.of(setting)
            if candidates is None:
                raise KeyError(f"{image.key}: no candidates for setting {setting.id}")
            replay = ImageReplay.of(candidates, setting, self.lowest, image.in_image)
            self._replays[key] = replay, self._measure_of(image, replay)
        return self._replays[key]

    def _measure_of(self, image: Image, replay: ImageReplay) -> Measure:
        size_hw = replay.masks.size_hw
        if image.objects is None or not self.goal.needs_truth:
            return Covered(Spans.of(replay.codes), size_hw[0] * size_hw[1])
        if self.goal.name == "panoptic":
            return Panoptic.prepare(replay.codes, replay.by_score, image.objects, size_hw)
        truth = ImageTruth.of(image.objects, replay.codes, size_hw)
        return Found.prepare(truth.matcher, replay.by_score, self.goal.name == "recall")
