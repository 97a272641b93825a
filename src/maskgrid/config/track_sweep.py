"""Settings of automatic tracking: the config's own, and those of its sweep."""

import re
from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

from pydantic import ValidationError

from maskgrid.config.messages import first_error, unknown_name
from maskgrid.config.models import BASELINE, Config, GeneratorConfig, GeneratorFields
from maskgrid.config.settings import WITHOUT_EFFECT, TrackSetting
from maskgrid.config.tracking import AutomaticConfig
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import digest

KEY = "tracking.sweep"
_AUTOMATIC = tuple(AutomaticConfig.model_fields)
_GENERATOR = tuple(name for name in GeneratorFields.model_fields if name not in WITHOUT_EFFECT)
# A name is part of files' names.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def track_settings(config: Config) -> list[TrackSetting]:
    """The settings of automatic tracking, the config's own first; that one alone where prompts are given.

    Raises:
        UserError: an unknown parameter or impossible value in the sweep, or a name that is used twice.
    """
    if config.tracking is None:
        return []
    found = {BASELINE: TrackSetting(BASELINE, config.tracking.automatic, config.generator)}
    for name, overrides, where in _points(config.tracking.sweep.grid, config.tracking.sweep.points):
        setting = _setting(config, config.tracking.automatic, name, overrides, where)
        if setting.name in found and name is not None:
            raise UserError(f"{where}: the name {name!r} is used twice")
        found.setdefault(setting.name, setting)
    return list(found.values())


def _points(
    grid: Mapping[str, list[Any]], points: list[dict[str, Any]]
) -> Iterator[tuple[str | None, dict[str, Any], str]]:
    """Name, what differs from the config's own values, and where it stands."""
    for row in product(*grid.values()) if grid else ():
        yield None, dict(zip(grid, row, strict=True)), f"{KEY}.grid"
    for number, point in enumerate(points):
        where = f"{KEY}.points[{number}]"
        name = point.get("name")
        if not isinstance(name, str) or not _NAME.fullmatch(name) or name == BASELINE:
            raise UserError(
                f"{where}.name: {name!r} cannot be a setting's name: letters, digits, dots, dashes and underscores are "
                f"needed, since it is part of files' names, and not {BASELINE}"
            )
        yield name, {key: value for key, value in point.items() if key != "name"}, where


def _setting(
    config: Config, automatic: AutomaticConfig, name: str | None, overrides: dict[str, Any], where: str
) -> TrackSetting:
    for key in overrides:
        if key not in (*_AUTOMATIC, *_GENERATOR):
            raise UserError(f"{where}.{key}: unknown parameter{unknown_name(key, (*_AUTOMATIC, *_GENERATOR))}")
    mine = {key: value for key, value in overrides.items() if key in _AUTOMATIC}
    theirs = {key: value for key, value in overrides.items() if key in _GENERATOR}
    try:
        return TrackSetting(
            name or digest(overrides)[:8],
            AutomaticConfig.model_validate({**automatic.model_dump(), **mine}),
            GeneratorConfig.model_validate({**config.generator.model_dump(), **theirs}),
        )
    except ValidationError as error:
        raise UserError(f"{where}.{first_error(error)}") from None
