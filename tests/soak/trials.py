"""Run numbered trials of a kind in a forked process, which a crash or a hang ends without ending the soak.

A trial is decided by the seed, its kind and its number alone, so that each can be repeated.
"""

import json
import mmap
import os
import random
import resource
import select
import signal
import struct
import sys
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

# Takes a trial's random numbers, and returns words to count. Any exception is a failure.
Trial = Callable[[random.Random], Iterable[str]]


class WrongError(Exception):
    """A promise is broken."""


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of trials.

    Attributes:
        name: its name on the command line.
        prepare: makes what all trials share in an empty folder, and returns the trial.
        goal: how many trials a full soak has.
        batch: after how many trials the results are written down.
        limit_s: a trial that takes longer counts as a hang.
        memory_gib: how much address space a trial may take beyond what there is before; None for no limit.
        unit: what the trials are, for people.
    """

    name: str
    prepare: Callable[[Path], Trial]
    goal: int
    batch: int
    limit_s: float
    memory_gib: float | None
    unit: str


@dataclass(frozen=True, slots=True)
class Failure:
    """A trial that broke a promise, and how."""

    trial: int
    what: str


@dataclass(slots=True)
class Outcome:
    """What trials gave: counted words, and failures."""

    results: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)


def chance_of(seed: int, kind: str, trial: int) -> random.Random:
    return random.Random(f"{seed} {kind} {trial}")


def run_trials(kind: Kind, trial: Trial, seed: int, numbers: Sequence[int]) -> Outcome:
    """Run trials, one after the other."""
    outcome, left = Outcome(), list(numbers)
    while left:
        left = left[_run_in_fork(kind, trial, seed, left, outcome) :]
    return outcome


def _run_in_fork(kind: Kind, trial: Trial, seed: int, numbers: Sequence[int], outcome: Outcome) -> int:
    """Run trials in one process until it ends; returns how many have been done."""
    shared = mmap.mmap(-1, 8)  # when the present trial began
    reading, writing = os.pipe()
    shared[:8] = struct.pack("d", time.monotonic())
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        _child(kind, trial, seed, numbers, shared, writing)
    os.close(writing)
    n_done, text, why = 0, b"", "the process ended"
    while True:
        ready, _, _ = select.select([reading], [], [], 1.0)
        if ready:
            part = os.read(reading, 1 << 16)
            if not part:
                break
            *lines, text = (text + part).split(b"\n")
            for line in lines:
                words, what = json.loads(line)
                outcome.results.update(words)
                if what is not None:
                    outcome.failures.append(Failure(numbers[n_done], what))
                n_done += 1
        elif time.monotonic() - struct.unpack("d", shared[:8])[0] > kind.limit_s:
            why = f"no answer in {kind.limit_s:g} s"
            os.killpg(pid, signal.SIGKILL)
            break
    os.close(reading)
    _, status = os.waitpid(pid, 0)
    if n_done < len(numbers):
        how = f"signal {os.WTERMSIG(status)}" if os.WIFSIGNALED(status) else f"exit code {os.WEXITSTATUS(status)}"
        outcome.failures.append(Failure(numbers[n_done], f"{why} ({how})"))
        n_done += 1
    return n_done


def _child(kind: Kind, trial: Trial, seed: int, numbers: Sequence[int], shared: mmap.mmap, writing: int) -> None:
    """Run trials and write a line about each; never returns."""
    try:
        os.setsid()
        if kind.memory_gib is not None:
            limit = _address_space() + int(kind.memory_gib * 2**30)
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        for number in numbers:
            shared[:8] = struct.pack("d", time.monotonic())
            line = json.dumps(tried(trial, chance_of(seed, kind.name, number))).encode() + b"\n"
            os.write(writing, line)
        os._exit(0)
    finally:
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


def _address_space() -> int:
    """The size of this process's address space in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def tried(trial: Trial, chance: random.Random) -> tuple[list[str], str | None]:
    """A trial's words, and its traceback if it failed."""
    try:
        return list(trial(chance)), None
    except Exception as error:  # this is what the soak looks for
        told = str(error) if isinstance(error, WrongError) else traceback.format_exc()
        return [], told[-6000:]
