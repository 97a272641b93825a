"""What every part of the config has in common."""

from pydantic import BaseModel, ConfigDict


class Section(BaseModel):
    """A part of the config: no unknown keys, no silent conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)
