"""Generate the JSON schema and the tables of keys in ``config/README.md`` from the config's models."""

import re
import sys
from pathlib import Path
from typing import Any

import orjson
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from maskgrid.config.categories import CategoriesConfig
from maskgrid.config.dataset import DatasetConfig
from maskgrid.config.files import schema
from maskgrid.config.filters import FilterFields
from maskgrid.config.models import Config, GeneratorFields, ModelConfig
from maskgrid.config.pixels import PixelsConfig
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.record import RecordConfig
from maskgrid.config.section import SweepBlock
from maskgrid.config.tiles import TileFields
from maskgrid.config.tracking import AutomaticConfig, TrackingConfig
from maskgrid.config.tuning import TuneConfig

_SECTIONS: dict[str, type[BaseModel]] = {
    "dataset": DatasetConfig,
    "pixels": PixelsConfig,
    "model": ModelConfig,
    "generator": GeneratorFields,
    "tiles": TileFields,
    "filters": FilterFields,
    "sweep": SweepBlock,
    "record": RecordConfig,
    "categories": CategoriesConfig,
    "prompts": PromptConfig,
    "tracking": TrackingConfig,
    "automatic": AutomaticConfig,
    "tune": TuneConfig,
}

# Keys that are sections with tables of their own, left out of their parent's table.
_WITH_TABLES = {"tracking": frozenset({"automatic"}), "dataset": frozenset({"pixels"})}


def key_table(model: type[BaseModel], skip: frozenset[str] = frozenset()) -> str:
    """Make a Markdown table of a section's keys, defaults and meanings."""
    rows = [
        f"| `{field.alias or name}` | {_default(field.get_default(call_default_factory=True))} | {field.description} |"
        for name, field in model.model_fields.items()
        if name not in skip
    ]
    return "\n".join(["| key | default | meaning |", "| --- | --- | --- |", *rows])


def with_tables(text: str) -> str:
    """Regenerate the README's tables between ``<!-- keys: SECTION -->`` and ``<!-- end -->``."""
    for name, model in _SECTIONS.items():
        text = _replace(text, name, key_table(model, _WITH_TABLES.get(name, frozenset())))
    return _replace(
        text,
        "top",
        key_table(Config, skip=frozenset(_SECTIONS) - {"sweep", "prompts", "tracking", "tune", "categories"}),
    )


def _replace(text: str, name: str, table: str) -> str:
    pattern = rf"(<!-- keys: {name} -->\n).*?(<!-- end -->)"
    return re.sub(pattern, lambda match: f"{match[1]}{table}\n{match[2]}", text, flags=re.DOTALL)


def _default(value: Any) -> str:  # noqa: ANN401
    if value is PydanticUndefined:
        return ""
    return f"`{orjson.dumps(value).decode()}`" if not isinstance(value, str) else f"`{value}`"


def main(root: Path) -> None:
    """Write the schema and the tables in a checkout."""
    (root / "workflow/schemas/config.schema.json").write_bytes(schema())
    readme = root / "config/README.md"
    readme.write_text(with_tables(readme.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
