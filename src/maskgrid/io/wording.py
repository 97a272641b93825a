"""Format numbers, parameters and tables for people."""

from collections.abc import Mapping, Sequence
from typing import Any

NONE = "-"
# For all that shows masks of the demo network.
TOY = "the demo network is a toy: these masks show how maskgrid works, not how well SAM 2 segments"
_LONGEST = 40
_REASONS_SHOWN = 10


def number(value: float | None, digits: int = 1) -> str:
    """Format a number with a fixed number of decimals, so that columns line up."""
    return NONE if value is None else f"{value:.{digits}f}"


def share(value: float | None, digits: int = 1) -> str:
    """Format a share as per cent."""
    return NONE if value is None else f"{100 * value:.{digits}f}%"


def interval(low: float | None, high: float | None, digits: int = 1) -> str:
    """Format an interval."""
    return NONE if low is None or high is None else f"{low:.{digits}f} to {high:.{digits}f}"


def difference(mean: float | None, low: float | None, high: float | None) -> str:
    """Format a difference with its sign, and a star if its interval excludes 0."""
    if mean is None or low is None or high is None:
        return NONE
    return f"{mean:+.1f}{'*' if low > 0 or high < 0 else ''}"


def parameter(value: Any) -> str:  # noqa: ANN401
    """Format a parameter's value, shortened."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list | tuple):
        return "+".join(str(len(grid)) for grid in value) + " points"
    return f"{value:.6g}" if isinstance(value, float) else str(value)[-_LONGEST:]


def count(n: int, noun: str) -> str:
    """``1 image``, ``2 images``."""
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def size(n_bytes: float) -> str:
    """Format a number of bytes: ``2.1 MB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            return f"{n_bytes:.3g} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:.3g} TB"


def some(names: Sequence[str], n: int = 3) -> str:
    """List the first names: ``a, b, c and 4 more``."""
    more = len(names) - n
    return ", ".join(names[:n]) + (f" and {more:,} more" if more > 0 else "")


def tally(counts: Mapping[str, int]) -> str:
    """Format counts by name: ``2 ok, 1 truncated``."""
    return ", ".join(f"{n} {name}" for name, n in sorted(counts.items()))


def named_reasons(reasons: Sequence[tuple[str, str]], where: str = "") -> str:
    """The first names, each with its reason on a line of its own, then how many more there are, and where."""
    lines = [f"  {_on_one_line(name)}: {_on_one_line(reason)}" for name, reason in reasons[:_REASONS_SHOWN]]
    if len(reasons) > _REASONS_SHOWN:
        lines.append(f"  and {len(reasons) - _REASONS_SHOWN:,} more{where and f', in {where}'}")
    return "".join(f"\n{line}" for line in lines)


def _on_one_line(text: str) -> str:
    return text if text.isprintable() else repr(text)[1:-1]


def table_lines(rows: Sequence[Sequence[str]], to_right: bool = True) -> list[str]:
    """Lay out a table for a terminal, one line per row: the first column left-aligned, the others right or left."""
    first, *others = (max(map(len, column)) for column in zip(*rows, strict=True))
    align = str.rjust if to_right else str.ljust
    return ["  ".join([row[0].ljust(first), *map(align, row[1:], others)]).rstrip() for row in rows]
