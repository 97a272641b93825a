"""The candidates of a pass over a shard, read a few images at a time."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.errors import UserError
from maskgrid.layout import Layout
from maskgrid.passes import Recording
from maskgrid.settings import Setting
from maskgrid.tables import iter_table, read_origin, read_table

Columns = dict[str, NDArray[Any]]

_COLUMNS = [
    "image_key",
    "candidate_id",
    "crop_index",
    "point_xy",
    "predicted_iou",
    "mask_threshold",
    "stability_scores",
    "box_xyxy",
    "area_px",
    "counts",
]


class Layer:
    """A pass over a shard at one level; its rows are asked for in the order of image keys, which is the file's."""

    def __init__(self, setting: Setting, layout: Layout, checkpoint_id: str, pass_name: str, shard: str) -> None:
        """Begin with the first image.

        Raises:
            UserError: the table is missing or cut off, or was recorded without the setting's level.
        """
        path = layout.candidates(checkpoint_id, pass_name, shard)
        self.pass_name = pass_name
        self.level, offset = float(setting.generator.mask_threshold), float(setting.generator.stability_score_offset)
        recording = Recording.from_dict(read_origin(path)["recording"])
        if self.level not in recording.mask_thresholds or offset not in recording.stability_score_offsets:
            raise UserError(f"{path}: was recorded without a level that setting {setting.label} needs; run again")
        self.offset = recording.stability_score_offsets.index(offset)
        self.batches = self._plain(iter_table(path, _COLUMNS))
        self.waiting: list[pa.Table] = []
        crops = read_table(layout.pass_images(checkpoint_id, pass_name, shard), ["image_key", "crop_boxes_xyxy"])
        self.crop_boxes_xyxy = {
            row["image_key"]: np.array(row["crop_boxes_xyxy"], np.int32)
            for row in crops.to_pylist()
            if row["crop_boxes_xyxy"] is not None
        }

    def find(self, keys: Sequence[str], image_of: NDArray[np.intp], candidate_ids: NDArray[np.int32]) -> Columns:
        """Candidates of some images, in the order asked for.

        Args:
            keys: image keys, ascending, and behind those of earlier calls.
            image_of: of each candidate, the position of its image among the keys.
            candidate_ids: their ids.

        Returns:
            Columns by the names of :class:`maskgrid.kept.KeptMasks`.

        Raises:
            UserError: one of them is not there.
        """
        rows = self._up_to(keys[-1])
        image_of_row = pc.index_in(rows["image_key"], value_set=pa.array(keys, pa.string()))
        rows = rows.filter(image_of_row.is_valid())
        there = _joint(image_of_row.drop_null().to_numpy(), rows["candidate_id"].to_numpy())
        order = np.argsort(there, kind="stable")
        wanted = _joint(image_of, candidate_ids)
        at = np.searchsorted(there[order], wanted)
        found = at < len(there)
        found[found] = there[order[at[found]]] == wanted[found]
        if not found.all():
            raise UserError(
                f"{keys[image_of[~found][0]]}: selections name candidates that pass {self.pass_name} does not have; "
                "delete the selections and run again"
            )
        return self._columns(rows.take(order[at]), keys, image_of)

    def _plain(self, batches: Iterator[pa.Table]) -> Iterator[pa.Table]:
        for batch in batches:
            rows = batch.filter(pc.equal(batch["mask_threshold"], self.level)).drop_columns("mask_threshold")
            at = rows.column_names.index("image_key")
            yield rows.set_column(at, "image_key", rows["image_key"].cast(pa.string()))

    def _up_to(self, last_key: str) -> pa.Table:
        """The rows of images up to this one that have not been given yet."""
        while not (self.waiting and len(self.waiting[-1]) and self.waiting[-1]["image_key"][-1].as_py() > last_key):
            batch = next(self.batches, None)
            if batch is None:
                break
            self.waiting.append(batch)
        if not self.waiting:
            raise UserError(f"pass {self.pass_name}: selections name candidates that it does not have; run again")
        rows = pa.concat_tables(self.waiting).combine_chunks()
        n_given = pc.sum(pc.less_equal(rows["image_key"], last_key)).as_py() or 0
        # Copied, so that what is given is not held by what waits.
        rest = rows.slice(n_given)
        self.waiting = [rest.take(pa.array(np.arange(len(rest))))] if len(rest) else []
        return rows.slice(0, n_given)

    def _columns(self, rows: pa.Table, keys: Sequence[str], image_of: NDArray[np.intp]) -> Columns:
        crops = [self.crop_boxes_xyxy.get(key, np.empty((0, 4), np.int32)) for key in keys]
        first_crop = np.cumsum([0, *map(len, crops)])
        return {
            "counts": rows["counts"].to_numpy(zero_copy_only=False),
            "area_px": rows["area_px"].to_numpy().astype(np.int64),
            "predicted_iou": rows["predicted_iou"].to_numpy(),
            "stability_score": matrix(rows["stability_scores"])[:, self.offset],
            "point_xy": matrix(rows["point_xy"]),
            "crop_box_xyxy": np.concatenate(crops)[first_crop[image_of] + rows["crop_index"].to_numpy()],
            "box_xyxy": matrix(rows["box_xyxy"]),
        }


def matrix(lists: pa.ChunkedArray) -> NDArray[Any]:
    """Lists of one length as rows."""
    flat: NDArray[Any] = lists.combine_chunks().flatten().to_numpy(zero_copy_only=False)
    return flat.reshape(len(lists), -1)


def _joint(image_of: NDArray[Any], candidate_ids: NDArray[np.int32]) -> NDArray[np.int64]:
    """One number for an image's position and a candidate's id, in the order of both."""
    return (image_of.astype(np.int64) << 32) | candidate_ids.astype(np.int64)
