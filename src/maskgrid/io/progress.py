"""Show the progress of long work: a bar on a terminal, an occasional line in a log."""

import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

# Seconds between two lines in a log file.
_LOG_INTERVAL_S = 30.0


def shown(items: Iterable[Item], total: int, what: str, unit: str) -> Iterator[Item]:
    """Yield the items and show the count, the rate and the time left."""
    return iter(tqdm(items, total=total, desc=what, unit=f" {unit}", **_look()))


@contextmanager
def shown_bytes(what: str, done: int, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many bytes of a file have arrived."""
    with tqdm(initial=done, total=total, desc=what, unit="B", unit_scale=True, **_look()) as bar:

        def show(position: int) -> None:
            bar.update(position - bar.n)

        yield show


def _look() -> dict[str, Any]:
    if sys.stderr.isatty():
        return {"mininterval": 0.2}
    return {
        "mininterval": _LOG_INTERVAL_S,
        "maxinterval": _LOG_INTERVAL_S,
        # In a log, every update is a new line.
        "bar_format": "{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}]\n",
    }
