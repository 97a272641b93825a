"""The process that watches: ends a part that takes too long, and goes on with the next one in a new process."""

import argparse
import os
import signal
import subprocess
import tempfile
import time
from pathlib import Path

from gpu.parts import PARTS
from gpu.results import note

# Exit code of a worker whose device no longer answers; it has noted that itself.
DEAD = 3
# For a worker's start, before its first part.
_START_S = 90.0
# A CPU is slower, even with the demo's model.
_STAND_IN_SLOWER = 6.0


def watch_all(arguments: argparse.Namespace, command: list[str]) -> None:
    """Run all parts, as many as the time allows.

    Args:
        arguments: of the command line.
        command: starts a worker, with ``--worker FILE --parts PART ...`` after it.
    """
    ends = time.monotonic() + arguments.seconds
    left = list(arguments.parts)
    while left and time.monotonic() < ends - 5:
        left = _watch(arguments, command, left, ends)
    for part in left:
        note(arguments.out, part=part, error="not begun: the time was over")


def _watch(arguments: argparse.Namespace, command: list[str], parts: list[str], ends: float) -> list[str]:
    """Start a worker for parts; return those that are left when it ended or had to be ended."""
    with tempfile.TemporaryDirectory() as folder, (arguments.out / "log.txt").open("ab") as log:
        status = Path(folder) / "status"
        # A session of its own: torch's compiler starts processes, which must end with it.
        worker = subprocess.Popen(
            [*command, "--worker", str(status), "--parts", *parts],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        part, why = _wait(worker, status, arguments.stand_in, ends)
    if why is not None:
        note(arguments.out, part=part or parts[0], error=f"ended: {why}")
    elif worker.returncode == 0:
        return []
    elif worker.returncode != DEAD:
        note(arguments.out, part=part or parts[0], error=f"the process ended with {worker.returncode}")
    # The part that was running is not tried again.
    return parts[parts.index(part) + 1 :] if part else parts[1:]


def _wait(
    worker: "subprocess.Popen[bytes]", status: Path, stand_in: bool, ends: float
) -> tuple[str | None, str | None]:
    """Wait for a worker; return the last part that it ran, and why it had to be ended, if so."""
    part, began, allowed = None, time.monotonic(), _START_S
    while worker.poll() is None:
        time.sleep(0.2)
        running = status.read_text() if status.exists() else ""
        if running and running != part:
            part, began = running, time.monotonic()
            allowed = PARTS[part].seconds * (_STAND_IN_SLOWER if stand_in else 1.0)
            print(f"{part} ...", flush=True)
        now = time.monotonic()
        if now > ends or now - began > allowed:
            os.killpg(worker.pid, signal.SIGKILL)
            worker.wait()
            return part, "the time was over" if now > ends else f"took longer than {allowed:.0f} s"
    return part, None
