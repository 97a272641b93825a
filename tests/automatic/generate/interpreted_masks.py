"""Measure masks by the kernels, run by Triton's interpreter, and by torch; print how the rows differ as JSON.

Whether Triton interprets is decided when it is imported, hence a process of its own. Integer logits, enlarged two or
four times, are interpolated without rounding, so the two must be equal; with others, a pixel may differ.
"""

import json
import os

os.environ["TRITON_INTERPRET"] = "1"

from dataclasses import fields

import numpy as np
import torch
import torch.nn.functional as F

from maskgrid.automatic.generate import device_masks
from maskgrid.automatic.generate.device_codes import codes_of_edges
from maskgrid.automatic.generate.proposals import Crop, Proposals, measure
from maskgrid.masks.rle import code_of_turns
from maskgrid.network.predictor import Extent, interpolate
from maskgrid.plan.passes import Recording

# Logits' side, image size, crop, recording, whether logits are integers.
CASES = {
    "whole image": (8, (16, 16), (0, 0, 16, 16), Recording(0.0, 0.0, (0.0,), (1.0,)), True),
    "floor of scores": (8, (16, 16), (0, 0, 16, 16), Recording(0.5, 0.0, (0.0,), (1.0,)), True),
    "levels, offsets, floor of stability": (
        *(8, (16, 32), (0, 0, 32, 16)),
        Recording(0.0, 0.7, (0.0, 1.0, -2.0), (1.0, 2.0)),
        True,
    ),
    "crop inside": (8, (30, 35), (10, 12, 26, 28), Recording(0.0, 0.0, (0.0,), (1.0,)), True),
    "crop of full height": (8, (16, 59), (40, 0, 56, 16), Recording(0.0, 0.0, (0.0,), (1.0,)), True),
    "crop of full width": (8, (59, 16), (0, 30, 16, 46), Recording(0.0, 0.0, (0.0,), (1.0,)), True),
    "odd size": (8, (23, 19), (0, 0, 19, 23), Recording(0.0, 0.0, (0.0,), (1.0,)), False),
    "smaller than the logits": (16, (11, 9), (0, 0, 9, 11), Recording(0.0, 0.0, (0.0,), (1.0,)), False),
    "one pixel": (8, (1, 1), (0, 0, 1, 1), Recording(0.0, 0.0, (0.0,), (1.0,)), False),
    "taller than a block": (8, (150, 3), (0, 0, 3, 150), Recording(0.0, 0.0, (0.0,), (1.0,)), False),
}


def logits_of(side: int, n: int, are_integers: bool) -> torch.Tensor:
    """Smooth masks, one that covers everything, and one that is empty."""
    smooth = F.interpolate(torch.randn(1, n - 2, 4, 4) * 8, (side, side), mode="bicubic")[0]
    logits = torch.cat([smooth, torch.full((1, side, side), 5.0), torch.full((1, side, side), -9.0)])
    return logits.round() if are_integers else logits


def differing_codes(n: int) -> int:
    """How many of n codes of random edges, in images of up to 1,000 megapixels, are not pycocotools'."""
    random, n_differing = np.random.default_rng(0), 0
    for height, width in ((3, 5), (480, 640), (30000, 33000)):
        n_pixels = height * width
        masks = [np.unique(random.integers(0, n_pixels, 2 * k)) for k in random.integers(0, 6, n)]
        masks = [mask[len(mask) % 2 :] for mask in masks]
        masks[1], masks[2] = np.array([0, n_pixels]), np.array([n_pixels - 1, n_pixels])
        edges = np.concatenate([[*mask, n_pixels] for mask in masks] + [np.zeros(400)]).astype(np.int32)
        starts = np.concatenate([[0], np.cumsum([len(mask) for mask in masks])]).astype(np.int32)
        found, ends = codes_of_edges(torch.from_numpy(edges), torch.from_numpy(starts), 1)
        expected = [code_of_turns(mask, height, (0, 0), (height, width)) if len(mask) else b"" for mask in masks]
        parts = np.split(found.numpy(), ends.numpy())[:-1]
        n_differing += sum(part.tobytes() != code for part, code in zip(parts, expected, strict=True))
    return n_differing


def main() -> None:
    """Print, for each case, how many rows there are, which fields differ, and by how many pixels areas differ."""
    torch.manual_seed(0)
    report = {}
    for name, (side, image_size_hw, box, recording, are_integers) in CASES.items():
        n = 4
        proposals = Proposals(
            logits_of(side, n, are_integers), torch.rand(n), torch.rand(n, 2) * 9, torch.arange(n) + 7
        )
        crop = Crop(3, box, image_size_hw)
        reached = proposals.keep(proposals.predicted_iou > recording.pred_iou_thresh)
        whole = Extent.whole(crop.size_hw)
        theirs = measure(reached, interpolate(reached.logits, whole), whole, crop, recording)
        ours = device_masks.finish(device_masks.begin(proposals, crop, recording, 1 << 11))
        pairs = {field.name: (getattr(ours, field.name), getattr(theirs, field.name)) for field in fields(ours)}
        report[name] = {
            "n": [len(ours), len(theirs)],
            "differing": [
                key for key, (one, other) in pairs.items() if one.dtype != other.dtype or not np.array_equal(one, other)
            ],
            "px": int(abs(ours.area_px - theirs.area_px).max()) if 0 < len(ours) == len(theirs) else 0,
        }
    try:
        device_masks.finish(device_masks.begin(proposals, crop, recording, 1))
    except device_masks.TooManyRunsError as error:
        report["room"] = error.n_runs
    report["codes"] = {"n": 40, "differing": differing_codes(40)}
    print(json.dumps(report))


if __name__ == "__main__":
    main()
