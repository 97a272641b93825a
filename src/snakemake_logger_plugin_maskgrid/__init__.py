"""A logger plugin for Snakemake that hands its events to ``maskgrid run``.

Snakemake finds it by the package's name. ``maskgrid run`` starts ``snakemake --logger maskgrid``; this replaces
Snakemake's own output on the terminal, while ``.snakemake/log`` keeps it.
"""

import os
import signal
import sys
import threading
from logging import ERROR, LogRecord
from typing import Any

from snakemake_interface_logger_plugins.base import LogHandlerBase
from snakemake_interface_logger_plugins.common import LogEvent

from maskgrid.io.events import listened, send

_JOB_FIELDS = ("jobid", "rule_name", "wildcards", "log")


class LogHandler(LogHandlerBase):
    """Sends what a person wants to know as events (:mod:`maskgrid.io.events`), and drops the rest."""

    def __post_init__(self) -> None:
        if listened():
            threading.Thread(target=_end_with_parent, daemon=True).start()

    def emit(self, record: LogRecord) -> None:
        """Send an event, if the record is one of interest."""
        event = _event(record)
        if event is not None:
            send(event, wait=True)

    @property
    def writes_to_stream(self) -> bool:
        """True, so that Snakemake adds no handler of its own for the terminal."""
        return True

    @property
    def writes_to_file(self) -> bool:
        """False: Snakemake keeps its own log file."""
        return False

    @property
    def has_filter(self) -> bool:
        """True: no options of Snakemake's hide events."""
        return True

    @property
    def has_formatter(self) -> bool:
        """True: events are no text."""
        return True

    @property
    def needs_rulegraph(self) -> bool:
        """False."""
        return False


def _event(record: LogRecord) -> dict[str, Any] | None:
    kind = getattr(record, "event", None)
    if kind in (LogEvent.JOB_INFO, LogEvent.JOB_ERROR):
        name = "job" if kind == LogEvent.JOB_INFO else "job_error"
        return {"event": name, **{field: _plain(getattr(record, field, None)) for field in _JOB_FIELDS}}
    if kind == LogEvent.JOB_FINISHED:
        return {"event": "job_finished", "jobid": getattr(record, "job_id", None)}
    if kind == LogEvent.RUN_INFO:
        return {"event": "jobs", "stats": _plain(getattr(record, "stats", {}))}
    if record.levelno >= ERROR or kind == LogEvent.ERROR:
        return {"event": "error", "exception": getattr(record, "exception", ""), "text": record.getMessage()}
    return None


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Snakemake's lists and mappings as plain ones."""
    if hasattr(value, "items"):
        return {str(key): item if isinstance(item, int) else str(item) for key, item in value.items()}
    return [str(item) for item in value] if isinstance(value, list | tuple) else value


def _end_with_parent() -> None:
    """Interrupt Snakemake and its jobs once ``maskgrid run`` is gone, which holds the other end of stdin."""
    while sys.stdin is not None and os.read(sys.stdin.fileno(), 1):
        continue
    os.killpg(os.getpgrp(), signal.SIGINT)
