"""A setting: one full assignment of the generator's parameters, and its id."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from maskgrid.config.models import GeneratorConfig
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.wording import parameter

CHECKPOINT = "checkpoint"
# These change speed and form, never which masks there are, and so have no part in a setting's identity.
WITHOUT_EFFECT = frozenset({"points_per_batch", "output_mode"})
PARAMETERS: tuple[str, ...] = tuple(GeneratorConfig.model_fields)
SWEEPABLE: tuple[str, ...] = (CHECKPOINT, *(name for name in PARAMETERS if name not in WITHOUT_EFFECT))

# The section itself, without its sweep.
BASELINE = "baseline"
# The first two are the decoder's; the others are applied to its logits.
PROMPT_SWEEPABLE = ("multimask_output", "refine_rounds", "mask_threshold", "max_hole_area", "max_sprinkle_area")
PROMPT_WITHOUT_EFFECT = frozenset({"prompts_per_batch"})


@dataclass(frozen=True, slots=True)
class Setting:
    """One point of the sweep.

    Attributes:
        id: short hash of the canonical values; the same in every run and every sweep that contains the setting.
        names: the names that the config gives to it; empty for a point of a grid.
        checkpoint: the checkpoint as the config writes it.
        generator: the sixteen parameters.
        in_grid: whether it comes from a sweep's grid, zip or table, and not from a single point alone: main effects
            are read off these. It is no part of the setting's identity.
    """

    id: str
    names: tuple[str, ...]
    checkpoint: str
    generator: GeneratorConfig
    in_grid: bool = False

    @property
    def label(self) -> str:
        """The first name, or the id where there is none."""
        return self.names[0] if self.names else self.id

    def parameters(self) -> dict[str, Any]:
        """All parameters with the checkpoint first, as plain values."""
        return {CHECKPOINT: self.checkpoint, **self.generator.model_dump()}


def make_setting(
    checkpoint: str, generator: GeneratorConfig, names: tuple[str, ...] = (), in_grid: bool = False
) -> Setting:
    """Build a setting; its id depends on the values alone, not on how numbers were written (1 or 1.0)."""
    return Setting(setting_id(checkpoint, generator), names, checkpoint, generator, in_grid)


def setting_id(checkpoint: str, generator: GeneratorConfig) -> str:
    """Hash the values that decide about masks: 10 hexadecimal digits."""
    values = {CHECKPOINT: checkpoint, **generator.model_dump(exclude=set(WITHOUT_EFFECT))}
    canonical = {
        name: float(value) if GeneratorConfig.model_fields.get(name) and _is_float(name) else value
        for name, value in values.items()
    }
    return hashlib.sha256(orjson.dumps(canonical, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]


def _is_float(name: str) -> bool:
    return isinstance(GeneratorConfig.model_fields[name].default, float)


@dataclass(frozen=True, slots=True)
class PromptSetting:
    """One point of a sweep over given objects.

    Attributes:
        id: short hash of the values; the same in every run and every sweep that contains the setting.
        names: the names that the config gives to it; empty for a point of a grid.
        config: the section with this setting's values.
        in_grid: whether it comes from a sweep's grid, zip or table, and not from a single point alone.
    """

    id: str
    names: tuple[str, ...]
    config: PromptConfig
    in_grid: bool = False

    @property
    def label(self) -> str:
        """The first name, or the id where there is none."""
        return self.names[0] if self.names else self.id

    def parameters(self) -> dict[str, Any]:
        """The parameters that can be swept, as plain values."""
        return {name: getattr(self.config, name) for name in PROMPT_SWEEPABLE}


def make_prompt_setting(config: PromptConfig, overrides: Mapping[str, Any], in_grid: bool = False) -> PromptSetting:
    """The config's section with other values; the id depends on all values that decide about masks."""
    changed = config.model_copy(update={**overrides, "sweep": None})
    values = {
        name: float(value) if isinstance(PromptConfig.model_fields[name].default, float) else value
        for name, value in changed.model_dump(include={*PROMPT_SWEEPABLE, "keep"}).items()
    }
    digest = hashlib.sha256(orjson.dumps(values, option=orjson.OPT_SORT_KEYS)).hexdigest()[:10]
    return PromptSetting(digest, (), changed, in_grid)


@dataclass(frozen=True, slots=True)
class TrackSetting:
    """How objects are found in a video.

    Attributes:
        name: given by the config, or for a point of a grid a hash of its values.
        automatic: on which frames masks are generated, and which of them are new objects.
        generator: the generator's parameters.
    """

    name: str
    automatic: AutomaticConfig
    generator: GeneratorConfig

    def parameters(self) -> dict[str, Any]:
        """All that decides about masks, as plain values."""
        return {**self.automatic.model_dump(), **self.generator.model_dump(exclude=set(WITHOUT_EFFECT))}


def swept_parameters(settings: Sequence[Setting]) -> dict[str, list[Any]]:
    """The parameters with more than one value among the settings, each with its values in order of size."""
    rows = [setting.parameters() for setting in settings]
    values = {name: _distinct([row[name] for row in rows]) for name in SWEEPABLE}
    return {name: found for name, found in values.items() if len(found) > 1}


def _distinct(values: list[Any]) -> list[Any]:
    """The distinct values: numbers by size, then all else by their JSON, null last."""
    found = {orjson.dumps(value): value for value in values}
    return sorted(found.values(), key=_order)


def _order(value: Any) -> tuple[int, float, bytes]:  # noqa: ANN401
    if isinstance(value, int | float):
        return 0, float(value), b""
    return (2, 0.0, b"") if value is None else (1, 0.0, orjson.dumps(value))


def differences(setting: Setting, baseline: Setting) -> str:
    """What a setting has other than the baseline."""
    mine, theirs = setting.parameters(), baseline.parameters()
    changed = [
        f"{name} {parameter(value)}"
        for name, value in mine.items()
        if value != theirs[name] and name not in WITHOUT_EFFECT
    ]
    return ", ".join(changed) or "the baseline's values"
