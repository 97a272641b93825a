"""``maskgrid open``: the pages of the results in the browser."""

import os
import shlex
import sys
import webbrowser
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from maskgrid.config.files import config_in, load_config, resolved
from maskgrid.io.errors import UserError
from maskgrid.io.wording import some
from maskgrid.plan.layout import Layout

# With a desktop. Without one, Python would start a text browser in the terminal.
_DESKTOPS = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER")


def open_page(page: str | None, results: Path) -> str:
    """Open a page and return its path; say on stderr if the config beside the results has changed since.

    Args:
        page: ``report``, ``explorer``, ``tracked`` or ``player``; None for the first of the report and ``tracked``
            that exists.
        results: the results folder.

    Raises:
        UserError: the page does not exist.
    """
    pages = {
        "report": results / "report" / "index.html",
        "explorer": results / "report" / "explorer.html",
        "tracked": Layout(results).tracked.page,
        "player": Layout(results).tracked.player,
    }
    wanted = [page] if page is not None else ["report", "tracked"]
    path = next((pages[name] for name in wanted if pages[name].is_file()), None)
    if path is None:
        raise UserError(f"there is no {pages[wanted[0]]} yet: start maskgrid run first, or name a folder by --results")
    if (changed := changed_config_line(results)) is not None:
        print(f"maskgrid: {changed}", file=sys.stderr)
    path = path.resolve()
    if _has_desktop() and _opens(path):
        return str(path)
    return f"{path}\nThere is no browser here; open this file where there is one."


def changed_config_line(results: Path) -> str | None:
    """Say which keys of the config beside a results folder are not as in its last run; None if all are.

    Also None without one of the two, or if one cannot be read: the page can be looked at all the same.
    """
    try:
        there, of_run = config_in(results.parent), Layout(results).config
        if there is None or not of_run.is_file():
            return None
        now, then = (resolved(load_config(path)).model_dump(mode="json") for path in (there, of_run))
    except UserError:
        return None
    if not (keys := list(_differing(now, then))):
        return None
    run = "maskgrid run" if results.name == "results" else shlex.join(["maskgrid", "run", "--results", str(results)])
    return f"{there} differs from the config of these results in {some(keys)}; {run} makes them as it says now"


def _differing(one: Any, other: Any, key: str = "") -> Iterator[str]:  # noqa: ANN401
    """The keys whose values differ, as people write them on the command line."""
    if isinstance(one, dict) and isinstance(other, dict):
        for name in dict.fromkeys([*one, *other]):
            yield from _differing(one.get(name), other.get(name), f"{key}.{name}" if key else name)
    elif one != other:
        yield key


def _has_desktop() -> bool:
    return sys.platform != "linux" or any(os.environ.get(name) for name in _DESKTOPS)


def _opens(path: Path) -> bool:
    try:
        return webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
