"""Compare a sweep of one hundred threshold settings in maskgrid and in sam2's own generator, on the same images.

    python benchmarks/sweep.py [PHOTO ...] [--architecture demo] [--compare 3] [--repeat 3]

maskgrid runs the network once per image and replays every setting; sam2 runs once per setting. sam2 is timed on a few
settings (``--compare``), whose masks are also compared one by one; its time for all settings is extrapolated from
these. Without PHOTO, it uses the demo's photographs.
"""

import statistics
import sys

import numpy as np
from sides import SWEEP, count_differences, machine, parser, run_side


def main() -> int:
    """Print both sides and their differences; exit code 1 if exact mode has any."""
    made = parser(__doc__)
    made.add_argument("--compare", type=int, default=3, help="settings to run with sam2 as well")
    made.add_argument("--mode", default="exact", choices=["exact", "fast"])
    made.add_argument("--repeat", type=int, default=1, help="turns of each side")
    arguments = made.parse_args()
    print(machine(arguments), flush=True)
    chosen = [round(index) for index in np.linspace(0, len(SWEEP) - 1, arguments.compare)]
    turns = []
    for _ in range(arguments.repeat):
        ours = run_side(arguments.mode, arguments, SWEEP, chosen)
        turns.append((ours, run_side("sam2", arguments, [SWEEP[index] for index in chosen])))
    network_s = statistics.median(ours.network_s[0] for ours, _ in turns)
    replay_s = statistics.median(ours.replay_s for ours, _ in turns)
    per_setting = statistics.median(seconds for _, theirs in turns for seconds in theirs.network_s)
    all_s = per_setting * len(SWEEP)
    share = replay_s / network_s
    print(f"maskgrid  network {network_s:.1f} s, replay of {len(SWEEP)} settings {replay_s:.2f} s ({share:.2%})")
    print(f"sam2      {per_setting:.1f} s a setting (median of {len(turns) * len(chosen)}), {all_s:.0f} s for all")
    print(f"ratio     one setting {per_setting / network_s:.2f}x, all {all_s / (network_s + replay_s):.0f}x")
    differences = sum(count_differences(*turn) for turn in turns)
    n_masks = sum(len(part) for row in turns[0][1].masks for part in row)
    print(f"compared  {len(chosen)} settings, {n_masks} masks, {len(turns)} turns, {differences} differences")
    return int(differences > 0 and arguments.mode == "exact")


if __name__ == "__main__":
    sys.exit(main())
