"""Snakemake as a child process: its events, its signals, its end."""

import os
import queue
import signal
import socket
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from types import FrameType
from typing import Any

import orjson

from maskgrid.io.events import SOCKET
from maskgrid.io.temporary import temporary_folder

_MOST_BYTES = 1 << 20
_LAST_LINES = 40
_LONGEST_FOLDER = 70  # the path of a socket has at most 104 bytes on macOS
_GRACE_S = 10.0
STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Listener:
    """A socket for events. A thread empties it all the time, since senders drop what does not fit."""

    def __init__(self) -> None:
        short = len(tempfile.gettempdir()) <= _LONGEST_FOLDER
        self.folder = ExitStack()
        self.path = self.folder.enter_context(temporary_folder(None if short else "/tmp")) / "events"
        self.events: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(self.path))
        threading.Thread(target=self._receive, daemon=True).start()

    def _receive(self) -> None:
        while content := self.socket.recv(_MOST_BYTES):
            self.events.put(orjson.loads(content))

    def waiting(self, timeout_s: float = 0.0) -> Iterator[dict[str, Any]]:
        """Yield the events that are there; wait for the first one at most so long."""
        try:
            yield self.events.get(timeout=timeout_s) if timeout_s else self.events.get_nowait()
            while True:
                yield self.events.get_nowait()
        except queue.Empty:
            return

    def close(self) -> None:
        """Remove the socket."""
        self.folder.close()


class Child:
    """Snakemake in a process group of its own, so that signals reach it and its jobs once, from here.

    Attributes:
        stopped_by: the first signal that asked to stop, or None.
        last_lines: the end of what Snakemake and its jobs wrote, unless they write to the terminal.
    """

    def __init__(self, command: Sequence[str], listener: Listener | None, lock: int) -> None:
        self.stopped_by: int | None = None
        self.last_lines: deque[str] = deque(maxlen=_LAST_LINES)
        environment = dict(os.environ)
        if listener is not None:
            environment[SOCKET] = str(listener.path)
        # The child ends when stdin does: if this process is killed, the system closes its end.
        self.process = subprocess.Popen(
            list(command),
            env=environment,
            stdin=subprocess.PIPE,
            stdout=None if listener is None else subprocess.PIPE,
            stderr=None if listener is None else subprocess.STDOUT,
            pass_fds=[lock],
            process_group=0,
        )
        self.reader: threading.Thread | None = None
        if listener is not None:
            self.reader = threading.Thread(target=self._read, daemon=True)
            self.reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.last_lines.append(line.decode(errors="replace").rstrip())

    @contextmanager
    def signals(self) -> Iterator[None]:
        """Hand signals on while the child runs: the first interrupts it, a second one kills it."""
        kept = {number: signal.getsignal(number) for number in (*STOPPING, signal.SIGTSTP)}
        for number, handler in kept.items():
            if handler is not signal.SIG_IGN:  # as under nohup
                signal.signal(number, self._pause if number == signal.SIGTSTP else self._stop)
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)

    def _stop(self, number: int, _frame: FrameType | None) -> None:
        self._signal(signal.SIGINT if self.stopped_by is None else signal.SIGKILL)
        self.stopped_by = self.stopped_by or number

    def _pause(self, _number: int, _frame: FrameType | None) -> None:
        """Ctrl-Z: pause the jobs too, and let them go on when this process does."""
        self._signal(signal.SIGSTOP)
        os.kill(os.getpid(), signal.SIGSTOP)
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return

    def wait(self) -> None:
        """Wait for the child's end; signals are handed on meanwhile."""
        self.process.wait()

    def exit_code(self) -> int | None:
        """Snakemake's exit code once it has ended, as a shell gives it; None while it runs."""
        code = self.process.poll()
        if code is None:
            return None
        if self.stopped_by is not None:
            self._signal(signal.SIGKILL)  # what is left of its jobs; their work is saved image by image
        if self.reader is not None:
            self.reader.join(_GRACE_S)
        return 128 - code if code < 0 else code
