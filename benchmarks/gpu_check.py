"""maskgrid and sam2 side by side on one GPU: bits, seconds, memory, in one run of about eight minutes.

    python benchmarks/gpu_check.py --out FOLDER [--photo FILE] [--seconds 440] [--parts exact_demo trials ...]
    python benchmarks/gpu_check.py --out FOLDER --device cpu --stand-in     # each part on a CPU, with the demo's model

The parts (``gpu/parts.py``) run in the order of their worth, in a process that this one watches. A part that fails is
noted and the next one runs; a part that takes longer than its budget is ended. Each result is appended to
``results.jsonl`` as it comes, so a run that is cut off loses nothing. ``log.txt`` has tracebacks and warnings,
``profiles.txt`` the profiler's tables. docs/gpu.md says how to run it on a machine without a network.

"large" and "tiny" have the official architectures, random weights, and discs for masks (``synthetic_model.py``). A
disc's place follows from the logits times 2000, so rounding moves it. These models show whether bits are equal, and
what the work costs. How well masks agree is measured with the demo's model only.
"""

import argparse
import sys
import warnings
from pathlib import Path

from gpu.parts import PARTS
from gpu.results import print_summary
from gpu.watch import watch_all


def main() -> int:
    """Watch the parts, or be the process that runs them."""
    arguments = parse()
    if arguments.worker:
        from gpu.worker import Worker  # here, so that the watcher does not wait for torch

        warnings.filterwarnings("ignore", message=".*torch.jit.*")
        return Worker(arguments).run()
    arguments.out.mkdir(parents=True, exist_ok=True)
    watch_all(arguments, [sys.executable, "-u", __file__, *sys.argv[1:]])
    print_summary(arguments.out)
    return 0


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="the folder for the results")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--photo", type=Path, help="a photograph, best of 1200 x 1800 pixels (default: scikit-image's)")
    parser.add_argument("--seconds", type=float, default=440.0, help="end after this time, whatever is left")
    parser.add_argument("--parts", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="PART")
    parser.add_argument("--trials", nargs="+", metavar="TRIAL", help="of the part trials, run only these")
    parser.add_argument("--stand-in", action="store_true", help="the demo's model, few points, small images")
    parser.add_argument("--stand-in-architecture", default="demo", help="the model in place of large and tiny")
    parser.add_argument("--repeat", type=int, default=3, help="turns of what is timed")
    parser.add_argument("--worker", type=Path, help=argparse.SUPPRESS)  # the file that tells the watcher what runs
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
