"""Messages for errors in a config: the key's path, the reason, the nearest known name."""

import re
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

from maskgrid.config.filters import FilterFields
from maskgrid.config.models import GeneratorFields
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.tracking import AutomaticConfig

_NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
# Union tags of maskgrid.config: pydantic adds them to the path, but the file has no such keys.
_TAGS = frozenset({"block", "blocks", "table", "range", "list", "value", "form", "options"})


def unknown_name(name: str, known: Iterable[str]) -> str:
    """``; did you mean 'x'?`` for the nearest known name; empty if none is near."""
    near = get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"; did you mean {near[0]!r}?" if near else ""


def first_error(error: ValidationError, model: type[BaseModel] | None = None) -> str:
    """Format the first error as one line: path, reason and, for an unknown key, the nearest known one."""
    details = error.errors()[0]
    location = tuple(part for part in details["loc"] if part not in _TAGS)
    return f"{_path(location)}{_reason(dict(details), location, model)}"


def _path(location: tuple[int | str, ...]) -> str:
    path = ""
    for part in location:
        path += f"[{part}]" if isinstance(part, int) else f".{part}" if path else str(part)
    return f"{path}: " if path else ""


def _reason(details: dict[str, Any], location: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    if details["type"] == "extra_forbidden":
        known = _fields_at(model, location[:-1])
        if "grid" in known and location[-1] in _parameters():
            return f"a parameter's values go one level deeper: {location[-2]}: {{grid: {{{location[-1]}: ...}}}}"
        hint = unknown_name(str(location[-1]), known)
        return f"unknown key{hint or ('; known are ' + ', '.join(known) if known else '')}"
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    return _mend(details, location, model) or _in_pydantics_words(details)


def _in_pydantics_words(details: dict[str, Any]) -> str:
    message = str(details["msg"]).replace("Tuple", "List").replace("valid tuple", "valid list")
    return f"{message[0].lower()}{message[1:]} (got {details['input']!r})"


def _mend(details: dict[str, Any], location: tuple[int | str, ...], model: type[BaseModel] | None) -> str:
    """What to write instead, for mistakes that people make; empty for others."""
    kind, value = str(details["type"]), details["input"]
    if kind in ("model_type", "model_attributes_type", "dict_type"):
        return _instead_of_section(value, location, model)
    if kind == "string_pattern_mismatch" and (text := _description_at(model, location)):
        return f"{value!r} is not possible{_other_word(value)}; possible are: {text}: {text}"
    if isinstance(value, list | dict) and kind.endswith("_type"):
        return _instead_of_several(value, location)
    if kind in ("bool_type", "bool_parsing"):
        return f"input should be a valid boolean (got {value!r}); write true or false"
    if kind in ("float_type", "int_type", "int_from_float"):
        noun = "number" if kind == "float_type" else "integer"
        number = _number_in(value)
        hint = f"; write {number}" if number and (noun == "number" or number.lstrip("-").isdigit()) else ""
        return f"input should be a valid {noun} (got {value!r}){hint}"
    if kind == "string_type":
        return f"input should be a valid string (got {value!r}); put it in quotes"
    return ""


def _other_word(value: Any) -> str:  # noqa: ANN401
    return "; did you mean 'cuda'?" if str(value).lower() in ("gpu", "nvidia") else ""


# The key that somebody means who writes a value where a section belongs.
_MAIN_KEYS = {"dataset": "source", "model": "checkpoint", "prompts": "source", "tracking": "source"}


def _instead_of_section(value: Any, location: tuple[int | str, ...], model: type[BaseModel] | None) -> str:  # noqa: ANN401
    name = str(location[-1]) if location else "config"
    if name in _MAIN_KEYS and isinstance(value, str | int | float):
        return f"this is a section with keys (got {value!r}); did you mean {name}: {{{_MAIN_KEYS[name]}: {value}}}?"
    known = _fields_at(model, location)
    return f"this is a section with keys{': ' + ', '.join(known) if known else ''} (got {value!r})"


def _instead_of_several(value: Any, location: tuple[int | str, ...]) -> str:  # noqa: ANN401
    if len(location) == 2 and location[0] in ("generator", "filters"):
        return (
            f"one value is needed (got {value!r}); values to compare go under sweep: {{grid: {{{location[1]}: ...}}}}"
        )
    if location[-1:] == ("source",):
        return (
            f"one source is needed (got {value!r}); for several folders give the one around them, a glob such as "
            "photos/*/*.jpg, or a .txt with one path a line"
        )
    return f"one value is needed, not several (got {value!r})"


def _number_in(value: Any) -> str:  # noqa: ANN401
    """A number that is written as text, as it should be written; empty if there is none."""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip().replace(",", ".") if isinstance(value, str) else ""
    if _NUMBER.fullmatch(text.removesuffix("%")):
        return f"{float(text[:-1]) / 100:g}" if text.endswith("%") else text
    return ""


def _fields_at(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> list[str]:
    """The known keys of the section at ``location``."""
    for part in location:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        model = _section(field.annotation) if field is not None else None
    return list(model.model_fields) if model is not None else []


def _description_at(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> str:
    """The description of a field."""
    for part in location[:-1]:
        field = model.model_fields.get(str(part)) if model is not None else None
        model = _section(field.annotation) if field is not None else None
    field = model.model_fields.get(str(location[-1])) if model is not None and location else None
    return (field.description or "") if field is not None else ""


def _parameters() -> frozenset[str]:
    """The names of the parameters that some sweep may vary."""
    return frozenset(
        name for each in (GeneratorFields, FilterFields, PromptConfig, AutomaticConfig) for name in each.model_fields
    ) | {"checkpoint"}


def _section(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _section(inner)) is not None:
            return found
    return None
