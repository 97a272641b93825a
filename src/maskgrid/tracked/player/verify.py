"""Check the player's data: is each file there, complete, and made from the current masklets?"""

from collections.abc import Callable, Iterator
from pathlib import Path

from maskgrid.io.checks import Problem, check_picture
from maskgrid.tracked.player.data import Parts


def check_player(folder: Path, parts: Parts, expected: Callable[[], str]) -> Iterator[Problem]:
    """Check a run's folder; ``expected`` gives the fingerprint of its masklets."""
    if not folder.is_dir():
        yield Problem("missing", folder, "there is no such folder")
        return
    for name in parts.names():
        yield from check_picture(folder / name, expected)
