"""Compare the replay of one hundred settings with the network run that it replays.

    python benchmarks/replay.py [PHOTO ...] [--architecture tiny] [--mode exact] [--repeat 3]

Without PHOTO, it uses the first of the demo's photographs (``--photos`` for more). Figures are medians over turns.
"""

import statistics
import sys

from sides import SWEEP, machine, parser, run_side


def main() -> int:
    """Print seconds of both and their ratio."""
    made = parser(__doc__, "tiny")
    made.set_defaults(photos=1)
    made.add_argument("--mode", default="exact", choices=["exact", "fast"])
    made.add_argument("--repeat", type=int, default=1, help="turns")
    arguments = made.parse_args()
    print(machine(arguments), flush=True)
    costs = [run_side(arguments.mode, arguments, SWEEP, []) for _ in range(arguments.repeat)]
    network_s = statistics.median(cost.network_s[0] for cost in costs)
    replay_s = statistics.median(cost.replay_s for cost in costs)
    n_images = len(arguments.files) or arguments.photos
    rate = len(SWEEP) * n_images / replay_s
    print(f"network   {network_s:.1f} s, {n_images} images, {costs[0].n_candidates} candidates")
    print(f"replay    {replay_s:.3f} s for {len(SWEEP)} settings, {rate:.0f} settings of an image a second")
    print(f"ratio     {replay_s / network_s:.2%} of the network, medians of {len(costs)} turns")
    return 0


if __name__ == "__main__":
    sys.exit(main())
