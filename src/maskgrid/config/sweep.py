"""Expand a sweep into a list of settings, each checked before any work; the same code for all jobs."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product
from math import prod
from pathlib import Path
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, ValidationError

from maskgrid.config.labels import with_labels
from maskgrid.config.messages import first_error, unknown_name
from maskgrid.config.models import BASELINE
from maskgrid.config.section import MOST_SETTINGS, Range, Sweep, SweepBlock
from maskgrid.config.settings import CHECKPOINT, AnySetting
from maskgrid.config.sweep_table import read_rows
from maskgrid.io.errors import UserError

SettingT = TypeVar("SettingT", bound=AnySetting)
Overrides = dict[str, Any]

# results/annotations has a file with each name.
_FILE_NAME = re.compile(rf"(?!(?:all|{BASELINE})$)[^-./\\{{}}\x00-\x1f][^/\\{{}}\x00-\x1f]*")
# Bytes: file systems allow 255, of which names of outputs take some, such as ``.json``.
_LONGEST_NAME = 240
_FILE_NAME_RULE = (
    f"it becomes a file name, so use no / \\ {{ }}, begin with no dot or dash, and do not use all or {BASELINE}"
)


@dataclass(frozen=True, slots=True)
class Row:
    """A setting as the sweep writes it.

    Attributes:
        name: its name, if it has one.
        overrides: the values that differ from the config's own.
        where: its path in the config, for messages.
        in_grid: whether it comes from a grid, zip or table.
    """

    name: str | None
    overrides: Overrides
    where: str
    in_grid: bool


@dataclass(frozen=True, slots=True)
class Space(Generic[SettingT]):
    """What a job's sweep may vary, and how to build its settings.

    Attributes:
        key: the sweep's path in the config.
        sweep: the config's value there.
        section: the section of the config with the parameters.
        fields: the model that checks each value on its own.
        sweepable: names of the parameters that can be swept.
        without_effect: names of those that change no mask.
        make: builds the setting of a row, without its names.
        name: the pattern of a setting's name.
        name_rule: the same in words, for messages.
        has_labels: whether settings without a name are called by what they sweep, and not by their id.
    """

    key: str
    sweep: Sweep | None
    section: str
    fields: type[BaseModel]
    sweepable: tuple[str, ...]
    without_effect: frozenset[str]
    make: Callable[[Row], SettingT]
    name: re.Pattern[str] = _FILE_NAME
    name_rule: str = _FILE_NAME_RULE
    has_labels: bool = True


def expand(space: Space[SettingT], base_dir: Path) -> list[SettingT]:
    """List the settings: the baseline, then the sweep's in the order of the config, each once.

    Args:
        space: the job's sweep.
        base_dir: the folder that a sweep table's relative path starts from.

    Raises:
        UserError: an unknown parameter, an impossible value or combination, an empty sweep, a name used twice.
    """
    settings: dict[str, SettingT] = {}
    owner: dict[str, str] = {}
    for row in _rows(space, base_dir):
        new = _setting(space, row)
        setting = settings.get(new.id, new)
        if row.name is not None:
            if row.name in owner:
                raise UserError(f"{row.where}: the name {row.name!r} is used twice (also at {owner[row.name]})")
            owner[row.name] = row.where
            setting = replace(setting, names=(*setting.names, row.name))
        settings[new.id] = replace(setting, in_grid=setting.in_grid or new.in_grid)
    if clash := sorted(settings.keys() & owner.keys()):
        raise UserError(f"{owner[clash[0]]}: the name {clash[0]!r} is the id of another setting")
    found = list(settings.values())
    return with_labels(found, space.name, _LONGEST_NAME) if space.has_labels else found


def called(settings: Iterable[SettingT], label: str, key: str) -> SettingT:
    """Find a setting as :func:`find` does; its label is the given one, also if that is its id.

    Raises:
        UserError: no setting is called so.
    """
    setting = find(settings, label, key)
    if label == setting.id:
        return replace(setting, values_label="")
    others = tuple(name for name in setting.names if name != label)
    return replace(setting, names=(label, *others)) if label in setting.names else setting


def find(settings: Iterable[SettingT], label: str, key: str) -> SettingT:
    """Find the setting with this name, label or id; ``key`` is the config key that asks for it, for messages.

    Raises:
        UserError: no setting is called so.
    """
    known: dict[str, SettingT] = {}
    for setting in settings:
        known[setting.id] = setting
        known.update(dict.fromkeys((*setting.names, setting.label), setting))
    if label not in known:
        raise UserError(f"{key}: no setting is called {label!r}{unknown_name(label, known)}")
    return known[label]


def values_of(values: Range | tuple[Any, ...] | Any) -> list[Any]:  # noqa: ANN401
    """Spell out a range, a list, or a bare value (a list of one)."""
    if isinstance(values, Range):
        return values.values()
    return list(values) if isinstance(values, tuple) else [values]


def _setting(space: Space[SettingT], row: Row) -> SettingT:
    try:
        return space.make(row)
    except ValidationError as error:
        at = ", ".join(f"{name}: {value}" for name, value in row.overrides.items())
        raise UserError(f"{row.where}: at {at}: {first_error(error)}") from None


def _rows(space: Space[Any], base_dir: Path) -> Iterator[Row]:
    """The baseline's row, then the sweep's."""
    key, sweep = space.key, space.sweep
    yield Row(BASELINE, {}, space.section, False)
    if isinstance(sweep, str):
        yield from _table_rows(space, base_dir / sweep, f"{key}: {sweep}")
    elif isinstance(sweep, tuple):
        for number, block in enumerate(sweep):
            yield from _block_rows(space, block, f"{key}[{number}]")
    elif sweep is not None:
        yield from _block_rows(space, sweep, key)


def _table_rows(space: Space[Any], path: Path, key: str) -> Iterator[Row]:
    for number, row in enumerate(read_rows(path, key), start=1):
        where = f"{key}: row {number}"
        # Use the models' values: a cell's type depends on the other cells of its column.
        yield Row(_name(space, row, where), _checked(space, _overrides(row), where), where, True)


def _block_rows(space: Space[Any], block: SweepBlock, where: str) -> list[Row]:
    rows = [Row(None, overrides, where, True) for overrides in _combinations(space, block, where)]
    for number, point in enumerate(block.points):
        path, overrides = f"{where}.points[{number}]", _overrides(point)
        _checked(space, overrides, path)
        rows.append(Row(_name(space, point, path), overrides, path, False))
    kept = list(_without(space, rows, block.exclude, f"{where}.exclude"))
    if not kept:
        raise UserError(f"{where}: the sweep is empty; give it a grid, zip or points that exclude does not remove")
    return kept


def _combinations(space: Space[Any], block: SweepBlock, where: str) -> Iterator[Overrides]:
    if not block.grid and not block.zip:
        return
    grid = _lists(space, block.grid, f"{where}.grid")
    zipped = _lists(space, block.zip, f"{where}.zip")
    if len({len(values) for values in zipped.values()}) > 1:
        lengths = ", ".join(f"{name} has {len(values)}" for name, values in zipped.items())
        raise UserError(f"{where}.zip: all lists must have the same length, but {lengths}")
    if both := sorted(grid.keys() & zipped.keys()):
        raise UserError(f"{where}: {both[0]} is in both grid and zip; remove one")
    count = prod(len(values) for values in grid.values()) * min((len(values) for values in zipped.values()), default=1)
    if count > MOST_SETTINGS:
        raise UserError(f"{where}: the sweep has {count:,} settings, but at most {MOST_SETTINGS:,} are allowed")
    steps = [dict(zip(zipped, row, strict=True)) for row in zip(*zipped.values(), strict=True)] or [{}]
    for step in steps:
        for row in product(*grid.values()):
            yield {**dict(zip(grid, row, strict=True)), **step}


def _lists(space: Space[Any], values: Mapping[str, Any], where: str) -> dict[str, list[Any]]:
    """Check each parameter's values, and return them as written."""
    lists = {name: values_of(given) for name, given in values.items()}
    for name, listed in lists.items():
        for value in listed:
            _checked(space, {name: value}, where)
    return lists


