"""Compare a sweep of mask suppression over many candidates with the network run that it filters.

    python benchmarks/filters.py [--architecture tiny] [--points-per-side 32] [--masks 1500]

The network runs once over a photograph, all its masks recorded. The masks of highest predicted IoU are then filtered at
one hundred pairs of ``mask_nms_thresh`` and ``max_containment_frac``, their overlaps included: after sam2's default
``box_nms_thresh``, and, as the worst case, all of them. Both in one process.
"""

import dataclasses
import itertools
import sys
import time

import numpy as np
import torch
from sides import machine, parser
from skimage.data import coffee
from synthetic_model import make_model

import maskgrid
from maskgrid.automatic.replay.filters import Replay
from maskgrid.config.filters import FilterConfig

FILTERS = [
    FilterConfig(mask_nms_thresh=iou / 100, max_containment_frac=share / 100)
    for iou, share in itertools.product(range(30, 80, 5), range(50, 100, 5))
]


def main() -> int:
    """Print seconds of both and their ratio."""
    made = parser(__doc__, "tiny")
    made.add_argument("--masks", type=int, default=1500, help="candidates to filter")
    arguments = made.parse_args()
    print(machine(arguments), flush=True)
    torch.set_num_threads(arguments.threads)
    open_ = {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0, "box_nms_thresh": 1.0}
    model = make_model(arguments.architecture, arguments.device)
    generator = maskgrid.MaskGenerator(model, points_per_side=arguments.points_per_side, **open_)
    image = np.ascontiguousarray(np.tile(coffee(), (3, 3, 1))[:1200, :1800])
    start = time.perf_counter()
    (candidates,) = generator.candidates(image)
    network_s = time.perf_counter() - start
    best = np.sort(np.argsort(-candidates.rows.predicted_iou, kind="stable")[: arguments.masks])
    rows = candidates.rows.take(best)
    print(f"network   {network_s:.1f} s", flush=True)
    for box_nms_thresh in (0.7, 1.0):
        parameters = generator.parameters.model_copy(update={"box_nms_thresh": box_nms_thresh})
        replay = Replay({candidates.pass_.name: dataclasses.replace(candidates, rows=rows)})
        before = len(replay.select(parameters))
        start = time.perf_counter()
        kept = [len(replay.select(parameters, filters)) for filters in FILTERS]
        filters_s = time.perf_counter() - start
        print(
            f"filters   {filters_s:.3f} s, {filters_s / network_s:.2%} of the network, for {len(FILTERS)} settings of "
            f"{len(rows)} candidates at box_nms_thresh {box_nms_thresh}: {min(kept)} to {max(kept)} of {before} kept"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
