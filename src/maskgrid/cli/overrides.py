"""``generator.points_per_side=16`` on the command line: changes to the config for one run."""

import re
from collections.abc import Sequence
from typing import Any

import yaml

from maskgrid.config.files import parse_config, read_yaml
from maskgrid.config.models import Config
from maskgrid.io.errors import UserError

_OVERRIDE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*=")


def split_words(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Part targets (rules or files) from overrides (``section.key=value``)."""
    overrides = [word for word in words if _OVERRIDE.match(word)]
    return [word for word in words if word not in overrides], overrides


def only_overrides(words: Sequence[str]) -> list[str]:
    """The words, which must all be overrides.

    Raises:
        UserError: one is not.
    """
    others, overrides = split_words(words)
    if others:
        raise UserError(f"command line: {others[0]!r} is not of the form section.key=value")
    return overrides


def overridden(config: Config, overrides: Sequence[str]) -> Config:
    """The config with values replaced; values are written as in YAML.

    Raises:
        UserError: an unknown key or a wrong value, as in a config file.
    """
    if not overrides:
        return config
    values = config.model_dump(mode="json", exclude_unset=True)
    for word in overrides:
        key, _, text = word.partition("=")
        _set(values, key.split("."), _value(text), key)
    return parse_config(values, "command line")


def _value(text: str) -> Any:  # noqa: ANN401
    try:
        return read_yaml(text)
    except (yaml.YAMLError, ValueError):
        return text  # a glob such as *.jpg, or a name like a date: 2024-13-01


def _set(values: dict[str, Any], path: list[str], value: Any, key: str) -> None:  # noqa: ANN401
    *sections, last = path
    for section in sections:
        inner = values.get(section)
        if inner is None:
            inner = values[section] = {}
        if not isinstance(inner, dict):
            raise UserError(f"command line: {key}: {section} is no mapping in the config, so no key of it can be set")
        values = inner
    values[last] = value
