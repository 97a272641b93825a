"""Control a headless Chromium through pipes: window sizes, dark mode, keys, scripts, screenshots.

This needs only Chromium itself: its DevTools protocol is JSON, with a zero byte after every message.
"""

import base64
import itertools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

NAMES = ("chromium", "chromium-browser", "google-chrome")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--hide-scrollbars",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-pipe",
)
_IS_LOADED = """new Promise((done) => {
  if (document.readyState === "complete") done();
  else addEventListener("load", () => done());
})"""


@dataclass(slots=True)
class Tab:
    """A page of the browser.

    Attributes:
        commands: file descriptor to write commands to.
        replies: file descriptor to read replies from.
    """

    commands: int
    replies: int
    _ids: Iterator[int] = field(default_factory=lambda: itertools.count(1))
    _session: str | None = None
    _buffer: bytearray = field(default_factory=bytearray)

    def attach(self) -> None:
        """Open an empty page and send all later commands to it."""
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self.send("Page.enable")

    def send(self, method: str, **parameters: object) -> dict[str, Any]:
        """Send a command of the protocol and wait for its result."""
        number = next(self._ids)
        message: dict[str, Any] = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self.commands, orjson.dumps(message) + b"\0")
        reply = self._wait(lambda told: told.get("id") == number)
        if "error" in reply:
            raise RuntimeError(f"{method}: {reply['error']['message']}")
        result: dict[str, Any] = reply["result"]
        return result

    def _wait(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        while True:
            while (end := self._buffer.find(0)) < 0:
                part = os.read(self.replies, 1 << 20)
                if not part:
                    raise RuntimeError("the browser has closed the connection")
                self._buffer += part
            told: dict[str, Any] = orjson.loads(bytes(self._buffer[:end]))
            del self._buffer[: end + 1]
            if is_it(told):
                return told

    def show(self, page: Path, width: int, height: int, is_dark: bool = False, address: str = "") -> None:
        """Open a page in a window of this size in CSS pixels and wait until it has loaded; ``address`` goes after #."""
        self.send(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.send("Emulation.setEmulatedMedia", features=[scheme])
        self.send("Page.navigate", url=page.resolve().as_uri() + (f"#{address}" if address else ""))
        self._wait(lambda told: told.get("method") == "Page.loadEventFired")
        self.run(_IS_LOADED)  # that event may have been of the page before

    def run(self, script: str) -> Any:  # noqa: ANN401
        """Evaluate a JavaScript expression and return its value; wait if it is a promise."""
        done = self.send("Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in done:
            raise RuntimeError(str(done["exceptionDetails"].get("exception", {}).get("description")))
        return done["result"].get("value")

    def picture(self, y: float = 0, height: float | None = None) -> bytes:
        """Take a PNG of the window, or of a strip of the page from ``y`` on with this height, in CSS pixels."""
        clip: dict[str, Any] = {}
        if height is not None:
            width = self.run("innerWidth")
            area = {"x": 0, "y": y, "width": width, "height": height, "scale": 1}
            clip = {"clip": area, "captureBeyondViewport": True}
        return base64.b64decode(self.send("Page.captureScreenshot", format="png", **clip)["data"])


def find() -> str | None:
    """Find a browser on this machine; None if there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


@contextmanager
def tab() -> Iterator[Tab]:
    """Start a browser for the duration of the context; exit with a message if none is installed."""
    path = find()
    if path is None:
        sys.exit(f"This needs a browser: none of {', '.join(NAMES)} is installed (apt-get install chromium).")
    commands_in, commands = os.pipe()
    replies, replies_out = os.pipe()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as profile:  # Chromium still writes as it exits
        # The browser reads commands from descriptor 3 and writes replies to 4.
        line = f'exec "$@" 3<&{commands_in} 4>&{replies_out}'
        browser = subprocess.Popen(
            ["bash", "-c", line, "bash", path, *_FLAGS, f"--user-data-dir={profile}"],
            pass_fds=(commands_in, replies_out),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(commands_in)
        os.close(replies_out)
        page = Tab(commands, replies)
        try:
            page.attach()
            yield page
        finally:
            os.close(commands)
            browser.terminate()
            browser.wait()
            os.close(replies)
