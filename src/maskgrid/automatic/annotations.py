"""COCO annotations: the entries of the file, as JSON.

The fields are COCO's, plus sam2's under their own names. Boxes are the masks' true extent, whereas sam2's are a pixel
short. Ids start at 1, because COCO's evaluation takes an annotation 0 for none.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from maskgrid.automatic.candidates import xywh
from maskgrid.automatic.kept_masks import KeptMasks
from maskgrid.config.models import DEMO
from maskgrid.config.settings import Setting
from maskgrid.io.fingerprint import maskgrid_version
from maskgrid.io.wording import TOY
from maskgrid.masks import rle
from maskgrid.masks.coco import CATEGORY_ID
from maskgrid.network.checkpoints import checkpoint_id


def info(setting: Setting, fingerprint: str | None = None) -> dict[str, Any]:
    """What the file is and which setting it holds; without a time, so that equal masks give equal files."""
    return {
        "description": "SAM 2 automatic masks, made by maskgrid",
        **({"note": TOY} if setting.checkpoint == DEMO else {}),
        "maskgrid_version": maskgrid_version(),
        "setting_id": setting.id,
        "setting_names": list(setting.names),
        "checkpoint_id": checkpoint_id(setting.checkpoint),
        "parameters": setting.parameters_on(),
        "fingerprint": fingerprint,
    }


def annotation_lines(
    masks: KeptMasks, image_ids: Sequence[int], output_mode: str, category_ids: NDArray[np.int64] | None = None
) -> list[bytes]:
    """Each image's entries of ``annotations`` as JSON, one a line, without their ``id``.

    Args:
        masks: the masks of some images.
        image_ids: the images' ids in this file.
        output_mode: ``uncompressed_rle`` gives lists of runs. ``coco_rle`` gives COCO's compressed code, and so does
            ``binary_mask``, since JSON has no form for arrays of pixels.
        category_ids: int64 (n,), the masks' categories; None: all are of one.

    Returns:
        The lines of each image, joined. A line is what follows the id: it begins with the next field's name.

    Raises:
        ValueError: a score is not a finite number.
    """
    is_number = np.isfinite(masks.predicted_iou) & np.isfinite(masks.stability_score)
    if not is_number.all():
        image = int(np.searchsorted(np.cumsum(masks.n_masks), int(is_number.argmin()), side="right"))
        raise ValueError(f"{masks.image_keys[image]}: a score is not a finite number")
    boxes_xywh = xywh(masks.box_xyxy)
    boxes_xywh[:, 2:] += 1  # sam2's boxes are a pixel short
    iou, stability = _texts(masks.predicted_iou), _texts(masks.stability_score)
    heads = [b'"image_id":%d,"category_id":' % image_id for image_id in image_ids]
    sizes = [b',"segmentation":{"size":[%d,%d],"counts":' % (height, width) for height, width in masks.size_hw.tolist()]
    columns: list[bytes | list[bytes]] = [
        _repeated(heads, masks.n_masks),
        b"%d" % CATEGORY_ID if category_ids is None else _texts(category_ids),
        _repeated(sizes, masks.n_masks),
        _codes(masks.counts, output_mode),
        b'},"area":',
        _texts(masks.area_px),
        b',"bbox":[',
        _texts(boxes_xywh),
        b'],"iscrowd":0,"score":',
        iou,
        b',"predicted_iou":',
        iou,
        b',"stability_score":',
        stability,
        b',"point_coords":[[',
        _texts(masks.point_xy),
        b']],"crop_box":[',
        _crop_texts(masks),
        b'],"attributes":{"predicted_iou":',
        iou,
        b',"stability_score":',
        stability,
        b"}}\n",
    ]
    return _joined_rows(columns, masks.n_masks)


def _joined_rows(columns: list[bytes | list[bytes]], n_rows: NDArray[np.int64]) -> list[bytes]:
    """Join columns of texts row by row, into one text for each group of rows, without its last line end.

    Interleaving them in one list runs no bytecode per row, which is many times faster than formatting each row.
    """
    total, width = int(n_rows.sum()), len(columns)
    pieces: list[bytes] = [b""] * (total * width)
    for number, column in enumerate(columns):
        pieces[number::width] = [column] * total if isinstance(column, bytes) else column
    ends = np.cumsum(n_rows) * width
    return [
        b"".join(pieces[start:end])[:-1] for start, end in zip([0, *ends[:-1].tolist()], ends.tolist(), strict=True)
    ]


def _crop_texts(masks: KeptMasks) -> list[bytes]:
    """The masks' crops as JSON, without brackets; formatted once an image if each has one crop."""
    of_image = masks.crop_box_xyxy[np.cumsum(masks.n_masks) - masks.n_masks]
    if np.array_equal(masks.crop_box_xyxy, np.repeat(of_image, masks.n_masks, axis=0)):
        return _repeated(_texts(xywh(of_image)), masks.n_masks)
    return _texts(xywh(masks.crop_box_xyxy))


def _repeated(of_image: list[bytes], n_masks: NDArray[np.int64]) -> list[bytes]:
    """Each image's text, repeated for each of its masks."""
    return [text for text, n in zip(of_image, n_masks.tolist(), strict=True) for _ in range(n)]


def _texts(values: NDArray[Any]) -> list[bytes]:
    """Each number (n,) or row of numbers (n, k) as JSON, rows without brackets."""
    if not len(values):
        return []
    text = orjson.dumps(np.ascontiguousarray(values), option=orjson.OPT_SERIALIZE_NUMPY)
    return text[1:-1].split(b",") if values.ndim == 1 else text[2:-2].split(b"],[")


def _codes(codes: list[bytes], output_mode: str) -> list[bytes]:
    """Run-length codes as JSON."""
    if output_mode == "uncompressed_rle":
        return [orjson.dumps(rle.run_lengths(counts).tolist()) for counts in codes]
    # The backslash is the only character of a code that JSON escapes, and none is a line end.
    return (b'"' + b'"\n"'.join(codes).replace(b"\\", b"\\\\") + b'"').split(b"\n")
