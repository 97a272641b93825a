"""The agreement of two runs as the command prints it and writes it."""

from pathlib import Path

import orjson

from maskgrid.agreement import IOU_THRESHOLD, Agreement
from maskgrid.errors import UserError
from maskgrid.files import write_bytes
from maskgrid.tables import write_table

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


def agreement_text(agreement: Agreement) -> str:
    """The measures as lines, a name and a number each."""
    measures = agreement.measures()
    width = max(len(words) for words, _ in _LINES.values())
    return "\n".join(f"{words:<{width}}  {form.format(measures[name])}" for name, (words, form) in _LINES.items())


def write_agreement(agreement: Agreement, path: Path) -> None:
    """Write the images' rows, as Parquet, or as JSON with the measures over all of them.

    Raises:
        UserError: the name ends otherwise, or the folder cannot be written.
    """
    if path.suffix == ".parquet":
        write_table(path, agreement.images, {"measures": agreement.measures()})
    elif path.suffix == ".json":
        content = {"measures": agreement.measures(), "images": agreement.images.to_pylist()}
        write_bytes(path, orjson.dumps(content, option=orjson.OPT_INDENT_2))
    else:
        raise UserError(f"--output {path}: a name that ends in .parquet or .json is needed")
