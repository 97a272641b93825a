"""Compare sam2's own generator with both modes of maskgrid at one setting: seconds, memory, differences.

    python benchmarks/single.py [PHOTO ...] [--architecture demo|tiny|large] [--dtype bfloat16] [--repeat 3]

The setting is sam2's default, or a looser one for the demo's model. The sides take turns, each run in its own process;
figures are medians. Exact is compared with sam2 in every field of every mask, the others by the IoU of matched masks.
``--dtype`` adds sam2 and fast at a lower precision.

The masks of random weights are discs (``synthetic_model.py``), which rounding moves. On a GPU and at a lower precision
they say nothing about agreement, so there the sides run once more with the demo's model, for the agreement alone.
"""

import statistics
import sys
import time
from typing import Any

import numpy as np
import pyarrow as pa
from sides import DEFAULT, DEMO, Cost, count_differences, machine, parser, run_side
from synthetic_model import CONFIGS

from maskgrid.masks import rle
from maskgrid.network.device import pick_device
from maskgrid.results.agreement import AGREEMENT, Agreement, match

# Sides and their precision; all others are compared with the first.
SIDES = (("sam2", "float32"), ("exact", "float32"), ("fast", "float32"))


def main() -> int:
    """Print the sides and their ratios; exit code 1 if exact differs."""
    made = parser(__doc__)
    made.add_argument("--repeat", type=int, default=3, help="most turns of each side")
    made.add_argument("--minutes", type=float, default=60.0, help="start no turn that would end later than this")
    made.add_argument("--dtype", choices=["bfloat16", "float16"], help="a lower precision to measure as well")
    arguments = made.parse_args()
    print(machine(arguments), flush=True)
    setting = DEMO if arguments.architecture == "demo" else DEFAULT
    print(", ".join(f"{name} {value}" for name, value in setting.items()), flush=True)
    lower = [("sam2", arguments.dtype), ("fast", arguments.dtype)] if arguments.dtype else []
    costs: dict[tuple[str, str], list[Cost]] = {side: [] for side in [*SIDES, *lower]}
    started = time.perf_counter()
    for turn in range(arguments.repeat):
        if turn and (time.perf_counter() - started) * (turn + 1) / turn > arguments.minutes * 60:
            break
        for (side, dtype), taken in costs.items():
            taken.append(run_side(side, arguments, [setting], dtype=dtype))
        print(
            f"turn {turn + 1}: {', '.join(f'{_name(side)} {_wall_s(costs[side][-1]):.1f} s' for side in costs)}",
            flush=True,
        )
    differences = _report(costs)
    rounds = bool(lower) or pick_device(arguments.device).type != "cpu"
    if arguments.architecture in CONFIGS and rounds:
        print("agreement, with the demo's model:")
        arguments.architecture = "demo"
        _report_agreement({side: run_side(side[0], arguments, [DEMO], dtype=side[1]) for side in costs})
    else:
        _report_agreement({side: taken[0] for side, taken in costs.items()})
    return int(differences > 0)


def _report(costs: dict[tuple[str, str], list[Cost]]) -> int:
    """Print medians and the differences of exact; return the latter."""
    sam2, exact, *_ = costs
    wall_s = {side: statistics.median(map(_wall_s, taken)) for side, taken in costs.items()}
    cpu_s = {side: statistics.median(cost.cpu_s[0] for cost in taken) for side, taken in costs.items()}
    for side, taken in costs.items():
        peak_mib = statistics.median(cost.peak_mib for cost in taken)
        ratio = f"{wall_s[sam2] / wall_s[side]:5.2f}x  CPU {cpu_s[sam2] / cpu_s[side]:5.2f}x"
        print(f"{_name(side):<14}{wall_s[side]:8.1f} s  CPU {cpu_s[side]:8.1f} s  peak {peak_mib:7.0f} MiB  {ratio}")
    print(f"medians of {len(costs[sam2])} turns, {sum(map(len, costs[sam2][0].masks[0]))} masks")
    differences = sum(map(count_differences, costs[exact], costs[sam2]))
    print(f"exact against sam2: {differences} differences")
    return differences


def _report_agreement(costs: dict[tuple[str, str], Cost]) -> None:
    """Print how well the masks of all sides but exact agree with sam2's."""
    sam2, _, *others = costs
    for side in others:
        measures = agreement(costs[sam2], costs[side]).measures()
        print(
            f"{_name(side)} against sam2: " + ", ".join(f"{name} {_number(value)}" for name, value in measures.items())
        )


def _name(side: tuple[str, str]) -> str:
    return " ".join(part for part in side if part != "float32")


def _wall_s(cost: Cost) -> float:
    return cost.network_s[0] + cost.replay_s


def agreement(first: Cost, second: Cost) -> Agreement:
    """Compare two sides at their first setting."""
    rows = []
    for number, (ours, theirs) in enumerate(zip(first.masks[0], second.masks[0], strict=True)):
        size_hw = (ours or theirs)[0]["segmentation"]["size"] if ours or theirs else (0, 0)
        pairs, ious = match(_codes(ours), _codes(theirs), size_hw)
        counts = {"n_first": len(ours), "n_second": len(theirs), "n_matched": len(pairs)}
        mean = float(ious.mean()) if len(ious) else None
        rows.append({"image_key": str(number), **counts, "n_equal": int(np.sum(ious == 1.0)), "iou_mean": mean})
    return Agreement(pa.Table.from_pylist(rows, schema=AGREEMENT))


def _codes(masks: list[dict[str, Any]]) -> list[bytes]:
    codes = [mask["segmentation"]["counts"].encode() for mask in masks]
    assert all(
        rle.area_px(code, mask["segmentation"]["size"]) == mask["area"] for code, mask in zip(codes, masks, strict=True)
    )
    return codes


def _number(value: float) -> str:
    return f"{value:.4f}" if isinstance(value, float) else str(value)


if __name__ == "__main__":
    sys.exit(main())
