r"""The soak: all that the README promises, tried at random for as long as there is time.

    python tests/soak --kind images --trials 1000     a part; without --kind, a part of each
    python tests/soak --minutes 60                    all kinds in turn, for an hour
    python tests/soak --summary                       what has been run of the seed

It goes on where it stopped: build/soak/SEED.jsonl has what has been run. Exit code 1 if any trial of the seed failed.
"""

import argparse
import os
import shutil
import sys
import tempfile
import time
import traceback
from importlib import import_module
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
ROOT = Path(__file__).parents[2]
# This file's own folder has modules named like others: images, tables.
sys.path[:1] = [str(ROOT / "src"), *(str(ROOT / "tests" / name) for name in ("", "tracked", "system"))]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "src"), os.environ.get("PYTHONPATH")]))

from soak.record import Record  # noqa: E402
from soak.trials import Kind, chance_of, run_trials  # noqa: E402

KINDS = ("images", "configs", "tables", "videos", "kills", "workflows", "edits")
PART = {"images": 1000, "configs": 500, "tables": 1000, "videos": 50, "kills": 50, "workflows": 3, "edits": 2}


def main() -> int:
    """Run a part of a soak; return 1 if any trial of the seed failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kind", choices=KINDS, action="append", help="one kind; repeat it for several (default: all)")
    parser.add_argument("--trials", type=int, help="how many more of each kind (default: a small part in turn)")
    parser.add_argument("--minutes", type=float, help="begin no further batch after this time")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--state", type=Path, default=ROOT / "build" / "soak", help="default: build/soak")
    parser.add_argument("--trial", type=int, help="repeat one trial of one kind, and write nothing down")
    parser.add_argument("--again", action="store_true", help="repeat the trials that failed")
    parser.add_argument("--summary", action="store_true", help="only say what has been run")
    given = parser.parse_args()
    kinds, record = given.kind or list(KINDS), Record(given.state, given.seed)
    if given.trial is not None:
        return repeat(kinds[0], given.seed, given.trial)
    if given.again:
        again(kinds, record)
    elif not given.summary:
        run(kinds, record, given.trials, given.minutes)
    for kind in kinds:
        if record.batches(kind):
            print(record.summary(kind), flush=True)
    return int(any(record.failed(kind) for kind in kinds))


def run(kinds: list[str], record: Record, trials: int | None, minutes: float | None) -> None:
    """Run so many trials of each kind; without a number, some of each in turn until the time is up or all are done."""
    deadline = time.monotonic() + 60 * (minutes if minutes is not None else 1e9)
    goals = {name: record.done(name) + trials if trials is not None else kind_of(name).goal for name in kinds}
    while time.monotonic() < deadline and any(record.done(name) < goals[name] for name in kinds):
        for name in kinds:
            kind, stop = kind_of(name), goals[name] if trials is not None else record.done(name) + PART[name]
            with scratch() as folder:
                trial = None
                while (done := record.done(name)) < min(stop, goals[name]) and time.monotonic() < deadline:
                    trial = trial or kind.prepare(folder)
                    numbers = range(done, min(done + kind.batch, stop, goals[name]))
                    start = time.monotonic()
                    outcome = run_trials(kind, trial, record.seed, numbers)
                    record.add(name, numbers, outcome, time.monotonic() - start)
                    tell(name, numbers, outcome.failures, time.monotonic() - start)


def tell(name: str, numbers: range, failures, seconds: float) -> None:
    print(f"{name}: {numbers.start} to {numbers.stop}, {len(failures)} failed, {seconds:.0f} s", flush=True)
    for failure in failures[:3]:
        print(f"{name} {failure.trial}: {failure.what}", flush=True)


def again(kinds: list[str], record: Record) -> None:
    for name in kinds:
        if numbers := [failure.trial for failure in record.failed(name)]:
            kind = kind_of(name)
            with scratch() as folder:
                start = time.monotonic()
                outcome = run_trials(kind, kind.prepare(folder), record.seed, numbers)
            record.add(name, numbers, outcome, time.monotonic() - start, again=True)


def repeat(name: str, seed: int, number: int) -> int:
    kind = kind_of(name)
    with scratch() as folder:
        trial = kind.prepare(folder)
        try:
            print(", ".join(trial(chance_of(seed, name, number))))
        except Exception:
            traceback.print_exc()
            return 1
    return 0


def kind_of(name: str) -> Kind:
    kind: Kind = import_module(f"soak.{name}").KIND
    return kind


class scratch:
    """A folder in memory if possible: a killed process loses nothing that it has written."""

    def __enter__(self) -> Path:
        memory = Path("/dev/shm")
        self.path = Path(tempfile.mkdtemp(prefix="soak", dir=memory if memory.is_dir() else None))
        return self.path

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
