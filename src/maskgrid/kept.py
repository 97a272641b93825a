"""The masks that a setting keeps of a shard's images, read back from selections and candidates."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.kept_layers import Columns, Layer, matrix
from maskgrid.layout import Layout
from maskgrid.passes import passes_of
from maskgrid.settings import Setting
from maskgrid.tables import read_table

_SELECTION_COLUMNS = ["image_key", "rank", "layer", "candidate_id", "counts", "area_px", "box_xyxy"]
# Masks that are put together at once, in whole images.
_MASKS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class KeptMasks:
    """The masks that a setting keeps of one image, n of them in sam2's order.

    Attributes:
        image_key: the image.
        counts: COCO's compressed run-length codes.
        area_px: int64 (n,).
        predicted_iou: float32 (n,).
        stability_score: float32 (n,), at the setting's offset.
        point_xy: float32 (n, 2), the prompts in image pixels.
        crop_box_xyxy: int32 (n, 4), the crops in image pixels.
        box_xyxy: int32 (n, 4), sam2's boxes in image pixels: the masks' extents, right and bottom edge inclusive.
    """

    image_key: str
    counts: list[bytes]
    area_px: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    stability_score: NDArray[np.float32]
    point_xy: NDArray[np.float32]
    crop_box_xyxy: NDArray[np.int32]
    box_xyxy: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.counts)


def kept_masks(setting: Setting, layout: Layout, checkpoint_id: str, shard: str) -> Iterator[KeptMasks]:
    """The masks of each image of a shard that has any, in the order of image keys.

    Args:
        setting: whose masks.
        layout: the results folder.
        checkpoint_id: the folder of the setting's checkpoint.
        shard: the shard; its selections at this setting are in memory at once, and of its candidates those of a
            few images.

    Raises:
        maskgrid.errors.UserError: a table is missing or cut off, or selections and candidates are of
            different runs.
    """
    selected = _selected(setting, layout, shard)
    if selected.num_rows == 0:
        return
    layers = [Layer(setting, layout, checkpoint_id, pass_.name, shard) for pass_ in passes_of(setting.generator)]
    keys = selected["image_key"].to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    ends = np.append(starts[1:], len(keys))
    first = 0
    while first < len(starts):
        # Whole images: as many as fit, and one at least.
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + _MASKS_AT_ONCE, side="right")))
        part = selected.slice(starts[first], ends[last - 1] - starts[first])
        yield from _of_images(
            [str(key) for key in keys[starts[first:last]]], ends[first:last] - starts[first], part, layers
        )
        first = last


def _selected(setting: Setting, layout: Layout, shard: str) -> pa.Table:
    table = read_table(layout.selections(shard), _SELECTION_COLUMNS, [("setting_id", "=", setting.id)])
    # Image keys as text: dictionaries are in the order of appearance, by which nothing can be sorted.
    keys = table["image_key"].cast(pa.string())
    table = table.set_column(table.column_names.index("image_key"), "image_key", keys)
    return table.sort_by([("image_key", "ascending"), ("rank", "ascending")]).combine_chunks()


def _of_images(keys: list[str], ends: NDArray[np.intp], selected: pa.Table, layers: list[Layer]) -> Iterator[KeptMasks]:
    """The masks of some images, whose rows end at these positions of the selection."""
    image_of = np.repeat(np.arange(len(keys)), np.diff(ends, prepend=0))
    layer_of, candidate_ids = selected["layer"].to_numpy(), selected["candidate_id"].to_numpy()
    columns: Columns = {}
    for number in np.unique(layer_of):
        here = layer_of == number
        for name, values in layers[number].find(keys, image_of[here], candidate_ids[here]).items():
            # Each rank's row at its place, from whatever layer it is.
            whole = columns.setdefault(name, np.empty((len(layer_of), *values.shape[1:]), values.dtype))
            whole[here] = values
    _redraw(columns, selected)
    start = 0
    for key, end in zip(keys, ends.tolist(), strict=True):
        of_image = {name: values[start:end] for name, values in columns.items()}
        yield KeptMasks(image_key=key, counts=of_image.pop("counts").tolist(), **of_image)
        start = end


def _redraw(columns: Columns, selected: pa.Table) -> None:
    """Put what ``min_mask_region_area`` has changed in place of the candidates' own masks."""
    redrawn = selected["counts"].is_valid().to_numpy()
    if redrawn.any():
        some = selected.filter(pa.array(redrawn))
        columns["counts"][redrawn] = some["counts"].to_numpy(zero_copy_only=False)
        columns["area_px"][redrawn] = some["area_px"].to_numpy()
        columns["box_xyxy"][redrawn] = matrix(some["box_xyxy"])
