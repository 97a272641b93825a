"""Compare two runs over the same images, mask by mask.

In each image, masks of one run are matched one to one with masks of the other: scipy's Hungarian assignment with the
greatest sum of IoUs, over pairs with an IoU of at least 0.9. Precision is the share of the second run's masks with a
partner in the first; recall is the share of the first run's with a partner in the second; F1 is their harmonic mean.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from maskgrid.io.errors import UserError
from maskgrid.io.files import write_bytes
from maskgrid.io.tables import column, write_table
from maskgrid.io.wording import table_lines
from maskgrid.masks.coco_reading import ImageMasks, read_masks
from maskgrid.masks.rle import areas_px, pairwise_iou
from maskgrid.plan.layout import Layout

IOU_THRESHOLD = 0.9

AGREEMENT = pa.schema(
    [
        column("image_key", pa.string(), "the image"),
        column("n_first", pa.int32(), "masks of the first run"),
        column("n_second", pa.int32(), "masks of the second run"),
        column("n_matched", pa.int32(), f"pairs with an IoU of at least {IOU_THRESHOLD}, one to one"),
        column("n_equal", pa.int32(), "pairs whose pixels are all the same"),
        column("iou_mean", pa.float64(), "mean IoU of the matched pairs", nullable=True),
    ]
)

_LINES = {
    "n_images": ("images", "{:d}"),
    "n_first": ("masks of the first run", "{:d}"),
    "n_second": ("masks of the second run", "{:d}"),
    "n_matched": (f"matched one to one at IoU {IOU_THRESHOLD}", "{:d}"),
    "precision": ("precision", "{:.4f}"),
    "recall": ("recall", "{:.4f}"),
    "f1": ("F1", "{:.4f}"),
    "iou_mean": ("mean IoU of the matched", "{:.5f}"),
    "count_difference_mean": ("difference in count, mean an image", "{:.2f}"),
    "count_difference_max": ("difference in count, largest", "{:d}"),
    "images_with_other_count_frac": ("images with another count", "{:.1%}"),
    "images_with_any_difference_frac": ("images with any difference", "{:.1%}"),
}


@dataclass(frozen=True, slots=True)
class Agreement:
    """Two runs compared over all their images.

    Attributes:
        images: a row for each image (``AGREEMENT``), by image key.
    """

    images: pa.Table

    def measures(self) -> dict[str, float]:
        """Counts and shares over all images; precision, recall and F1 are 1 if there is nothing to find."""
        n_first, n_second, matched, equal = (
            self.images[name].to_numpy() for name in ("n_first", "n_second", "n_matched", "n_equal")
        )
        ious = self.images["iou_mean"].to_numpy(zero_copy_only=False).astype(np.float64)
        n_matched = int(matched.sum())
        difference = np.abs(n_first.astype(np.int64) - n_second)
        differs = (equal != n_first) | (equal != n_second)
        return {
            "n_images": len(n_first),
            "n_first": int(n_first.sum()),
            "n_second": int(n_second.sum()),
            "n_matched": n_matched,
            "precision": _share(n_matched, int(n_second.sum())),
            "recall": _share(n_matched, int(n_first.sum())),
            "f1": _share(2 * n_matched, int(n_first.sum() + n_second.sum())),
            "iou_mean": float(np.nansum(ious * matched) / n_matched) if n_matched else float("nan"),
            "count_difference_mean": float(difference.mean()) if len(difference) else 0.0,
            "count_difference_max": int(difference.max(initial=0)),
            "images_with_other_count_frac": float((difference > 0).mean()) if len(difference) else 0.0,
            "images_with_any_difference_frac": float(differs.mean()) if len(differs) else 0.0,
        }


def agreement(first: Path, second: Path, setting: str) -> Agreement:
    """Compare two runs.

    Args:
        first: a COCO file, or a results folder.
        second: the same.
        setting: the setting whose annotations to read from a results folder.

    Raises:
        UserError: a file is missing or is not a COCO file, or the runs are not of the same images.
    """
    ours, theirs = (read_masks(annotations_file(path, setting), "agreement") for path in (first, second))
    alone = sorted(ours.keys() ^ theirs.keys())
    if alone:
        where = first if alone[0] in ours else second
        raise UserError(f"{first} and {second} are not of the same images: {alone[0]} is only in {where}")
    rows = [{"image_key": key, **_compare(key, ours[key], theirs[key])} for key in sorted(ours)]
    return Agreement(pa.Table.from_pylist(rows, schema=AGREEMENT))


def annotations_file(path: Path, setting: str) -> Path:
    """Find a setting's COCO file in a results folder; return a file's path as it is.

    Raises:
        UserError: the folder has none.
    """
    if not path.is_dir():
        return path
    file = Layout(path).annotations(setting)
    if not file.is_file():
        raise UserError(f"{file}: there is no such file; `maskgrid merge --setting {setting}` writes it")
    return file


def match(
    first: list[bytes], second: list[bytes], size_hw: tuple[int, int]
) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Match the masks of two lists of compressed run-length codes, one to one.

    Returns:
        Positions (n, 2) of each pair in both lists, and its IoU (n,), at least ``IOU_THRESHOLD``.
    """
    ious = pairwise_iou(first, second, size_hw)
    ious[np.ix_(areas_px(first, size_hw) == 0, areas_px(second, size_hw) == 0)] = 1.0  # two empty masks are equal
    good = np.where(ious >= IOU_THRESHOLD, ious, 0.0)
    rows, columns = linear_sum_assignment(good, maximize=True)
    found = good[rows, columns] > 0.0
    return np.stack([rows, columns], 1)[found], ious[rows, columns][found]


def _compare(key: str, first: ImageMasks, second: ImageMasks) -> dict[str, object]:
    if first.size_hw != second.size_hw:
        raise UserError(
            f"{key}: is {first.size_hw} pixels (height, width) in one run and {second.size_hw} in the other"
        )
    pairs, ious = match(first.codes, second.codes, first.size_hw)
    return {
        "n_first": len(first.codes),
        "n_second": len(second.codes),
        "n_matched": len(pairs),
        "n_equal": int((ious == 1.0).sum()),
        "iou_mean": float(ious.mean()) if len(ious) else None,
    }


def _share(part: int, whole: int) -> float:
    return part / whole if whole else 1.0


def agreement_text(agreement: Agreement) -> str:
    """The measures, one per line with name and number."""
    measures = agreement.measures()
    rows = [(words, form.format(measures[name])) for name, (words, form) in _LINES.items()]
    return "\n".join(table_lines(rows, to_right=False))


def write_agreement(agreement: Agreement, path: Path) -> None:
    """Write the images' rows and the measures over all of them, as Parquet (in its metadata) or JSON.

    Raises:
        UserError: the name has another ending, or the folder cannot be written.
    """
    if path.suffix == ".parquet":
        write_table(path, agreement.images, {"measures": agreement.measures()})
    elif path.suffix == ".json":
        content = {"measures": agreement.measures(), "images": agreement.images.to_pylist()}
        write_bytes(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
    else:
        raise UserError(f"--output {path}: the name must end in .parquet or .json")
