"""From the config's ``generator`` and ``sweep`` to the list of settings, each checked before any work."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from maskgrid.config.messages import first_error, unknown_name
from maskgrid.config.models import BASELINE, Config, GeneratorConfig, GeneratorFields
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.section import MOST_SETTINGS, Range, Sweep, SweepBlock
from maskgrid.config.settings import (
    CHECKPOINT,
    PROMPT_SWEEPABLE,
    PROMPT_WITHOUT_EFFECT,
    SWEEPABLE,
    WITHOUT_EFFECT,
    PromptSetting,
    Setting,
    make_prompt_setting,
    make_setting,
)
from maskgrid.io.errors import UserError

AnySetting = TypeVar("AnySetting", Setting, PromptSetting)
Overrides = dict[str, Any]
_NAME = re.compile(r"[^-./\\{}\x00-\x1f][^/\\{}\x00-\x1f]*")
# A name, what differs from the generator's parameters, where the config says so, whether a grid's row says it.
Row = tuple[str | None, Overrides, str, bool]


@dataclass(frozen=True, slots=True)
class Space:
    """What a sweep may vary.

    Attributes:
        section: the config's section that holds the parameters.
        fields: the model that checks each value by itself.
        sweepable: names of the parameters.
        without_effect: names of those that change no mask.
        given: what the model needs besides the value.
    """

    section: str
    fields: type[BaseModel]
    sweepable: tuple[str, ...]
    without_effect: frozenset[str]
    given: Mapping[str, Any] = field(default_factory=dict)


_GENERATOR = Space("generator", GeneratorFields, SWEEPABLE, WITHOUT_EFFECT)
_PROMPTS = Space("prompts", PromptConfig, PROMPT_SWEEPABLE, PROMPT_WITHOUT_EFFECT, {"source": "demo"})


def expand(config: Config, base_dir: Path) -> list[Setting]:
    """List the settings: the baseline first, then the sweep's in the order of the config, without repetitions.

    Args:
        config: the validated config.
        base_dir: the folder that a relative path of a sweep table starts from.

    Raises:
        UserError: an unknown parameter, an impossible value or combination, an empty sweep, a name used twice.
    """
    return _unique(
        (name, _setting(config, overrides, where, in_grid), where)
        for name, overrides, where, in_grid in _rows(_GENERATOR, config.sweep, base_dir, "sweep")
    )


def expand_prompts(config: PromptConfig, base_dir: Path) -> list[PromptSetting]:
    """The same for given objects: the section ``prompts`` itself first, then those of its sweep.

    Raises:
        UserError: as :func:`expand`.
    """
    return _unique(
        (name, make_prompt_setting(config, overrides, in_grid), where)
        for name, overrides, where, in_grid in _rows(_PROMPTS, config.sweep, base_dir, "prompts.sweep")
    )


def _rows(space: Space, sweep: Sweep | None, base_dir: Path, key: str) -> list[Row]:
    """The baseline, and what the sweep under ``key`` of the config lists."""
    named: list[Row] = [(BASELINE, {}, space.section, False)]
    if isinstance(sweep, str):
        return named + _table_points(space, base_dir / sweep, f"{key}: {sweep}")
    blocks = sweep if isinstance(sweep, list) else [sweep] if sweep is not None else []
    for number, block in enumerate(blocks):
        named += _block_points(space, block, f"{key}[{number}]" if isinstance(sweep, list) else key)
    return named


def called(settings: Iterable[Setting], label: str, key: str) -> Setting:
    """The same setting as :func:`find` gives, under the name that was asked for: it may have several.

    Raises:
        UserError: no setting is called so.
    """
    setting = find(settings, label, key)
    others = tuple(name for name in setting.names if name != label)
    return replace(setting, names=(label, *others)) if label in setting.names else setting


def find(settings: Iterable[Setting], label: str, key: str) -> Setting:
    """The setting with this name or id; ``key`` is the config key that asked for it.

    Raises:
        UserError: no setting is called so.
    """
    known: dict[str, Setting] = {}
    for setting in settings:
        known[setting.id] = setting
        known.update(dict.fromkeys(setting.names, setting))
    if label not in known:
        raise UserError(f"{key}: no setting is called {label!r}{unknown_name(label, known)}")
    return known[label]


def values_of(values: Range | list[Any] | Any) -> list[Any]:  # noqa: ANN401
    """Spell out a range, a list, or a bare value (a list of one)."""
    if isinstance(values, Range):
        return values.values()
    return values if isinstance(values, list) else [values]


def _block_points(space: Space, block: SweepBlock, where: str) -> list[Row]:
    points: list[Row] = [(None, overrides, where, True) for overrides in _combinations(space, block, where)]
    for number, point in enumerate(block.points):
        path = f"{where}.points[{number}]"
        overrides = {name: _checked(space, name, value, path) for name, value in point.items() if name != "name"}
        points.append((_point_name(point, path), overrides, path, False))
    kept = list(_without(space, points, block.exclude, f"{where}.exclude"))
    if not kept:
        raise UserError(f"{where}: the sweep is empty; give it a grid, zip or points that exclude leaves over")
    return kept


def _combinations(space: Space, block: SweepBlock, where: str) -> Iterator[Overrides]:
    if not block.grid and not block.zip:
        return
    grid = {name: _checked_values(space, name, values, f"{where}.grid") for name, values in block.grid.items()}
    zipped = {name: _checked_values(space, name, values, f"{where}.zip") for name, values in block.zip.items()}
    if len({len(values) for values in zipped.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in zipped.items())
        raise UserError(f"{where}.zip: all lists must be of one length, but {lengths}")
    if both := sorted(grid.keys() & zipped.keys()):
        raise UserError(f"{where}: {both[0]} stands in grid and in zip; one of the two must go")
    count = prod(len(values) for values in grid.values()) * min((len(values) for values in zipped.values()), default=1)
    if count > MOST_SETTINGS:
        raise UserError(f"{where}: the sweep has {count:,} settings, and {MOST_SETTINGS:,} are the most")
    steps = [dict(zip(zipped, row, strict=True)) for row in zip(*zipped.values(), strict=True)] or [{}]
    for step in steps:
        for row in product(*grid.values()):
            yield {**dict(zip(grid, row, strict=True)), **step}


def _checked_values(space: Space, name: str, values: Range | list[Any] | Any, where: str) -> list[Any]:  # noqa: ANN401
    return [_checked(space, name, value, where) for value in values_of(values)]


def _checked(space: Space, name: str, value: Any, where: str) -> Any:  # noqa: ANN401
    if name in space.without_effect:
        raise UserError(f"{where}.{name}: changes no mask, so there is nothing to sweep; set it under {space.section}")
    if name not in space.sweepable:
        raise UserError(f"{where}.{name}: unknown parameter{unknown_name(name, space.sweepable)}")
    if name == CHECKPOINT:
        if not isinstance(value, str) or not value:
            raise UserError(f"{where}.{name}: {value!r} is not the name or path of a checkpoint")
        return value
    try:
        return getattr(space.fields.model_validate({**space.given, name: value}), name)
    except ValidationError as error:
        raise UserError(f"{where}.{first_error(error)}") from None


def _point_name(point: Mapping[str, Any], where: str) -> str | None:
    name = point.get("name")
    if name is None:
        return None
    # A name is a file's name in results/annotations, and must not lead out of it.
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name in {"all", BASELINE}:
        raise UserError(
            f"{where}.name: {name!r} cannot be a setting's name: it is a file's name too, without / \\ {{ }}, "
            f"not beginning with a dot or dash, and not all or {BASELINE}"
        )
    return name


def _without(space: Space, points: list[Row], exclude: list[dict[str, Any]], where: str) -> Iterator[Row]:
    patterns = [
        {name: _checked(space, name, value, f"{where}[{number}]") for name, value in pattern.items()}
        for number, pattern in enumerate(exclude)
    ]
    for number, pattern in enumerate(patterns):
        if not any(_matches(pattern, overrides) for _, overrides, _, _ in points):
            raise UserError(f"{where}[{number}]: matches no setting of the sweep")
    for point in points:
        if not any(_matches(pattern, point[1]) for pattern in patterns):
            yield point


def _matches(pattern: Overrides, overrides: Overrides) -> bool:
    return all(name in overrides and overrides[name] == value for name, value in pattern.items())


def _setting(config: Config, overrides: Overrides, where: str, in_grid: bool) -> Setting:
    values = {**config.generator.model_dump(), **overrides}
    checkpoint = values.pop(CHECKPOINT, config.model.checkpoint)
    try:
        return make_setting(checkpoint, GeneratorConfig.model_validate(values), in_grid=in_grid)
    except ValidationError as error:
        at = ", ".join(f"{name}: {value}" for name, value in overrides.items())
        raise UserError(f"{where}: at {at}: {first_error(error)}") from None


def _unique(named: Iterable[tuple[str | None, AnySetting, str]]) -> list[AnySetting]:
    settings: dict[str, AnySetting] = {}
    owner: dict[str, str] = {}
    for name, setting, where in named:
        old: AnySetting = settings.get(setting.id, setting)
        if name is not None and name not in old.names:
            if name in owner:
                raise UserError(f"{where}: the name {name!r} is used twice (also at {owner[name]})")
            owner[name] = where
            old = replace(old, names=(*old.names, name))
        elif name is not None:
            raise UserError(f"{where}: the name {name!r} is used twice (also at {owner[name]})")
        settings[setting.id] = replace(old, in_grid=old.in_grid or setting.in_grid)
    if clash := sorted(settings.keys() & owner.keys()):
        raise UserError(f"{owner[clash[0]]}: the name {clash[0]!r} is the id of another setting")
    return list(settings.values())


def _table_points(space: Space, path: Path, key: str) -> list[Row]:
    import pandas as pd  # here, because most sweeps need no table and the workflow parses this often

    if path.suffix not in (".csv", ".tsv", ".parquet"):
        raise UserError(f"{key}: a table must be a .csv, .tsv or .parquet file")
    if not path.is_file():
        raise UserError(f"{key}: there is no such file ({path})")
    try:
        separator = "\t" if path.suffix == ".tsv" else ","
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, sep=separator)
    except (ValueError, OSError) as error:
        raise UserError(f"{key}: cannot be read as a table: {error}") from None
    if table.empty:
        raise UserError(f"{key}: the sweep is empty; the table has no rows")
    points: list[Row] = []
    for number, row in enumerate(table.to_dict("records"), start=1):
        where = f"{key}: row {number}"
        cells = {str(name): _plain(value) for name, value in row.items()}
        given = {name: value for name, value in cells.items() if value is not None}
        overrides = {
            name: _checked(space, name, _cell(space, name, value), where)
            for name, value in given.items()
            if name != "name"
        }
        points.append((_point_name(given, where), overrides, where, True))
    return points


def _plain(value: Any) -> Any:  # noqa: ANN401
    plain = value.item() if hasattr(value, "item") else value.tolist() if hasattr(value, "tolist") else value
    return None if isinstance(plain, float) and plain != plain else plain


def _cell(space: Space, name: str, value: Any) -> Any:  # noqa: ANN401
    """A column with empty cells reads as floats: give whole numbers back to the integer parameters."""
    known = space.fields.model_fields.get(name)
    wants_int = known is not None and isinstance(known.default, int) and not isinstance(known.default, bool)
    return int(value) if wants_int and isinstance(value, float) and value.is_integer() else value
