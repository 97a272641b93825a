"""A setting: one full assignment of the generator's parameters, and its id."""

import hashlib
from dataclasses import dataclass
from typing import Any

import orjson

from maskgrid.config import GeneratorConfig

CHECKPOINT = "checkpoint"
# These change speed and form, never which masks there are, and so have no part in a setting's identity.
WITHOUT_EFFECT = frozenset({"points_per_batch", "output_mode"})
PARAMETERS: tuple[str, ...] = tuple(GeneratorConfig.model_fields)
SWEEPABLE: tuple[str, ...] = (CHECKPOINT, *(name for name in PARAMETERS if name not in WITHOUT_EFFECT))


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
