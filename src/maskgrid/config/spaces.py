"""The three sweeps of a config: what each may vary, and how its settings are built."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from maskgrid.config.filters import FilterFields
from maskgrid.config.models import BASELINE, Config, GeneratorFields
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.settings import (
    CHECKPOINT,
    PROMPT_SWEEPABLE,
    PROMPT_WITHOUT_EFFECT,
    SWEEPABLE,
    TRACK_SWEEPABLE,
    WITHOUT_EFFECT,
    PromptSetting,
    Setting,
    TrackSetting,
    make_setting,
    values_id,
    values_of,
)
from maskgrid.config.sweep import Row, Space
from maskgrid.config.tiles import TileFields
from maskgrid.config.tracking import AutomaticConfig, TrackingConfig
from maskgrid.io.fingerprint import digest

Model = TypeVar("Model", bound=BaseModel)

# A run's name is the video's name followed by this, and must match Snakemake's wildcard.
_PART_OF_NAME = re.compile(rf"(?!{BASELINE}$)[A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
_PART_OF_NAME_RULE = (
    f"it becomes part of file names, so use up to 64 letters, digits, dots, dashes and underscores, and not {BASELINE}"
)


class _PromptFields(PromptConfig):
    """The prompted job's parameters, with a default for the required key, to check others alone."""

    source: str = "demo"


class _AutomaticFields(FilterFields, TileFields, GeneratorFields):
    """The parameters of the automatic job."""


class _TrackFields(AutomaticConfig, GeneratorFields):
    """The parameters that decide when to look for objects in a video, and with which masks."""


def generator_space(config: Config) -> Space[Setting]:
    """The top-level sweep, over the checkpoint, the generator's parameters and the filters."""

    def make(row: Row) -> Setting:
        checkpoint = row.overrides.get(CHECKPOINT, config.model.checkpoint)
        generator, filters = _changed(config.generator, row.overrides), _changed(config.filters, row.overrides)
        return make_setting(checkpoint, generator, in_grid=row.in_grid, filters=filters)

    return Space(
        key="sweep",
        sweep=config.sweep,
        section="generator",
        fields=_AutomaticFields,
        sweepable=SWEEPABLE,
        without_effect=WITHOUT_EFFECT,
        make=make,
    )


def prompt_space(config: PromptConfig) -> Space[PromptSetting]:
    """The sweep over the prompted job's parameters."""

    def make(row: Row) -> PromptSetting:
        changed = _changed(config, {**row.overrides, "sweep": None})
        values = changed.model_dump(include={*PROMPT_SWEEPABLE, "keep"})
        return PromptSetting(values_id(values, PromptConfig), (), row.in_grid, changed)

    return Space(
        key="prompts.sweep",
        sweep=config.sweep,
        section="prompts",
        fields=_PromptFields,
        sweepable=PROMPT_SWEEPABLE,
        without_effect=PROMPT_WITHOUT_EFFECT,
        make=make,
    )


def track_space(config: Config, tracking: TrackingConfig) -> Space[TrackSetting]:
    """The sweep over the parameters of automatic tracking and of the generator."""
    baseline = TrackSetting(digest({"name": BASELINE})[:8], (), False, tracking.automatic, config.generator)

    def make(row: Row) -> TrackSetting:
        # Files are named by the label, so each name is a separate setting; here 1 and 1.0 differ.
        written = row.overrides if row.name is None else {"name": row.name, **row.overrides}
        automatic = _changed(tracking.automatic, row.overrides)
        setting = TrackSetting(
            digest(written)[:8], (), row.in_grid, automatic, _changed(config.generator, row.overrides)
        )
        if row.name is None and row.in_grid and setting.parameters() == baseline.parameters():
            return replace(setting, id=baseline.id)  # so that nothing is followed twice
        return setting

    return Space(
        key="tracking.sweep",
        sweep=tracking.sweep,
        section="generator",
        fields=_TrackFields,
        sweepable=TRACK_SWEEPABLE,
        without_effect=WITHOUT_EFFECT,
        make=make,
        name=_PART_OF_NAME,
        name_rule=_PART_OF_NAME_RULE,
        has_labels=False,  # masklets in files of such a name would be followed again
    )


def _changed(section: Model, overrides: Mapping[str, Any]) -> Model:
    """The section with the overrides that are among its parameters, checked as a whole."""
    own = {name: value for name, value in overrides.items() if name in type(section).model_fields}
    return type(section).model_validate({**values_of(section), **own})
