"""Progress of long work: a bar on a terminal, an occasional line in a log."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

Item = TypeVar("Item")

# Seconds between two lines in a log file.
_LOG_INTERVAL_S = 30.0


def shown(items: Iterable[Item], total: int, what: str, unit: str) -> Iterator[Item]:
    """Yield the items and show the count, the rate and the time left."""
    terminal = sys.stderr.isatty()
    return iter(
        tqdm(
            items,
            total=total,
            desc=what,
            unit=f" {unit}",
            mininterval=0.2 if terminal else _LOG_INTERVAL_S,
            maxinterval=10.0 if terminal else _LOG_INTERVAL_S,
            # In a log, every update is a new line.
            bar_format=None if terminal else "{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}]\n",
        )
    )
