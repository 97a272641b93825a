"""Control a headless Firefox by its own protocol, Marionette: JSON with its length, over the loopback interface.

Nothing but Firefox itself is needed, as with scripts/chromium.py.
"""

import itertools
import json
import os
import shutil
import socket
import subprocess
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

_NAMES = ("firefox-esr", "firefox")
# A port that is free, which Firefox writes into a file of its profile; and nothing from the network.
_PREFERENCES = {
    "marionette.port": 0,
    "app.update.enabled": False,
    "browser.shell.checkDefaultBrowser": False,
    "datareporting.policy.dataSubmissionEnabled": False,
    "network.captive-portal-service.enabled": False,
    "network.connectivity-service.enabled": False,
    "services.settings.server": "",
}
_START_S = 120
# A script of the page's own, so that it sees the page's constants, and the page's policy holds.
_ASK = """
const done = arguments[arguments.length - 1], tag = document.createElement("script");
addEventListener("answered", (event) => done(event.detail), { once: true });
tag.textContent = `(async () => {
  let said;
  try { said = { value: await (${arguments[0]}) }; } catch (error) { said = { error: String(error) }; }
  dispatchEvent(new CustomEvent("answered", { detail: JSON.stringify(said) }));
})()`;
document.documentElement.append(tag);
tag.remove();
"""


class Tab:
    """The browser's only page; ``run`` is as in scripts/chromium.py."""

    def __init__(self, connection):
        self._connection, self._buffer, self._ids = connection, b"", itertools.count(1)
        self._read()  # a greeting
        self.send("WebDriver:NewSession")
        self.send("WebDriver:SetTimeouts", script=60_000, pageLoad=60_000)

    def send(self, command, **parameters):
        """Send a command and wait for its result."""
        content = json.dumps([0, next(self._ids), command, parameters]).encode()
        self._connection.sendall(b"%d:%s" % (len(content), content))
        _, _, error, result = self._read()
        if error:
            raise RuntimeError(f"{command}: {error['error']}: {error['message']}")
        return result

    def _read(self):
        while b":" not in self._buffer:
            self._receive()
        length, _, self._buffer = self._buffer.partition(b":")
        while len(self._buffer) < int(length):
            self._receive()
        content, self._buffer = self._buffer[: int(length)], self._buffer[int(length) :]
        return json.loads(content)

    def _receive(self):
        part = self._connection.recv(1 << 20)
        if not part:
            raise RuntimeError("Firefox has closed the connection")
        self._buffer += part

    def show(self, page, address=""):
        """Open a page and wait until it has loaded."""
        self.send("WebDriver:Navigate", url="about:blank")  # another address alone would not load the page again
        self.send("WebDriver:Navigate", url=page.resolve().as_uri() + (f"#{address}" if address else ""))

    def show_narrow(self, page, width, folder):
        """Open a page in a frame of this width: Firefox makes no window as narrow as a phone's."""
        frame = folder / f"frame-{width}.html"
        frame.write_text(f'<iframe width={width} height=844 style="border:0" src="{page.resolve().as_uri()}"></iframe>')
        self.show(frame)
        self.send("WebDriver:SwitchToFrame", id=0)

    def add_script(self, script):
        """Run a script of any length in the page."""
        add = "const tag = document.createElement('script'); tag.textContent = arguments[0]; document.head.append(tag);"
        self.send("WebDriver:ExecuteScript", script=add, args=[script])

    def run(self, script):
        """Evaluate a JavaScript expression in the page; wait if it is a promise."""
        said = json.loads(self.send("WebDriver:ExecuteAsyncScript", script=_ASK, args=[script])["value"])
        if "error" in said:
            raise RuntimeError(said["error"])
        return said.get("value")


def find_firefox():
    """Return the browser's path; skip the test if there is none."""
    path = next(filter(None, map(shutil.which, _NAMES)), None)
    return path or pytest.skip(f"needs Firefox: none of {', '.join(_NAMES)} is installed")


@contextmanager
def firefox():
    """Start a browser for the duration of the context."""
    path = find_firefox()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        lines = [f"user_pref({json.dumps(name)}, {json.dumps(value)});" for name, value in _PREFERENCES.items()]
        Path(folder, "user.js").write_text("\n".join(lines))
        command = [path, "--headless", "--no-remote", "--marionette", "--profile", folder, "about:blank"]
        size = {"MOZ_HEADLESS_WIDTH": "1400", "MOZ_HEADLESS_HEIGHT": "900"}
        environment = {**os.environ, "HOME": folder, **size}
        browser = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)
        try:
            with closing(socket.create_connection(("127.0.0.1", _port(Path(folder), browser)), 120)) as connection:
                yield Tab(connection)
        finally:
            browser.terminate()
            browser.wait()


def _port(folder, browser):
    path = folder / "MarionetteActivePort"
    end = time.monotonic() + _START_S
    while not (path.is_file() and path.read_text()):
        if browser.poll() is not None or time.monotonic() > end:
            raise RuntimeError("Firefox did not start")
        time.sleep(0.05)
    return int(path.read_text())
