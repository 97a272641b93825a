"""Repairs to a config that Snakemake has read, before the models check it."""

from pathlib import Path
from typing import Any

import yaml

from maskgrid.config.files import RepeatedKeyError, read_yaml
from maskgrid.io.errors import UserError


def refuse_repeated_keys(path: Path) -> None:
    """Check that no key is repeated in a config file: Snakemake silently keeps the last one.

    Raises:
        UserError: a key is repeated.
    """
    try:
        read_yaml(path.read_text(encoding="utf-8"))
    except RepeatedKeyError as error:
        raise UserError(f"{path}: {error}") from None
    except yaml.YAMLError:
        return  # not an error: Snakemake reads more than this loader


def typed(values: Any) -> Any:  # noqa: ANN401
    """Convert the values of ``--config KEY={...}`` to their types: Snakemake leaves nested ones as text."""
    if isinstance(values, dict):
        return {key: typed(value) for key, value in values.items()}
    if isinstance(values, list):
        return [typed(value) for value in values]
    if not isinstance(values, str):
        return values
    try:
        plain = yaml.safe_load(values)
    except yaml.YAMLError:
        return values
    return plain if plain is None or isinstance(plain, bool | int | float) else values
