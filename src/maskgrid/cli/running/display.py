"""Where ``maskgrid run`` writes: lines and live bars on a terminal, lines alone in a log."""

import sys
import time
from collections.abc import Sequence
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from maskgrid.cli.running.stages import WORDS, Stage, duration

_LOG_INTERVAL_S = 30.0


class Display(Protocol):
    """A place for lines, and for how far the running stages are."""

    def line(self, text: str) -> None:
        """Write a line that stays."""

    def show(self, stages: Sequence[Stage]) -> None:
        """Show how far the running stages are."""

    def close(self) -> None:
        """Remove what does not stay."""


def rate_text(stage: Stage) -> str:
    """``5/16 images, 1.2 images/s, 8.5 s left``, as far as it is known."""
    if not stage.counts:
        return ""
    done, total, passed = min(stage.n_done, stage.n_items), stage.n_items, stage.last_count_s - stage.first_count_s
    if stage.unit == "B":
        return f"{done / 1e6:,.0f}/{total / 1e6:,.0f} MB"
    text = f"{done:,}/{total:,} {stage.unit}"
    if not done or done == total or passed <= 0:
        return text
    rate = done / passed
    speed = f"{rate:.1f} {stage.unit}/s" if rate >= 1 else f"{1 / rate:.1f} s each"
    return f"{text}, {speed}, {duration((total - done) / rate)} left"


class Terminal:
    """Lines above, and a live bar for each running stage below."""

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, highlight=False)
        columns = (TextColumn("  {task.fields[rule]:<16}{task.description}"), BarColumn(24))
        self.progress = Progress(
            *columns, TextColumn("{task.fields[rate]}"), TimeElapsedColumn(), console=self.console, transient=True
        )
        self.tasks: dict[str, int] = {}
        self.progress.start()

    def line(self, text: str) -> None:
        """Write a line above the bars."""
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def show(self, stages: Sequence[Stage]) -> None:
        """Bring the bars up to date; a stage without a count has a bar that moves to and fro."""
        running = {stage.rule: stage for stage in stages if stage.is_running and WORDS.get(stage.rule, "") is not None}
        for rule in [rule for rule in self.tasks if rule not in running]:
            self.progress.remove_task(self._task(rule))
            del self.tasks[rule]
        for rule, stage in running.items():
            if rule not in self.tasks:
                self.tasks[rule] = self.progress.add_task(WORDS.get(rule) or "", total=None, rule=rule, rate="")
            total = stage.n_items if stage.counts else None
            done = min(stage.n_done, stage.n_items)
            self.progress.update(self._task(rule), completed=done, total=total, rate=rate_text(stage))

    def _task(self, rule: str) -> TaskID:
        return TaskID(self.tasks[rule])

    def close(self) -> None:
        """Remove the bars."""
        self.progress.stop()


class Log:
    """Lines alone: one for each running stage every 30 seconds."""

    def __init__(self) -> None:
        self.told_s: dict[str, float] = {}

    def line(self, text: str) -> None:
        """Write a line."""
        print(text, file=sys.stderr, flush=True)

    def show(self, stages: Sequence[Stage]) -> None:
        """Write how far each stage is that has run for long."""
        now_s = time.monotonic()
        for stage in (stage for stage in stages if stage.is_running):
            last_s = self.told_s.setdefault(stage.rule, stage.began_s)
            if now_s - last_s >= _LOG_INTERVAL_S and stage.n_done < stage.n_items and (text := rate_text(stage)):
                self.told_s[stage.rule] = now_s
                self.line(f"  {stage.rule:<16}{text}")

    def close(self) -> None:
        """Nothing to remove."""


def display() -> Display:
    """The one that fits where stderr goes."""
    return Terminal() if sys.stderr.isatty() else Log()
