"""Remake tests/tracked/official_figures.json: what davis2017-evaluation and TrackEval say of the made masklets.

    git clone https://github.com/davisvideochallenge/davis2017-evaluation
    git clone https://github.com/JonathonLuiten/TrackEval
    python scripts/official_figures.py davis2017-evaluation TrackEval

Neither tool is installed with maskgrid, and none of their code is part of it.
"""

import json
import sys
from pathlib import Path

import numpy as np
from pycocotools import mask as coco_mask

ROOT = Path(__file__).parents[1]
# TrackEval's main branch uses names that NumPy 1.24 removed.
for name, kind in (("float", float), ("int", int)):
    setattr(np, name, kind)


def main() -> None:
    """Write the figures of all cases, and of all together."""
    sys.path[:0] = [str(ROOT / "tests/tracked"), *sys.argv[1:3]]
    from made_masklets import cases
    from trackeval.metrics import HOTA, Identity

    metrics = {"hota": HOTA(), "idf1": Identity({"THRESHOLD": 0.5, "PRINT_CONFIG": False})}
    figures, sequences = {}, {name: {} for name in metrics}
    for name, case in cases().items():
        for metric, tool in metrics.items():
            sequences[metric][name] = tool.eval_sequence(track_eval_data(case))
        figures[name] = {**davis(case), **identities(*(sequences[metric][name] for metric in metrics))}
    together = [tool.combine_sequences(sequences[metric]) for metric, tool in metrics.items()]
    content = {"cases": figures, "together": identities(*together)}
    (ROOT / "tests/tracked/official_figures.json").write_text(json.dumps(content, indent=1) + "\n")


def davis(case) -> dict[str, list[float]]:  # noqa: ANN001
    """Each object's J and F: by number without the first and the last frame, and by the best match on all frames."""
    from davis2017.evaluation import DAVISEvaluation

    truth, masks = case.truth.swapaxes(0, 1), case.masks.swapaxes(0, 1)
    inner = slice(1, -1)
    semi = DAVISEvaluation._evaluate_semisupervised(truth[:, inner], masks[: len(truth), inner], None, ("J", "F"))
    free = DAVISEvaluation._evaluate_unsupervised(truth, masks, case.void, ("J", "F"))
    names = ("by_number_j", "by_number_f", "best_j", "best_f")
    return {name: part.mean(1).tolist() for name, part in zip(names, (*semi, *free), strict=True)}


def track_eval_data(case) -> dict[str, object]:  # noqa: ANN001
    """A case as TrackEval's data of a sequence."""
    masks = case.masks if case.void is None else case.masks & ~case.void[:, None]
    ids = [[np.flatnonzero(frame.any((1, 2))) for frame in part] for part in (case.truth, masks)]
    shown = [np.unique(np.concatenate(part)) for part in ids]
    frames = [
        [codes(frame[seen]) for frame, seen in zip(part, of_part, strict=True)]
        for part, of_part in zip((case.truth, masks), ids, strict=True)
    ]
    return {
        "gt_ids": [np.searchsorted(shown[0], seen) for seen in ids[0]],
        "tracker_ids": [np.searchsorted(shown[1], seen) for seen in ids[1]],
        "num_gt_ids": len(shown[0]),
        "num_tracker_ids": len(shown[1]),
        "num_gt_dets": sum(map(len, ids[0])),
        "num_tracker_dets": sum(map(len, ids[1])),
        "similarity_scores": [
            np.array(coco_mask.iou(a, b, [0] * len(b))).reshape(len(a), len(b)) for a, b in zip(*frames, strict=True)
        ],
    }


def codes(masks: np.ndarray) -> list[dict[str, object]]:
    """Masks (n, H, W) as run-length codes."""
    return [coco_mask.encode(np.asfortranarray(mask.astype(np.uint8))) for mask in masks]


def identities(hota: dict[str, object], identity: dict[str, object]) -> dict[str, float]:
    """The means over the thresholds, and IDF1."""
    named = {"hota": "HOTA", "det_a": "DetA", "ass_a": "AssA"}
    return {**{name: float(np.mean(hota[field])) for name, field in named.items()}, "idf1": float(identity["IDF1"])}


if __name__ == "__main__":
    main()
