"""Numbers, parameters and settings as people read them."""

from typing import Any

NONE = "-"
_LONGEST = 40


def number(value: float | None, digits: int = 1) -> str:
    """A number with a fixed count of decimals, so that columns line up."""
    return NONE if value is None else f"{value:.{digits}f}"


def share(value: float | None, digits: int = 1) -> str:
    """A share as per cent."""
    return NONE if value is None else f"{100 * value:.{digits}f}%"


def interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """An interval, from its ends."""
    return NONE if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def parameter(value: Any) -> str:  # noqa: ANN401
    """A parameter's value, short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return "+".join(str(len(grid)) for grid in value) + " points"
    return f"{value:.6g}" if isinstance(value, float) else str(value)[-_LONGEST:]


def count(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"
