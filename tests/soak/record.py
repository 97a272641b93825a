"""What has been run of a seed: a file of JSON lines, one for each batch, so that a soak goes on where it stopped."""

import json
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from soak.trials import Failure, Outcome

ROOT = Path(__file__).parents[2]
Batch = dict[str, Any]


def commit() -> str:
    """The commit, with ``+`` if files differ from it."""

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=ROOT, text=True, capture_output=True, check=False).stdout.strip()

    return git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--porcelain") else "")


class Record:
    """The batches of a seed."""

    def __init__(self, folder: Path, seed: int) -> None:
        self.path, self.seed = folder / f"{seed}.jsonl", seed

    def batches(self, kind: str) -> list[Batch]:
        """The batches of a kind; a line that was cut by a kill is left out."""
        return [batch for batch in self._lines() if batch["kind"] == kind]

    def _lines(self) -> Iterator[Batch]:
        for line in self.path.read_text().splitlines() if self.path.is_file() else []:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                continue

    def done(self, kind: str) -> int:
        """How many trials have been run: all below this number."""
        return max((batch["stop"] for batch in self.batches(kind)), default=0)

    def failed(self, kind: str) -> list[Failure]:
        """The trials that failed when they were run last."""
        found: dict[int, Failure] = {}
        for batch in self.batches(kind):
            for trial in batch.get("again", ()):
                found.pop(trial, None)
            found |= {failure["trial"]: Failure(**failure) for failure in batch["failures"]}
        return [found[trial] for trial in sorted(found)]

    def add(self, kind: str, numbers: Sequence[int], outcome: Outcome, seconds: float, again: bool = False) -> None:
        """Write down a batch: trials with consecutive numbers, or failed ones that were repeated."""
        place = {"again": list(numbers), "stop": 0} if again else {"first": numbers[0], "stop": numbers[-1] + 1}
        batch = {
            "kind": kind,
            **place,
            "seconds": round(seconds, 1),
            "commit": commit(),
            "results": {} if again else dict(outcome.results),
            "failures": [asdict(failure) for failure in outcome.failures],
        }
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a") as stream:
            is_cut = stream.tell() and not self.path.read_bytes().endswith(b"\n")
            stream.write(("\n" if is_cut else "") + json.dumps(batch) + "\n")

    def summary(self, kind: str) -> str:
        """A line on what has been run of a kind, and a line on each failure."""
        batches, failed = self.batches(kind), self.failed(kind)
        results: Counter[str] = Counter()
        for batch in batches:
            results.update(batch["results"])
        commits = dict.fromkeys(batch["commit"] for batch in batches)
        counted = ", ".join(f"{count:,} {word}" for word, count in results.most_common())
        head = f"{kind}: {self.done(kind):,} in {sum(batch['seconds'] for batch in batches):,.0f} s: {counted}"
        ends: dict[str, list[int]] = {}
        for one in failed:
            ends.setdefault(one.what.strip().splitlines()[-1][:300], []).append(one.trial)
        lines = [
            f"  failed: trials {', '.join(map(str, trials[:5]))} ({len(trials)}): {end}" for end, trials in ends.items()
        ]
        return "\n".join([f"{head}; {len(failed)} failed; commits {', '.join(commits)}", *lines])
