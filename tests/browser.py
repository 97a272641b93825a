"""Show a page in a headless browser and return its document."""

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
    """Return the browser's path; skip the test if there is none, but fail in CI."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    if path is None:
        reason = f"needs a headless browser: none of {', '.join(_NAMES)} is installed"
        if os.environ.get("CI", "").lower() == "true":
            pytest.fail(reason)
        pytest.skip(reason)
    return path


def shown_document(page, wait_ms=10_000):
    """Return a page's document after its scripts ran, for at most this long in the page's own time."""
    browser = find_browser()
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, *_QUIET, f"--user-data-dir={profile}", f"--virtual-time-budget={wait_ms}", "--dump-dom"]
        done = subprocess.run([*command, page.as_uri()], capture_output=True, timeout=120, check=True)
    return done.stdout.decode()
