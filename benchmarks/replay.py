"""The replay of one hundred settings against the run of the network that they are answered from.

    python benchmarks/replay.py [PHOTO ...] [--architecture tiny] [--mode exact]

Without photographs named, the first of the demo's is taken (``--photos`` for more of them).
"""

import sys

from sides import SWEEP, machine, parser, run_side


def main() -> int:
    """Print seconds of both, and their ratio."""
    made = parser(__doc__, "tiny")
    made.set_defaults(photos=1)
    made.add_argument("--mode", default="exact", choices=["exact", "fast"])
    arguments = made.parse_args()
    print(machine(arguments), flush=True)
    cost = run_side(arguments.mode, arguments, SWEEP, [])
    network_s, replay_s = cost.network_s[0], cost.replay_s
    n_images = len(arguments.files) or arguments.photos
    rate = len(SWEEP) * n_images / replay_s
    print(f"network   {network_s:.1f} s, {n_images} images, {cost.n_candidates} candidates")
    print(f"replay    {replay_s:.3f} s for {len(SWEEP)} settings, {rate:.0f} settings of an image a second")
    print(f"ratio     {replay_s / network_s:.2%} of the network")
    return 0


if __name__ == "__main__":
    sys.exit(main())
