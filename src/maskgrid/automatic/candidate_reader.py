"""Read the candidates of a pass over a shard, a few images at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.config.settings import Setting
from maskgrid.io.errors import UserError
from maskgrid.io.tables import open_table, read_table
from maskgrid.plan.layout import Layout
from maskgrid.plan.passes import PassRun, Recording

Columns = dict[str, NDArray[Any]]

_COLUMNS = [
    "image_key",
    "candidate_id",
    "point_xy",
    "predicted_iou",
    "mask_threshold",
    "stability_scores",
    "box_xyxy",
    "area_px",
    "counts",
]


class Layer:
    """A pass over a shard at one level, read in the order of image keys, like the file."""

    def __init__(self, setting: Setting, layout: Layout, run: PassRun, shard: str) -> None:
        """Start at the first image.

        Raises:
            UserError: a table is missing or cut off, or was recorded without the setting's level.
        """
        path = layout.candidates(run, shard)
        self.pass_name = run.pass_.name
        self.level, offset = float(setting.generator.mask_threshold), float(setting.generator.stability_score_offset)
        # Layer 0 has one crop, the whole image.
        origin, self.batches = open_table(path, [*_COLUMNS, *(["crop_index"] if run.pass_.layer else ())])
        recording = Recording.from_dict(origin["recording"])
        if self.level not in recording.mask_thresholds or offset not in recording.stability_score_offsets:
            raise UserError(f"{path}: was recorded without a level that setting {setting.label} needs; run again")
        self.n_levels = len(recording.mask_thresholds)
        self.offset = recording.stability_score_offsets.index(offset)
        self.waiting: pa.RecordBatch | None = None
        self.crops = Crops.read(layout.pass_images(run, shard)) if run.pass_.layer else None

    def find(
        self,
        keys: Sequence[str],
        size_hw: NDArray[np.int32],
        image_of: NDArray[np.intp],
        candidate_ids: NDArray[np.int32],
    ) -> Columns:
        """Candidates of some images, in the order asked for.

        Args:
            keys: image keys, ascending, and after those of earlier calls.
            size_hw: int32 (m, 2), the images' heights and widths in pixels.
            image_of: the position of each candidate's image in ``keys``.
            candidate_ids: each candidate's id.

        Returns:
            Columns by the names of :class:`maskgrid.automatic.kept_masks.KeptMasks`.

        Raises:
            UserError: a candidate is missing.
        """
        wanted = joint(image_of, candidate_ids)
        rows = self._wanted(keys, wanted)
        if rows is None:
            raise self._missing(keys[image_of[0]])
        there = joint(image_positions(rows, keys), rows["candidate_id"].to_numpy())
        order = np.argsort(there, kind="stable")
        at = np.searchsorted(there[order], wanted)
        found = at < len(there)
        found[found] = there[order[at[found]]] == wanted[found]
        if not found.all():
            raise self._missing(keys[image_of[~found][0]])
        at = order[at]
        columns = self._columns(rows, at)
        if self.crops is None:
            columns["crop_box_xyxy"] = np.hstack([np.zeros_like(size_hw), size_hw[:, ::-1]])[image_of]
        else:
            columns["crop_box_xyxy"] = self.crops.boxes_xyxy(keys, image_of, rows["crop_index"].to_numpy()[at])
        return columns

    def _missing(self, key: str) -> UserError:
        return UserError(
            f"{key}: selections name candidates that pass {self.pass_name} does not have; "
            "delete the selections and run again"
        )

    def _wanted(self, keys: Sequence[str], wanted: NDArray[np.int64]) -> pa.RecordBatch | None:
        """The rows of some candidates, by image and id; other rows of these images are not kept; None if all lack."""
        found: list[pa.RecordBatch] = []
        while True:
            batch = self.waiting or next(self.batches, None)
            if batch is None:
                break
            self.waiting = None
            if self.n_levels > 1:
                batch = batch.filter(pa.array(batch["mask_threshold"].to_numpy() == self.level))
            image_of = image_positions(batch, keys)
            chosen = np.isin(joint(image_of, batch["candidate_id"].to_numpy()), wanted) & (image_of >= 0)
            if chosen.any():
                found.append(batch.filter(pa.array(chosen)))
            if len(batch) and _last_key(batch) > keys[-1]:
                self.waiting = batch  # its last rows are of later images
                break
        return joined(found) if found else None

    def _columns(self, rows: pa.RecordBatch, at: NDArray[np.intp]) -> Columns:
        return {
            "counts": rows["counts"].take(pa.array(at)).to_numpy(zero_copy_only=False),
            "area_px": rows["area_px"].to_numpy()[at].astype(np.int64),
            "predicted_iou": rows["predicted_iou"].to_numpy()[at],
            "stability_score": matrix(rows["stability_scores"])[at, self.offset],
            "point_xy": matrix(rows["point_xy"])[at],
            "box_xyxy": matrix(rows["box_xyxy"])[at],
        }


@dataclass(frozen=True, slots=True)
class Crops:
    """The crops of a pass in all images of a shard.

    Attributes:
        row: the row of each image key.
        first: int64 (m + 1,), where each row's crops start.
        box_xyxy: int32 (n, 4), in image pixels.
    """

    row: dict[str, int]
    first: NDArray[np.int64]
    box_xyxy: NDArray[np.int32]

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a pass's table of images; ``UserError`` if it is missing or cut off."""
        table = read_table(path, ["image_key", "crop_boxes_xyxy"]).combine_chunks()
        n_crops = pc.fill_null(pc.list_value_length(table["crop_boxes_xyxy"]), 0).to_numpy()
        boxes = table["crop_boxes_xyxy"].combine_chunks().flatten().flatten().to_numpy().reshape(-1, 4)
        row = {key: number for number, key in enumerate(table["image_key"].to_pylist())}
        return cls(row, np.cumsum([0, *n_crops]), boxes)

    def boxes_xyxy(
        self, keys: Sequence[str], image_of: NDArray[np.intp], crop_index: NDArray[np.int16]
    ) -> NDArray[np.int32]:
        """The crop of each mask: int32 (n, 4)."""
        first = self.first[[self.row[key] for key in keys]]
        boxes: NDArray[np.int32] = self.box_xyxy[first[image_of] + crop_index]
        return boxes


def image_positions(rows: pa.RecordBatch, keys: Sequence[str]) -> NDArray[np.intp]:
    """The position of each row's image in ``keys``; -1 for other images."""
    column = rows["image_key"]
    positions = pc.fill_null(pc.index_in(column.dictionary, pa.array(keys, pa.string())), -1)
    found: NDArray[np.intp] = positions.to_numpy()[column.indices.to_numpy()].astype(np.intp)
    return found


def matrix(lists: pa.Array) -> NDArray[Any]:
    """Lists of equal length as the rows of a matrix."""
    flat: NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(lists), -1)


def joint(image_of: NDArray[Any], number: NDArray[Any]) -> NDArray[np.int64]:
    """Combine an image's position and a number within it into one number that sorts by both."""
    return (image_of.astype(np.int64) << 32) | number.astype(np.int64)


def joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    """The batches as one."""
    if len(batches) == 1:
        return batches[0]
    (whole,) = pa.Table.from_batches(batches).unify_dictionaries().combine_chunks().to_batches()
    return whole


def _last_key(rows: pa.RecordBatch) -> str:
    return str(rows["image_key"][-1].as_py())
