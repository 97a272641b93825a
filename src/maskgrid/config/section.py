"""The base of all config sections, and the form of a sweep, the same for all three jobs."""

from decimal import Decimal
from typing import Annotated, Any, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    FiniteFloat,
    Tag,
    field_validator,
    model_validator,
)

MOST_SETTINGS = 100_000  # more is a typo in a step or grid: the plan alone would take minutes and all memory

Fraction = Annotated[FiniteFloat, Field(ge=0.0, le=1.0)]
Item = TypeVar("Item")
# A list in the file; a tuple once read, so that sections can be hashed and compared. Items stay strict.
Items = Annotated[tuple[Item, ...], Field(strict=False)]


def frozen(value: Any) -> Any:  # noqa: ANN401
    """Turn lists into tuples, inner ones too."""
    return tuple(frozen(item) for item in value) if isinstance(value, list | tuple) else value


# A parameter's value in a sweep, checked later by the parameter's own model.
AnyValue = Annotated[Any, AfterValidator(frozen)]


def _kind_of_values(value: Any) -> str:  # noqa: ANN401
    return "range" if isinstance(value, dict | Range) else "list" if isinstance(value, list | tuple) else "value"


def _kind_of_sweep(value: Any) -> str:  # noqa: ANN401
    return "table" if isinstance(value, str) else "blocks" if isinstance(value, list | tuple) else "block"


# Bytes: the longest name that file systems allow.
_LONGEST_NAME = 255


def _fault(value: Any) -> str:  # noqa: ANN401
    """Why no file could hold a number, or have the name of a text, also in lists; empty if one could."""
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return "the number is too large; whole numbers have at most 64 bits"
    if isinstance(value, str):
        if any(sign in value for sign in "\0\n\r"):
            return f"{value[:40]!r} has a line break or a NUL in it; names and paths stand on one line"
        is_path = not any(sign in value for sign in ("://", "{"))
        if is_path and any(len(part.encode(errors="replace")) > _LONGEST_NAME for part in value.split("/")):
            return f"{value[:40]!r}... is too long: names of files have at most {_LONGEST_NAME} bytes"
    parts = value if isinstance(value, list | tuple) else ()
    return next((fault for part in parts if (fault := _fault(part))), "")


class Section(BaseModel):
    """A part of the config: no unknown keys, no silent conversions, no changes after loading."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, validate_default=True)

    @field_validator("*", mode="before")
    @classmethod
    def _can_be_written(cls, value: Any) -> Any:  # noqa: ANN401
        if fault := _fault(value):
            raise ValueError(fault)
        return value


class Range(Section):
    """Evenly spaced values, the stop included, in decimal arithmetic: 0.7 to 0.9 by 0.1 is 0.7, 0.8, 0.9."""

    start: FiniteFloat | int
    stop: FiniteFloat | int
    step: Annotated[FiniteFloat, Field(gt=0.0)] | Annotated[int, Field(gt=0)]

    @model_validator(mode="after")
    def _not_empty(self) -> "Range":
        if self.stop < self.start:
            raise ValueError(f"the range from {self.start} to {self.stop} is empty")
        if self.count() > MOST_SETTINGS:
            raise ValueError(
                f"the range has {self.count():,} values, but at most {MOST_SETTINGS:,} are allowed; check the step"
            )
        return self

    def count(self) -> int:
        """The number of values."""
        start, stop, step = self._decimals()
        return int((stop - start) / step) + 1

    def values(self) -> list[float] | list[int]:
        """The values; integers if start, stop and step are."""
        start, _, step = self._decimals()
        numbers = [start + index * step for index in range(self.count())]
        whole = all(isinstance(number, int) for number in (self.start, self.stop, self.step))
        return [int(number) for number in numbers] if whole else [float(number) for number in numbers]

    def _decimals(self) -> tuple[Decimal, Decimal, Decimal]:
        return Decimal(str(self.start)), Decimal(str(self.stop)), Decimal(str(self.step))


Values = Annotated[
    Annotated[Range, Tag("range")]
    | Annotated[Items[AnyValue], Field(min_length=1), Tag("list")]
    | Annotated[AnyValue, Tag("value")],
    Discriminator(_kind_of_values),
]


class SweepBlock(Section):
    """Settings to compare: every combination of ``grid`` with each step of ``zip``, and single ``points``."""

    grid: dict[str, Values] = Field(default_factory=dict, description="every combination of these values")
    zip: dict[str, Values] = Field(default_factory=dict, description="values walked together, crossed with grid")
    points: Items[dict[str, AnyValue]] = Field(default=(), description="single settings, by name")
    exclude: Items[dict[str, AnyValue]] = Field(default=(), description="partial matches to leave out")


Sweep = Annotated[
    Annotated[SweepBlock, Tag("block")]
    | Annotated[Items[SweepBlock], Field(min_length=1), Tag("blocks")]
    | Annotated[str, Tag("table")],
    Discriminator(_kind_of_sweep),
]
