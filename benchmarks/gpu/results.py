"""Write results, one JSON object a line, and print what a person wants to see first."""

import json
import os
from pathlib import Path

from gpu.parts import PARTS

# What the summary shows of a result, in this order.
_SHOWN = (
    *("way", "architecture", "dtype", "trial", "stage", "size_hw", "points", "objects", "tf32", "mode", "side"),
    *("against", "beside", "room_mib", "ms", "host_ms", "s", "first_s", "ratio", "peak_mib", "differences", "n_theirs"),
    *("f1", "shorter_is_equal", "bits_of", "equal", "of", "masks_that_differ", "masks", "frames_per_s", "network_s"),
    *("replay_s", "n_syncs", "device_busy_ms", "wall_ms", "gpu", "matrix", "tflops", "copy_gb_s", "launch_us"),
    *("sync_us", "raised", "check", "result", "turn", "error"),
)
_MOST_CHARACTERS = 230


def note(out: Path, **values: object) -> None:
    """Append a line to the results; it is on the disk when this returns."""
    with (out / "results.jsonl").open("a") as stream:
        stream.write(json.dumps(values, default=str) + "\n")
        stream.flush()
        os.fsync(stream.fileno())


def print_summary(out: Path) -> None:
    """Print a line per result, then the failures; ``results.jsonl`` has everything."""
    file = out / "results.jsonl"
    lines = [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []
    # What matters most comes last: often only the end of a long output is seen.
    places = {part: place for place, part in enumerate(PARTS)}
    for line in sorted(lines, key=lambda line: -places.get(line["part"], 0)):
        words = [f"{name} {_short(line[name])}" for name in _SHOWN if line.get(name) is not None]
        if words:
            print(f"{line['part']}: {', '.join(words)}"[:_MOST_CHARACTERS])
    failed = [line for line in lines if "error" in line]
    print(f"{len(lines)} results, {len(failed)} failures")
    for line in failed:
        print(f"  {line['part']}: {line['error'][:150]}")


def _short(value: object) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)[:70]
