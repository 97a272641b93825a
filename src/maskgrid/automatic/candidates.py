"""What a pass of the network finds in an image, and its Parquet tables: one of candidates, one of images."""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.automatic.codes import Codes, FileCodes, read_held
from maskgrid.automatic.tables import CANDIDATES, PASS_IMAGES
from maskgrid.io.tables import read_origin, read_table
from maskgrid.plan.passes import Pass, PassRun, Recording

if TYPE_CHECKING:
    from maskgrid.plan.plan import Plan


@dataclass(frozen=True, slots=True)
class CandidateRows:
    """Candidates of one image from one pass, a row for each mask at each recorded ``mask_threshold``.

    All arrays have n rows, sorted by ``candidate_id`` and then by ``mask_threshold``.

    Attributes:
        candidate_id: int32; (crop x points + point) x masks per point + mask. It counts masks proposed, not masks
            kept, so it does not depend on the floor.
        crop_index: int16, which crop of the layer, in sam2's order.
        point_xy: float32 (n, 2), the prompt in image pixels.
        predicted_iou: float32.
        mask_threshold: float64, the level at which the mask is drawn.
        stability_scores: float32 (n, offsets), one column for each recorded offset.
        near_crop_edge: bool; true if the mask's box touches a crop's edge inside the image, so that sam2 drops it.
        box_xyxy: int32 (n, 4), sam2's box in image pixels, right and bottom edge inclusive.
        area_px: int32, pixels of the mask.
        counts: COCO's compressed run-length code of the mask in the image; None near a crop's edge.
    """

    candidate_id: NDArray[np.int32]
    crop_index: NDArray[np.int16]
    point_xy: NDArray[np.float32]
    predicted_iou: NDArray[np.float32]
    mask_threshold: NDArray[np.float64]
    stability_scores: NDArray[np.float32]
    near_crop_edge: NDArray[np.bool_]
    box_xyxy: NDArray[np.int32]
    area_px: NDArray[np.int32]
    counts: NDArray[np.object_] | Codes

    def __len__(self) -> int:
        return len(self.candidate_id)

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Self:
        """The rows at these positions, or where the mask is true."""
        return type(self)(*(getattr(self, field.name)[rows] for field in fields(self)))

    @classmethod
    def empty(cls, n_offsets: int) -> Self:
        """No rows."""
        return cls(
            np.empty(0, np.int32),
            np.empty(0, np.int16),
            np.empty((0, 2), np.float32),
            np.empty(0, np.float32),
            np.empty(0, np.float64),
            np.empty((0, n_offsets), np.float32),
            np.empty(0, np.bool_),
            np.empty((0, 4), np.int32),
            np.empty(0, np.int32),
            np.empty(0, np.object_),
        )

    @classmethod
    def concatenate(cls, parts: list[Self], n_offsets: int) -> Self:
        """All rows of the parts, in order."""
        if not parts:
            return cls.empty(n_offsets)
        return cls(*(np.concatenate([getattr(part, field.name) for part in parts]) for field in fields(cls)))


@dataclass(frozen=True, slots=True)
class Candidates:
    """Everything that a pass of the network found in one image.

    Attributes:
        pass_: the pass.
        recording: the floor and the levels.
        size_hw: the image's height and width in pixels.
        crop_boxes_xyxy: int32 (crops, 4), the layer's crops in image pixels.
        proposed_iou: float32, the predicted IoU of every mask that the network proposed, sorted, to count what a
            threshold drops whatever the floor was.
        rows: the candidates.
        dtype: the network's arithmetic, such as ``bfloat16``; scores have this type and are compared in it.
    """

    pass_: Pass
    recording: Recording
    size_hw: tuple[int, int]
    crop_boxes_xyxy: NDArray[np.int32]
    proposed_iou: NDArray[np.float32]
    rows: CandidateRows
    dtype: str = "float32"


def xywh(box_xyxy: NDArray[np.int32]) -> NDArray[np.float64]:
    """sam2's XYWH of its XYXY boxes (n, 4); their edges are inclusive, so width and height are one pixel short."""
    box = box_xyxy.astype(np.float64)
    box[:, 2:] -= box[:, :2]
    return box


@dataclass(frozen=True, slots=True)
class PassResult:
    """A pass's result for one image: candidates, or the reason why there are none."""

    image_key: str
    status: str
    message: str | None
    candidates: Candidates | None


