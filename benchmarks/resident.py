"""Peak memory of this process."""

import resource
from pathlib import Path

_STATUS = Path("/proc/self/status")


def peak_mib() -> float:
    """Peak resident memory of this process, in MiB.

    On Linux, ``VmHWM`` counts from the start of the program, while ``ru_maxrss`` includes what the parent process held.
    Elsewhere, use ``ru_maxrss``, taken as kilobytes.
    """
    if _STATUS.exists():
        (line,) = (line for line in _STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
