"""Settings: each is one full assignment of a job's parameters, with an id."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson
from pydantic import BaseModel

from maskgrid.config.filters import FILTERS, NO_FILTERS, FilterConfig, filters_on
from maskgrid.config.models import GeneratorConfig, GeneratorFields
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.tiles import TILES
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.fingerprint import digest
from maskgrid.io.wording import parameter

CHECKPOINT = "checkpoint"
# These change speed or format but no mask, so they are not part of a setting's identity.
WITHOUT_EFFECT = frozenset({"points_per_batch", "output_mode"})
PARAMETERS: tuple[str, ...] = tuple(GeneratorFields.model_fields)
_OF_MASKS: tuple[str, ...] = tuple(name for name in PARAMETERS if name not in WITHOUT_EFFECT)
SWEEPABLE: tuple[str, ...] = (CHECKPOINT, *_OF_MASKS, *TILES, *FILTERS)

# The first two go to the decoder; the others apply to its logits.
PROMPT_SWEEPABLE = ("multimask_output", "refine_rounds", "mask_threshold", "max_hole_area", "max_sprinkle_area")
PROMPT_WITHOUT_EFFECT = frozenset({"prompts_per_batch"})
TRACK_SWEEPABLE: tuple[str, ...] = (*AutomaticConfig.model_fields, *_OF_MASKS)


@dataclass(frozen=True, slots=True)
class AnySetting(ABC):
    """One point of a sweep.

    Attributes:
        id: short hash of the values; the same in every run and every sweep with this setting. For tracking, the hash
            of the name and of the values as the config writes them.
        names: its names in the config; empty for a point of a grid.
        in_grid: whether it comes from a sweep's grid, zip or table, not only from a single point: main effects are
            computed from these. Not part of the setting's identity.
        values_label: for a setting without a name, its swept values in short (:mod:`maskgrid.config.labels`).
    """

    id: str
    names: tuple[str, ...]
    in_grid: bool
    values_label: str = field(default="", kw_only=True)

    @property
    def label(self) -> str:
        """The first name; without a name the swept values in short, or the id."""
        return self.names[0] if self.names else self.values_label or self.id

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """All parameters as plain values."""

    def compared(self) -> dict[str, Any]:
        """The same names for every setting of a sweep, whatever is off: what settings are told apart by."""
        return self.parameters()


@dataclass(frozen=True, slots=True)
class Setting(AnySetting):
    """For the automatic job: the checkpoint as the config writes it, the generator's parameters, the filters."""

    checkpoint: str
    generator: GeneratorConfig
    filters: FilterConfig = NO_FILTERS

    def parameters(self) -> dict[str, Any]:
        """All parameters with the checkpoint first, then sam2's own, and the filters last, as plain values."""
        tiles = {name: getattr(self.generator, name) for name in TILES}
        return {CHECKPOINT: self.checkpoint, **self.generator.model_dump(), **tiles, **self.filters.model_dump()}

    def parameters_on(self) -> dict[str, Any]:
        """The same without the filters and tiles that are off."""
        return {CHECKPOINT: self.checkpoint, **self.generator.model_dump(), **filters_on(self.filters)}


@dataclass(frozen=True, slots=True)
class PromptSetting(AnySetting):
    """For the prompted job: the config's section ``prompts`` with the setting's values and no sweep."""

    config: PromptConfig

    def parameters(self) -> dict[str, Any]:
        """The parameters that can be swept, as plain values."""
        return {name: getattr(self.config, name) for name in PROMPT_SWEEPABLE}


@dataclass(frozen=True, slots=True)
class TrackSetting(AnySetting):
    """For automatic tracking: on which frames the generator looks for objects, and with which parameters."""

    automatic: AutomaticConfig
    generator: GeneratorConfig

    def parameters(self) -> dict[str, Any]:
        """Everything that affects the masks, as plain values."""
        return {**self.automatic.model_dump(), **self.generator.model_dump(exclude=set(WITHOUT_EFFECT))}

    def compared(self) -> dict[str, Any]:
        """The same with what is off, such as ``follow_back: null``."""
        return {**values_of(self.automatic), **self.parameters()}


def values_of(section: BaseModel) -> dict[str, Any]:
    """All values of a section, also those that are off and so left out of files."""
    return {name: getattr(section, name) for name in type(section).model_fields}


def make_setting(
    checkpoint: str,
    generator: GeneratorConfig,
    names: tuple[str, ...] = (),
    in_grid: bool = False,
    filters: FilterConfig = NO_FILTERS,
) -> Setting:
    """Build a setting; its id depends on the values alone, not on how numbers were written (1 or 1.0)."""
    plain = generator.model_dump(exclude={*WITHOUT_EFFECT, *TILES})
    values = {CHECKPOINT: checkpoint, **plain, **tiles_on(generator), **filters_on(filters)}
    return Setting(values_id(values, GeneratorConfig), names, in_grid, checkpoint, generator, filters)


def tiles_on(generator: GeneratorConfig) -> dict[str, Any]:
    """The tiles' size and overlap, as far as they decide about masks; empty if tiles are off."""
    return {} if generator.tile_px is None else dict(zip(TILES, generator.tile_px, strict=True))


def any_filters(settings: Iterable[Setting]) -> bool:
    """Return whether any of the settings has a filter or tiles on: tables have columns for them only then."""
    return any(filters_on(setting.filters) or setting.generator.tile_px for setting in settings)


def values_id(values: Mapping[str, Any], model: type[BaseModel]) -> str:
    """Hash the values that affect masks to 10 hexadecimal digits; ``model`` says which are floats."""
    floats = {name for name, field in model.model_fields.items() if isinstance(field.default, float)}
    canonical = {name: float(value) if name in floats else value for name, value in values.items()}
    return digest(canonical)[:10]


def swept_parameters(settings: Sequence[AnySetting]) -> dict[str, list[Any]]:
    """The parameters with more than one value among the settings, each with its sorted values."""
    rows = [setting.compared() for setting in settings]
    names = [name for name in (rows[0] if rows else {}) if name not in WITHOUT_EFFECT]
    values = {name: _distinct([row[name] for row in rows]) for name in names}
    return {name: found for name, found in values.items() if len(found) > 1}


def _distinct(values: list[Any]) -> list[Any]:
    """The distinct values: numbers by size, then others by their JSON, null last."""
    found = {orjson.dumps(value): value for value in values}
    return sorted(found.values(), key=_order)


def _order(value: Any) -> tuple[int, float, bytes]:  # noqa: ANN401
    if isinstance(value, int | float):
        return 0, float(value), b""
    return (2, 0.0, b"") if value is None else (1, 0.0, orjson.dumps(value))


def differences(setting: AnySetting, baseline: AnySetting) -> str:
    """Describe how a setting differs from the baseline."""
    mine, theirs = setting.compared(), baseline.compared()
    changed = [
        f"{name} {parameter(value)}"
        for name, value in mine.items()
        if value != theirs[name] and name not in WITHOUT_EFFECT
    ]
    return ", ".join(changed) or "the baseline's values"
