"""Where in a config file something stands: file and line for messages."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import yaml

from maskgrid.config.models import Config
from maskgrid.io.errors import UserError

# The key that a message begins with, such as ``sweep.points[0].name: ``.
_KEY = re.compile(rf"(?:{'|'.join(Config.model_fields)})(?:[.\[][^:\s]*)?(?=: )|\w+(?=: unknown key)")
_PART = re.compile(r"[^.\[\]]+")


@contextmanager
def placed(paths: Sequence[Path]) -> Iterator[None]:
    """Put file and line before a message that begins with a key of the config.

    Args:
        paths: the config files; of several that have the key, the last counts, as for Snakemake.

    Raises:
        UserError: the error of the block.
    """
    try:
        yield
    except UserError as error:
        raise UserError(with_place(str(error), paths)) from None


def with_place(message: str, paths: Sequence[Path]) -> str:
    """A message with file and line before it, if it begins with a key."""
    key = _KEY.match(message)
    if key is None or not paths:
        return message
    for path in reversed(paths):
        if (line := line_of(path, key[0])) is not None:
            return f"{path}, line {line}: {message}"
    return f"{paths[-1]}: {message}"


def line_of(path: Path, key: str) -> int | None:
    """The line, from 1, of a key in a YAML or JSON file, or of the nearest section around it; None without either."""
    try:
        node = yaml.compose(path.read_text(encoding="utf-8"), yaml.SafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return None
    line = None
    for part in _PART.findall(key):
        found = _inner(node, part)
        if found is None:
            return line
        line, node = found
    return line


def _inner(node: yaml.Node | None, part: str) -> tuple[int, yaml.Node] | None:
    """The line and the value of a key of a mapping, or of an item of a list."""
    if isinstance(node, yaml.MappingNode):
        for name, value in node.value:
            if isinstance(name, yaml.ScalarNode) and name.value == part:
                return name.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and part.isdigit() and int(part) < len(node.value):
        item = node.value[int(part)]
        return item.start_mark.line + 1, item
    return None
