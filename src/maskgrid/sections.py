"""What every part of the config has in common."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

Fraction = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]


class Section(BaseModel):
    """A part of the config: no unknown keys, no silent conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)