def rows_table(image_key: str, rows: CandidateRows) -> pa.Table:
    """The candidates of one image as rows of ``tables.CANDIDATES``."""
    columns = {
        "image_key": pa.array([image_key] * len(rows), pa.string()).dictionary_encode(),
        "candidate_id": rows.candidate_id,
        "crop_index": rows.crop_index,
        "point_xy": _fixed_lists(rows.point_xy),
        "predicted_iou": rows.predicted_iou,
        "mask_threshold": rows.mask_threshold,
        "stability_scores": _lists(rows.stability_scores),
        "near_crop_edge": rows.near_crop_edge,
        "box_xyxy": _fixed_lists(rows.box_xyxy),
        "area_px": rows.area_px,
        "counts": pa.array(rows.counts.tolist(), pa.binary()),
    }
    return pa.table(columns, schema=CANDIDATES)


def image_table(result: PassResult) -> pa.Table:
    """One row of ``tables.PASS_IMAGES``."""
    candidates = result.candidates
    row: dict[str, Any] = {"image_key": result.image_key, "status": result.status, "message": result.message}
    if candidates is not None:
        row |= {
            "height": candidates.size_hw[0],
            "width": candidates.size_hw[1],
            "crop_boxes_xyxy": candidates.crop_boxes_xyxy.tolist(),
            "proposed_iou": candidates.proposed_iou,
        }
    return pa.Table.from_pylist([row], schema=PASS_IMAGES)


def read_results(candidates_path: Path, images_path: Path, pass_: Pass) -> Iterator[PassResult]:
    """Read a pass's results for a shard, image by image, in the order of image keys.

    Raises:
        maskgrid.io.errors.UserError: a file is missing or cut off.
    """
    origin = read_origin(candidates_path)
    recording = Recording.from_dict(origin["recording"])
    table, is_held = read_held(candidates_path)
    keys = table["image_key"].cast(pa.string()).to_numpy(zero_copy_only=False)
    for image in read_table(images_path).to_pylist():
        if image["status"] != "ok":
            yield PassResult(image["image_key"], image["status"], image["message"], None)
            continue
        start = int(np.searchsorted(keys, image["image_key"]))
        stop = int(np.searchsorted(keys, image["image_key"], side="right"))
        candidates = Candidates(
            pass_=pass_,
            recording=recording,
            size_hw=(image["height"], image["width"]),
            crop_boxes_xyxy=np.array(image["crop_boxes_xyxy"], np.int32).reshape(-1, 4),
            proposed_iou=np.array(image["proposed_iou"], np.float32),
            rows=_rows(
                table.slice(start, stop - start),
                None if is_held else FileCodes(candidates_path, start, stop - start),
                len(recording.stability_score_offsets),
            ),
            dtype=origin.get("dtype", "float32"),
        )
        yield PassResult(image["image_key"], "ok", None, candidates)


def read_shard_results(plan: "Plan", shard: str) -> Iterator[tuple[PassRun, PassResult]]:
    """Read the results of every pass of a plan for a shard, pass by pass.

    Raises:
        maskgrid.io.errors.UserError: a file is missing or cut off.
    """
    for run in plan.runs:
        paths = plan.layout.candidates(run, shard), plan.layout.pass_images(run, shard)
        for result in read_results(*paths, run.pass_):
            yield run, result


def _rows(table: pa.Table, codes: Codes | None, n_offsets: int) -> CandidateRows:
    return CandidateRows(
        candidate_id=table["candidate_id"].to_numpy(),
        crop_index=table["crop_index"].to_numpy(),
        point_xy=_flat(table["point_xy"]).reshape(-1, 2),
        predicted_iou=table["predicted_iou"].to_numpy(),
        mask_threshold=table["mask_threshold"].to_numpy(),
        stability_scores=_flat(table["stability_scores"]).reshape(-1, n_offsets),
        near_crop_edge=table["near_crop_edge"].to_numpy(),
        box_xyxy=_flat(table["box_xyxy"]).reshape(-1, 4),
        area_px=table["area_px"].to_numpy(),
        counts=codes or Codes(table["counts"]),
    )


def _flat(lists: pa.ChunkedArray) -> NDArray[Any]:
    # For a slice, flatten() gives the slice's values only, and .values would give the whole buffer's.
    flat: NDArray[Any] = lists.combine_chunks().flatten().to_numpy()
    return flat


def _fixed_lists(array: NDArray[Any]) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(array.ravel()), array.shape[1])


def _lists(array: NDArray[np.float32]) -> pa.ListArray:
    offsets = np.arange(len(array) + 1, dtype=np.int32) * array.shape[1]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.array(array.ravel()))
