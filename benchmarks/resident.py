"""The most memory that this process has held."""

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Resident memory of this process at its largest, in MiB.

    Linux counts it in ``VmHWM`` from the start of the program; ``ru_maxrss`` begins with what the process held that
    started it. Elsewhere the latter, as kilobytes.
    """
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
