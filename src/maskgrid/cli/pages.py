"""``maskgrid open``: the pages of the results in the browser."""

import os
import sys
import webbrowser
from pathlib import Path

from maskgrid.io.errors import UserError
from maskgrid.plan.layout import Layout

# With a desktop. Without one, Python would start a text browser in the terminal.
_DESKTOPS = ("DISPLAY", "WAYLAND_DISPLAY", "WSL_DISTRO_NAME", "BROWSER")


def open_page(page: str | None, results: Path) -> str:
    """Open a page and return its path.

    Args:
        page: ``report``, ``explorer`` or ``tracked``; None for the first of the report and ``tracked`` that exists.
        results: the results folder.

    Raises:
        UserError: the page does not exist.
    """
    pages = {
        "report": results / "report" / "index.html",
        "explorer": results / "report" / "explorer.html",
        "tracked": Layout(results).tracked.page,
    }
    wanted = [page] if page is not None else ["report", "tracked"]
    path = next((pages[name] for name in wanted if pages[name].is_file()), None)
    if path is None:
        raise UserError(f"there is no {pages[wanted[0]]} yet: start maskgrid run first, or name a folder by --results")
    path = path.resolve()
    if _has_desktop() and _opens(path):
        return str(path)
    return f"{path}\nThere is no browser here; open this file where there is one."


def _has_desktop() -> bool:
    return sys.platform != "linux" or any(os.environ.get(name) for name in _DESKTOPS)


def _opens(path: Path) -> bool:
    try:
        return webbrowser.open(path.as_uri())
    except webbrowser.Error:
        return False
