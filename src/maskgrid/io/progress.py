"""Show the progress of long work: a bar on a terminal, an occasional line in a log, and live under ``maskgrid run``."""

import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from tqdm import tqdm

from maskgrid.io.events import listened, send

Item = TypeVar("Item")

# Seconds between two lines in a log file, and between two events.
_LOG_INTERVAL_S = 30.0
_EVENT_INTERVAL_S = 0.2


def shown(items: Iterable[Item], total: int, what: str, unit: str) -> Iterator[Item]:
    """Yield the items and show the count, the rate and the time left."""
    with counted(total, what, unit) as advance:
        for item in items:
            yield item
            advance(1)


@contextmanager
def counted(total: int, what: str, unit: str) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows that so many more items are done."""
    tell = _teller(what, total, unit)
    with tqdm(total=total, desc=what, unit=f" {unit}", **_look()) as bar:
        tell(0)

        def advance(number: int) -> None:
            bar.update(number)
            tell(int(bar.n))

        yield advance


@contextmanager
def shown_bytes(what: str, done: int, total: int) -> Iterator[Callable[[int], None]]:
    """Yield a function that shows how many bytes of a file have arrived."""
    tell = _teller(what, total, "B")
    with tqdm(initial=done, total=total, desc=what, unit="B", unit_scale=True, **_look()) as bar:

        def show(position: int) -> None:
            bar.update(position - bar.n)
            tell(position)

        yield show


def _teller(what: str, total: int, unit: str) -> Callable[[int], None]:
    """A function that sends the number done to ``maskgrid run``, not too often, and surely at the end."""
    if not listened():
        return lambda _: None
    last = -1.0

    def tell(done: int) -> None:
        nonlocal last
        now = time.monotonic()
        if done < total and last >= 0.0 and now - last < _EVENT_INTERVAL_S:
            return
        last = now
        event = {"event": "progress", "job": os.getpid(), "what": what, "done": done, "total": total, "unit": unit}
        send({**event, "command": _command()})

    return tell


def _command() -> str:
    """The subcommand that runs: ``generate`` in ``maskgrid generate --shard all``."""
    return sys.argv[1] if len(sys.argv) > 1 else ""


def _look() -> dict[str, Any]:
    if sys.stderr.isatty():
        return {"mininterval": 0.2}
    return {
        "mininterval": _LOG_INTERVAL_S,
        "maxinterval": _LOG_INTERVAL_S,
        # In a log, every update is a new line.
        "bar_format": "{desc}: {n_fmt}/{total_fmt}{unit} [{elapsed}<{remaining}, {rate_fmt}]\n",
    }
