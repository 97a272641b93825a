"""A headless browser that shows a page and gives its document back."""

import os
import shutil
import subprocess
import tempfile

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome")
_QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def find_browser():
    """The browser's path; the test is skipped where there is none, unless CI says that there has to be one."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        reason = f"needs a headless browser: none of {', '.join(_NAMES)} is installed"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def shown_document(page, wait_ms=10_000):
    """The document of a page (a path), after its scripts have run for so long, in the page's own time, at most."""
    browser = find_browser()
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *_QUIET, f"--user-data-dir={profile}", f"--virtual-time-budget={wait_ms}", "--dump-dom"]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=120, check=True)
    return done.stdout.decode()
