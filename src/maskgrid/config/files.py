"""Read config files safely, check them as a whole, and write them back in one canonical form."""

from pathlib import Path
from typing import Any

import orjson
import yaml
from pydantic import ValidationError

from maskgrid.config.messages import first_error
from maskgrid.config.models import Config
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
        UserError: the file is missing, cannot be parsed, or does not fit the models.
    """
    try:
        text = path.read_text(encoding="utf-8")
        # YAML 1.1 reads JSON's 1e-5 as text.
        values = orjson.loads(text) if path.suffix == ".json" else read_yaml(text)
    except FileNotFoundError:
        raise UserError(f"{path}: no such config file") from None
    except (yaml.YAMLError, UnicodeDecodeError, orjson.JSONDecodeError) as error:
        raise UserError(f"{path}: cannot be read: {' '.join(str(error).split())}") from None
    return parse_config(values or {}, str(path))


def parse_config(values: Any, where: str) -> Config:  # noqa: ANN401
    """Check a config's values.

    Raises:
        UserError: one line with the key's path, the reason and, for an unknown key, the nearest known one.
    """
    if not isinstance(values, dict):
        raise UserError(f"{where}: a config is a mapping of sections, not {type(values).__name__}")
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise UserError(f"{where}: {first_error(error, Config)}") from None


def save_config(config: Config, path: Path) -> None:
    """Write the merged config, unless the file already contains it."""
    content = orjson.dumps(config.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
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
