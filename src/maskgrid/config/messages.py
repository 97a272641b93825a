"""Messages for errors in a config: the key's path, the reason, the nearest known name."""

from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from pydantic import BaseModel, ValidationError

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
        hint = unknown_name(str(location[-1]), known)
        return f"unknown key{hint or ('; known are ' + ', '.join(known) if known else '')}"
    if details["type"] == "value_error":
        return str(details["ctx"]["error"])
    message = str(details["msg"]).replace("Tuple", "List").replace("valid tuple", "valid list")
    return f"{message[0].lower()}{message[1:]} (got {details['input']!r})"


def _fields_at(model: type[BaseModel] | None, location: tuple[int | str, ...]) -> list[str]:
    """The known keys of the section at ``location``."""
    for part in location:
        if isinstance(part, int) or model is None:
            continue
        field = model.model_fields.get(part)
        model = _section(field.annotation) if field is not None else None
    return list(model.model_fields) if model is not None else []


def _section(annotation: Any) -> type[BaseModel] | None:  # noqa: ANN401
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for inner in getattr(annotation, "__args__", ()):
        if (found := _section(inner)) is not None:
            return found
    return None
