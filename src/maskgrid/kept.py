"""The masks that a setting keeps of a shard's images, read back from selections and candidates."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.errors import UserError
from maskgrid.layout import Layout
from maskgrid.passes import Recording, passes_of
from maskgrid.settings import Setting
from maskgrid.tables import read_origin, read_table

_CANDIDATE_COLUMNS = [
    "image_key",
    "candidate_id",
    "crop_index",
    "point_xy",
    "predicted_iou",
    "stability_scores",
    "area_px",
    "counts",
]
_SELECTION_COLUMNS = ["image_key", "rank", "layer", "candidate_id", "counts", "area_px"]


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
    """

    image_key: str
    counts: list[bytes]
    area_px: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    stability_score: NDArray[np.float32]
    point_xy: NDArray[np.float32]
    crop_box_xyxy: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.counts)


def kept_masks(setting: Setting, layout: Layout, checkpoint_id: str, shard: str) -> Iterator[KeptMasks]:
    """The masks of each image of a shard that has any, in the order of image keys.

    Args:
        setting: whose masks.
        layout: the results folder.
        checkpoint_id: the folder of the setting's checkpoint.
        shard: the shard; its selections, and its candidates at the setting's mask_threshold, are in memory at
            once.

    Raises:
        maskgrid.errors.UserError: a table is missing or cut off, or selections and candidates are of
            different runs.
    """
    selected = _selected(setting, layout, shard)
    if selected.num_rows == 0:
        return
    layers = [_Layer.read(setting, layout, checkpoint_id, pass_.name, shard) for pass_ in passes_of(setting.generator)]
    keys = selected["image_key"].to_numpy(zero_copy_only=False)
    starts = np.flatnonzero(np.concatenate([[True], keys[1:] != keys[:-1]]))
    for start, stop in zip(starts, [*starts[1:], len(keys)], strict=True):
        yield _of_image(str(keys[start]), selected.slice(start, stop - start), layers)


def _selected(setting: Setting, layout: Layout, shard: str) -> pa.Table:
    table = read_table(layout.selections(shard), _SELECTION_COLUMNS, [("setting_id", "=", setting.id)])
    return _with_plain_keys(table).sort_by([("image_key", "ascending"), ("rank", "ascending")])


def _with_plain_keys(table: pa.Table) -> pa.Table:
    """Image keys as text: dictionaries are in the order of appearance, by which nothing can be sorted."""
    return table.set_column(table.column_names.index("image_key"), "image_key", table["image_key"].cast(pa.string()))


@dataclass(frozen=True, slots=True)
class _Layer:
    """A pass over a shard: its candidates at one level, sorted by image, and what they have in common."""

    pass_name: str
    rows: pa.Table
    spans: dict[str, tuple[int, int]]
    crop_boxes_xyxy: dict[str, NDArray[np.int32]]
    offset: int

    @classmethod
    def read(cls, setting: Setting, layout: Layout, checkpoint_id: str, pass_name: str, shard: str) -> "_Layer":
        path = layout.candidates(checkpoint_id, pass_name, shard)
        level, offset = (
            float(setting.generator.mask_threshold),
            float(setting.generator.stability_score_offset),
        )
        recording = Recording.from_dict(read_origin(path)["recording"])
        if level not in recording.mask_thresholds or offset not in recording.stability_score_offsets:
            raise UserError(f"{path}: was recorded without a level that setting {setting.label} needs; run again")
        rows = _with_plain_keys(read_table(path, _CANDIDATE_COLUMNS, [("mask_threshold", "=", level)]))
        rows = rows.sort_by([("image_key", "ascending"), ("candidate_id", "ascending")]).combine_chunks()
        crops = read_table(layout.pass_images(checkpoint_id, pass_name, shard), ["image_key", "crop_boxes_xyxy"])
        return cls(
            pass_name,
            rows,
            _spans(rows["image_key"]),
            {
                row["image_key"]: np.array(row["crop_boxes_xyxy"], np.int32)
                for row in crops.to_pylist()
                if row["crop_boxes_xyxy"] is not None
            },
            recording.stability_score_offsets.index(offset),
        )

    def find(self, image_key: str, candidate_ids: NDArray[np.int32]) -> pa.Table:
        """The rows of these candidates of an image, in their order."""
        start, stop = self.spans.get(image_key, (0, 0))
        there = self.rows["candidate_id"].slice(start, stop - start).to_numpy()
        position = np.searchsorted(there, candidate_ids)
        if (position == len(there)).any() or (there[position] != candidate_ids).any():
            raise UserError(
                f"{image_key}: selections name candidates that pass {self.pass_name} does not have; "
                "delete the selections and run again"
            )
        return self.rows.take(start + position)


def _spans(sorted_keys: pa.ChunkedArray) -> dict[str, tuple[int, int]]:
    """Where the rows of each key begin and end."""
    counted = pc.value_counts(sorted_keys)
    ends = np.cumsum(counted.field("counts").to_numpy())
    starts = np.concatenate([[0], ends[:-1]])
    keys = counted.field("values").to_pylist()
    return {key: (int(start), int(end)) for key, start, end in zip(keys, starts, ends, strict=True)}


def _of_image(image_key: str, selected: pa.Table, layers: list[_Layer]) -> KeptMasks:
    layer_of = selected["layer"].to_numpy()
    candidate_ids = selected["candidate_id"].to_numpy()
    used = np.unique(layer_of)
    parts = [_columns(layers[layer], image_key, candidate_ids[layer_of == layer]) for layer in used]
    # Parts come layer by layer; this is where each rank's row is among them.
    back = np.argsort(np.argsort(layer_of, kind="stable"), kind="stable")
    columns = {name: np.concatenate([part[name] for part in parts])[back] for name in parts[0]}
    redrawn, redrawn_area = selected["counts"].to_pylist(), selected["area_px"].to_pylist()
    codes, areas = columns["counts"], columns["area_px"]
    return KeptMasks(
        image_key=image_key,
        counts=[new if new is not None else code for new, code in zip(redrawn, codes, strict=True)],
        area_px=np.array([new if new is not None else old for new, old in zip(redrawn_area, areas, strict=True)]),
        predicted_iou=columns["predicted_iou"],
        stability_score=columns["stability_score"],
        point_xy=columns["point_xy"],
        crop_box_xyxy=columns["crop_box_xyxy"],
    )


def _columns(layer: _Layer, image_key: str, candidate_ids: NDArray[np.int32]) -> dict[str, NDArray[Any]]:
    rows = layer.find(image_key, candidate_ids)
    counts = np.empty(len(rows), np.object_)
    counts[:] = rows["counts"].to_pylist()
    return {
        "counts": counts,
        "area_px": rows["area_px"].to_numpy().astype(np.int64),
        "predicted_iou": rows["predicted_iou"].to_numpy(),
        "stability_score": _matrix(rows["stability_scores"])[:, layer.offset],
        "point_xy": _matrix(rows["point_xy"]),
        "crop_box_xyxy": layer.crop_boxes_xyxy[image_key][rows["crop_index"].to_numpy()],
    }


def _matrix(lists: pa.ChunkedArray) -> NDArray[np.float32]:
    """Lists of one length as rows."""
    flat: NDArray[np.float32] = pa.concat_arrays(lists.chunks).flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(lists), -1)
