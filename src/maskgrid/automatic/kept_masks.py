"""The masks that a setting keeps in a shard's images, read back from selections and candidates."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.automatic.candidate_reader import Columns, Layer, image_positions, joined, joint, matrix
from maskgrid.config.settings import Setting
from maskgrid.io.tables import open_table
from maskgrid.plan.layout import Layout
from maskgrid.plan.passes import setting_runs

_SELECTION_COLUMNS = ["setting_id", "image_key", "rank", "layer", "candidate_id"]
_REDRAWN_COLUMNS = ["counts", "area_px", "box_xyxy"]
# Masks to put together at once, in whole images.
_MASKS_AT_ONCE = 4096


@dataclass(frozen=True, slots=True)
class KeptMasks:
    """The n masks that a setting keeps in m images, image by image, each image's in sam2's order.

    Attributes:
        image_keys: the images' keys; each image has at least one mask.
        size_hw: int32 (m, 2), the images' heights and widths in pixels.
        n_masks: int64 (m,), each image's number of masks.
        counts: COCO's compressed run-length codes.
        area_px: int64 (n,).
        predicted_iou: float32 (n,).
        stability_score: float32 (n,), at the setting's offset.
        point_xy: float32 (n, 2), the prompts in image pixels.
        crop_box_xyxy: int32 (n, 4), the crops in image pixels.
        box_xyxy: int32 (n, 4), sam2's boxes in image pixels: the masks' extents, right and bottom edge inclusive.
    """

    image_keys: list[str]
    size_hw: NDArray[np.int32]
    n_masks: NDArray[np.int64]
    counts: list[bytes]
    area_px: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    stability_score: NDArray[np.float32]
    point_xy: NDArray[np.float32]
    crop_box_xyxy: NDArray[np.int32]
    box_xyxy: NDArray[np.int32]


def kept_masks(
    setting: Setting, layout: Layout, shard: str, sizes_hw: Mapping[str, tuple[int, int]]
) -> Iterator[KeptMasks]:
    """The masks that a setting keeps in a shard, a few images at a time, in the order of image keys.

    Images without masks are left out.

    Args:
        setting: the setting.
        layout: the results folder.
        shard: the shard. All its selections at this setting are in memory at once, but of its candidates at the
            setting's level only those of a few images.
        sizes_hw: heights and widths of the images wanted; a shard may have others.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or cut off, or selections and candidates are from different
            runs.
    """
    selected = _selected(setting, layout, shard)
    if selected is None:
        return
    keys = sorted(key for key in selected["image_key"].unique().to_pylist() if key in sizes_hw)
    image_of = image_positions(selected, keys)
    if not (image_of >= 0).all():
        selected, image_of = selected.filter(pa.array(image_of >= 0)), image_of[image_of >= 0]
    place = joint(image_of, selected["rank"].to_numpy())
    if not (place[1:] >= place[:-1]).all():  # the stage replay writes them in order
        order = np.argsort(place, kind="stable")
        selected, image_of = selected.take(pa.array(order)), image_of[order]
    layers = [Layer(setting, layout, run, shard) for run in setting_runs(setting)]
    n_masks = np.bincount(image_of, minlength=len(keys))
    first, start = 0, 0
    ends = np.cumsum(n_masks)
    while start < len(image_of):
        # As many whole images as fit, at least one.
        last = max(first + 1, int(np.searchsorted(ends, start + _MASKS_AT_ONCE, side="right")))
        end = int(ends[last - 1])
        some = keys[first:last]
        size_hw = np.array([sizes_hw[key] for key in some], np.int32)
        yield _of_images(some, size_hw, n_masks[first:last], selected.slice(start, end - start), layers)
        first, start = last, end


def _selected(setting: Setting, layout: Layout, shard: str) -> pa.RecordBatch | None:
    """A shard's selections at a setting; None if there are none."""
    columns = [*_SELECTION_COLUMNS, *(_REDRAWN_COLUMNS if setting.generator.min_mask_region_area > 0 else ())]
    _, batches = open_table(layout.selections(shard), columns, filters=[("setting_id", "=", setting.id)])
    parts = [part for part in (_of_setting(batch, setting.id) for batch in batches) if len(part)]
    return joined(parts) if parts else None


def _of_setting(batch: pa.RecordBatch, setting_id: str) -> pa.RecordBatch:
    column = batch["setting_id"]
    wanted = pc.equal(column.dictionary, setting_id).to_numpy(zero_copy_only=False)[column.indices.to_numpy()]
    return batch if wanted.all() else batch.filter(pa.array(wanted))


def _of_images(
    keys: list[str],
    size_hw: NDArray[np.int32],
    n_masks: NDArray[np.int64],
    selected: pa.RecordBatch,
    layers: list[Layer],
) -> KeptMasks:
    """Put together the selected masks of some images, ``n_masks`` of each."""
    image_of = np.repeat(np.arange(len(keys)), n_masks)
    layer_of, candidate_ids = selected["layer"].to_numpy(), selected["candidate_id"].to_numpy()
    columns: Columns = {}
    for number in np.unique(layer_of):
        here = layer_of == number
        for name, values in layers[number].find(keys, size_hw, image_of[here], candidate_ids[here]).items():
            # Rows of all layers, in the order of selections.
            whole = columns.setdefault(name, np.empty((len(layer_of), *values.shape[1:]), values.dtype))
            whole[here] = values
    if "counts" in selected.schema.names:
        _redraw(columns, selected)
    return KeptMasks(
        image_keys=keys,
        size_hw=size_hw,
        n_masks=n_masks,
        counts=columns.pop("counts").tolist(),
        **columns,
    )


def _redraw(columns: Columns, selected: pa.RecordBatch) -> None:
    """Replace the candidates' own masks where ``min_mask_region_area`` redrew them."""
    if selected["counts"].null_count == len(selected):
        return
    redrawn = selected["counts"].is_valid().to_numpy(zero_copy_only=False)
    some = selected.filter(pa.array(redrawn))
    columns["counts"][redrawn] = some["counts"].to_numpy(zero_copy_only=False)
    columns["area_px"][redrawn] = some["area_px"].to_numpy()
    columns["box_xyxy"][redrawn] = matrix(some["box_xyxy"])
