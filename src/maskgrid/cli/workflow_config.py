"""Repairs to a config that Snakemake has read, before the models check it."""

from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel

from maskgrid.config.files import read_config
from maskgrid.config.filters import FilterFields
from maskgrid.config.models import Config, GeneratorFields
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.tiles import TileFields
from maskgrid.config.tracking import AutomaticConfig

# In grid, zip, points and exclude of any sweep: a setting's name, the checkpoint, and the parameters of all jobs.
_SWEPT: dict[str, Any] = {"name": str, "checkpoint": str} | {
    name: field.annotation
    for model in (GeneratorFields, TileFields, FilterFields, AutomaticConfig, PromptConfig)
    for name, field in model.model_fields.items()
}


def refuse_unreadable(path: Path) -> None:
    """Check that a config file can be read and repeats no key: Snakemake keeps the last one, and says no line.

    Raises:
        UserError: it cannot, is empty, or a key is repeated.
    """
    read_config(path)


def typed(values: Any, given: Sequence[str] = ()) -> Any:  # noqa: ANN401
    """Convert the values of ``--config KEY={...}`` to the types of the config's fields.

    Snakemake leaves nested values as text, and makes numbers of others. Where a field takes text, such as a folder or a
    name, ``2024`` stays text; anywhere else it is what YAML makes of it.

    Args:
        values: the values as Snakemake has read them.
        given: the arguments as written, ``KEY=VALUE`` each.
    """
    written = dict(argument.partition("=")[::2] for argument in given)
    restored = {
        key: written.get(key, value) if isinstance(value, bool | int | float) else value
        for key, value in values.items()
    }
    return {key: _typed(value, *_field(Config, key)) for key, value in restored.items()}


def _typed(value: Any, annotation: Any, model: type[BaseModel] | None) -> Any:  # noqa: ANN401
    """A value at a field: its annotation, and the model of the mappings in it, if they are sections."""
    if isinstance(value, dict):
        return {key: _typed(inner, *_field(model, key)) for key, inner in value.items()}
    if isinstance(value, list):
        return [_typed(inner, annotation, model) for inner in value]
    if not isinstance(value, str):
        return value
    try:
        plain = yaml.safe_load(value)
    except (yaml.YAMLError, ValueError):
        return value
    if plain is None:  # an empty text too: a key without a value
        return value if _takes(annotation, str) and not _takes(annotation, type(None)) else None
    if isinstance(plain, str) and _takes(annotation, float) and not _takes(annotation, str):
        with suppress(ValueError):  # YAML 1.1 takes 1e-3 for text
            return float(plain)
    is_plain = isinstance(plain, bool | int | float) and not _takes(annotation, str)
    return plain if is_plain else value


def _field(model: type[BaseModel] | None, name: str) -> tuple[Any, type[BaseModel] | None]:
    """The annotation of a model's field, and the model of the section in it; of a swept parameter without a model."""
    if model is not None and (field := model.model_fields.get(name)) is not None:
        return field.annotation, next(_models(field.annotation), None)
    return _SWEPT.get(name), None


def _models(annotation: Any) -> Iterator[type[BaseModel]]:  # noqa: ANN401
    """The sections in an annotation, in order."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def _takes(annotation: Any, kind: type) -> bool:  # noqa: ANN401
    """Return whether a field takes a value of this kind, itself or in a list."""
    if get_origin(annotation) is Literal:
        return any(isinstance(value, kind) for value in get_args(annotation))
    return annotation is kind or any(_takes(inner, kind) for inner in get_args(annotation))