def _checked(space: Space[Any], overrides: Mapping[str, Any], where: str) -> Overrides:
    """Check each value on its own, and return the model's values."""
    return {name: _checked_value(space, name, value, where) for name, value in overrides.items()}


def _checked_value(space: Space[Any], name: str, value: Any, where: str) -> Any:  # noqa: ANN401
    if name in space.without_effect:
        raise UserError(f"{where}.{name}: changes no mask and cannot be swept; set it under {space.section}")
    if name not in space.sweepable:
        raise UserError(f"{where}.{name}: unknown parameter{unknown_name(name, space.sweepable)}")
    if name == CHECKPOINT:
        if not isinstance(value, str) or not value:
            raise UserError(f"{where}.{name}: {value!r} is not the name or path of a checkpoint")
        return value
    try:
        return getattr(space.fields.model_validate({name: value}), name)
    except ValidationError as error:
        raise UserError(f"{where}.{first_error(error)}") from None


def _overrides(point: Mapping[str, Any]) -> Overrides:
    return {name: value for name, value in point.items() if name != "name"}


def _name(space: Space[Any], point: Mapping[str, Any], where: str) -> str | None:
    name = point.get("name")
    if name is None:
        return None
    # A name becomes part of file names, and must not lead out of the results.
    if not isinstance(name, str) or not space.name.fullmatch(name):
        raise UserError(f"{where}.name: {name!r} cannot be a setting's name: {space.name_rule}")
    if len(name.encode()) > _LONGEST_NAME:
        raise UserError(f"{where}.name: {name[:40]!r}... has more than {_LONGEST_NAME} bytes; it becomes a file name")
    return name


def _without(space: Space[Any], rows: list[Row], exclude: Sequence[Mapping[str, Any]], where: str) -> Iterator[Row]:
    patterns = [_checked(space, pattern, f"{where}[{number}]") for number, pattern in enumerate(exclude)]
    for number, pattern in enumerate(patterns):
        if not any(_matches(pattern, row.overrides) for row in rows):
            raise UserError(f"{where}[{number}]: matches no setting of the sweep")
    for row in rows:
        if not any(_matches(pattern, row.overrides) for pattern in patterns):
            yield row


def _matches(pattern: Overrides, overrides: Overrides) -> bool:
    return all(name in overrides and overrides[name] == value for name, value in pattern.items())
