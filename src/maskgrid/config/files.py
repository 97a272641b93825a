"""Read config files safely, check them as a whole, and write them back in one canonical form."""

from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import ValidationError

from maskgrid.config.messages import first_error
from maskgrid.config.models import Config
from maskgrid.config.places import placed
from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes


class RepeatedKeyError(yaml.YAMLError):
    """A mapping repeats a key."""


class _OnceLoader(yaml.SafeLoader):
    """Load YAML safely, and treat a repeated key as an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise RepeatedKeyError(f"line {key.start_mark.line + 1}: the key {key.value!r} is repeated")
                seen.add(key.value)
        found: dict[Any, Any] = super().construct_mapping(node, deep)
        return found


def read_yaml(text: str) -> Any:  # noqa: ANN401
    """Read YAML; raise :class:`RepeatedKeyError` or another ``yaml.YAMLError``."""
    return yaml.load(text, _OnceLoader)


CONFIG_NAMES = ("config.yaml", "config.yml")


def config_in(folder: Path) -> Path | None:
    """The config file of a folder, by either of its names; None if it has none.

    Raises:
        UserError: it has both.
    """
    there = [folder / name for name in CONFIG_NAMES if (folder / name).is_file()]
    if len(there) > 1:
        both = " and ".join(map(str, there))
        raise UserError(f"{both} are both there: keep one of them, or name one (--configfile, maskgrid --config)")
    return there[0] if there else None


def load_config(path: Path) -> Config:
    """Read and check a config file.

    Raises:
        UserError: the file is missing or empty, cannot be parsed, or does not fit the models: file, line, key, reason.
    """
    values = read_config(path)
    with placed([path]):
        return parse_config(values)


def read_config(path: Path) -> dict[str, Any]:
    """Read a YAML or JSON file.

    Raises:
        UserError: it is missing or empty, is neither YAML nor JSON, or has no sections.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # YAML 1.1 reads JSON's 1e-5 as text.
        values = orjson.loads(text) if path.suffix == ".json" else read_yaml(text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}{_yaml_mistake(error)}") from None
    except (OSError, ValueError, RecursionError) as error:  # ValueError: JSON, UTF-8, dates such as 2024-13-01
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    if values is None:
        raise UserError(f"{path}: the config is empty; write one with maskgrid init --source FOLDER_OF_IMAGES --force")
    if not isinstance(values, dict):
        raise UserError(f"{path}: {_NO_SECTIONS}, not {type(values).__name__}")
    return values


# What YAML's parser says, and what people have usually done.
_MENDS = {
    "'\\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": "look at this line and the one above: each key needs a colon, keys of one "
    "section the same indentation, and texts with ': ' in them quotes",
    "could not find expected ':'": "a colon and a space are missing after a key, here or in the line above",
    "expected <block end>": "keys of one section need the same indentation",
    "expected ',' or": "a bracket is open, here or above",
    "found unexpected end of stream": "a quote or bracket is open",
}


def _yaml_mistake(error: yaml.YAMLError) -> str:
    """``, line 7: it is no YAML: ...; mend``, as far as it is known."""
    if isinstance(error, RepeatedKeyError):
        return f": {error}"
    mark, problem = getattr(error, "problem_mark", None), str(getattr(error, "problem", None) or error)
    line = f", line {mark.line + 1}" if mark is not None else ""
    mend = next((f"; {text}" for sign, text in _MENDS.items() if sign in problem), "")
    return f"{line}: this is no YAML: {' '.join(problem.split())}{mend}"


_NO_SECTIONS = "a config is a mapping of sections"
# Sections may be there without a key, such as one whose lines are all comments.
_MAY_BE_EMPTY = frozenset({"dataset", "model", "generator", "record"})


def parse_config(values: Any, where: str = "") -> Config:  # noqa: ANN401
    """Check a config's values; ``where`` begins the message.

    Raises:
        UserError: one line with the key's path, the reason and what to write instead, as far as it is known.
    """
    prefix = f"{where}: " if where else ""
    if not isinstance(values, dict):
        raise UserError(f"{prefix}{_NO_SECTIONS}, not {type(values).__name__}")
    given = {name: value for name, value in values.items() if value is not None or name not in _MAY_BE_EMPTY}
    try:
        return Config.model_validate(given)
    except ValidationError as error:
        raise UserError(f"{prefix}{first_error(error, Config)}") from None


def resolved(config: Config) -> Config:
    """The config as jobs read it: it says whether there is an automatic job, where it left that open."""
    return config if config.is_automatic else config.model_copy(update={"automatic": False})


def save_config(config: Config, path: Path) -> None:
    """Write the merged config, unless the file already contains it."""
    content = orjson.dumps(
        resolved(config).model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE
    )
    if not path.is_file() or path.read_bytes() != content:
        write_bytes(path, content)


def schema() -> bytes:
    """The JSON schema of the config, as kept in ``workflow/schemas/config.schema.json``."""
    described = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **Config.model_json_schema(),
        "title": "maskgrid config",
    }
    return orjson.dumps(described, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
