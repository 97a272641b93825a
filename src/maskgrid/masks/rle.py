"""Run-length codes of masks in COCO's compressed form, by pycocotools, checked before they are decoded."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco_mask

if TYPE_CHECKING:  # code that only reads masks must not load torch
    from torch import Tensor

# pycocotools writes the number of masks into a byte before it returns their areas, and NumPy 2 refuses more than fits.
_AREAS_AT_ONCE = 255


def encode_planes(masks: "Tensor") -> list[bytes]:
    """Encode boolean masks of shape (n, H, W) as COCO's compressed counts."""
    if masks.device.type != "cpu":
        return encode_together(masks, (0, 0), (masks.shape[1], masks.shape[2]))
    # COCO's runs go down the columns: pycocotools wants (H, W, n) in Fortran order, which is (n, W, H) in memory.
    planes = masks.permute(0, 2, 1).contiguous().numpy().view(np.uint8).transpose(2, 1, 0)
    return [code["counts"] for code in coco_mask.encode(planes)]


def encode(mask: NDArray[np.bool_]) -> bytes:
    """Encode one boolean mask of shape (H, W)."""
    counts: bytes = coco_mask.encode(np.asfortranarray(mask.view(np.uint8)))["counts"]
    return counts


def encode_window(mask: NDArray[np.bool_], corner_yx: tuple[int, int], size_hw: tuple[int, int]) -> bytes:
    """Encode a window (h, w) of a mask, with background in the rest of the image.

    Args:
        mask: the window, which contains the whole mask.
        corner_yx: its first row and column in the image.
        size_hw: the image's height and width in pixels.
    """
    height, width = mask.shape
    rows = window_rows(height, size_hw)
    columns = np.zeros((width, rows), np.bool_)
    columns[:, :height] = mask.T
    flat = columns.reshape(-1)
    turns = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    turns = np.concatenate([np.zeros(int(flat[0]), np.intp), turns, np.full(int(flat[-1]), flat.size)])
    return code_of_turns(turns, rows, corner_yx, size_hw)


def encode_windows(masks: "Tensor", corner_yx: tuple[int, int], size_hw: tuple[int, int]) -> list[bytes]:
    """Encode masks (n, h, w) like :func:`encode_window`."""
    if masks.device.type != "cpu":
        return encode_together(masks, corner_yx, size_hw)
    return [encode_window(mask, corner_yx, size_hw) for mask in masks.numpy()]


def encode_together(masks: "Tensor", corner_yx: tuple[int, int], size_hw: tuple[int, int]) -> list[bytes]:
    """Encode like :func:`encode_windows`, but find the ends of runs on the masks' device and copy only those.

    A GPU then sends no whole masks and syncs once. On a CPU this is slower than one by one.
    """
    n, height, width = masks.shape
    rows = window_rows(height, size_hw)
    flat = masks.new_zeros((n, width * rows + 2))  # with background before and after
    flat[:, 1:-1].view(n, width, rows)[:, :, :height] = masks.transpose(1, 2)
    mask_of, turns = (flat[:, 1:] != flat[:, :-1]).nonzero().cpu().numpy().T
    ends = np.cumsum(np.bincount(mask_of, minlength=n))[:-1]
    return [code_of_turns(part, rows, corner_yx, size_hw) for part in np.split(turns, ends)] if n else []


def from_runs(runs: Sequence[int] | NDArray[np.int64], size_hw: tuple[int, int]) -> bytes:
    """The compressed code of run lengths, background first."""
    code = {"size": list(size_hw), "counts": np.asarray(runs, np.uint32)}
    counts: bytes = coco_mask.frPyObjects(code, *size_hw)["counts"]
    return counts


def from_polygons(polygons: Sequence[Sequence[float]], size_hw: tuple[int, int]) -> bytes:
    """Draw COCO's polygons (lists x, y, x, y, ... in pixels) as one mask; without any, an empty mask."""
    if not polygons:
        return from_runs([size_hw[0] * size_hw[1]], size_hw)
    return merge([code["counts"] for code in coco_mask.frPyObjects(polygons, *size_hw)], size_hw)


def merge(masks: Sequence[bytes], size_hw: tuple[int, int]) -> bytes:
    """The union of the masks; at least one mask."""
    counts: bytes = coco_mask.merge([_code(counts, size_hw) for counts in masks])["counts"]
    return counts


def decode(counts: bytes, size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Decode COCO's compressed counts as a boolean mask of shape (H, W).

    Raises:
        ValueError: the runs do not add up to height x width; pycocotools would return uninitialised memory.
    """
    check(counts, size_hw)
    mask: NDArray[np.uint8] = coco_mask.decode(_code(counts, size_hw))
    return mask.view(np.bool_)


def check(counts: bytes, size_hw: tuple[int, int]) -> None:
    """Check that the runs cover the image exactly.

    Raises:
        ValueError: they do not, or the code is malformed.
    """
    runs = run_lengths(counts)
    total, pixels = int(runs.sum()), size_hw[0] * size_hw[1]
    # Runs longer than the image are rejected one by one: the sum of huge runs can overflow 64 bits to any number.
    if total != pixels or ((runs < 0) | (runs > pixels)).any():
        raise ValueError(f"run lengths add up to {total} and not to {size_hw[0]} x {size_hw[1]} = {pixels} pixels")


def run_lengths(counts: bytes) -> NDArray[np.int64]:
    """The runs of a compressed code, background first, as int64.

    The code is COCO's (maskApi.c, rleFrString). A character minus 48 is six bits: five of value, and one that is set if
    more characters follow. The highest value bit of a number's last character is its sign. From the fourth run on, each
    number is the difference to the run two before.

    Raises:
        ValueError: a character out of range, or a code that ends inside a number.
    """
    characters = np.frombuffer(counts, np.uint8).astype(np.int64) - 48
    if ((characters < 0) | (characters > 63)).any():
        raise ValueError("run-length code has a character out of range")
    if len(characters) == 0:
        return characters
    last = (characters & 32) == 0
    if not last[-1]:
        raise ValueError("run-length code ends inside a number")
    ends = np.flatnonzero(last)
    starts = np.concatenate([[0], ends[:-1] + 1])
    digits = np.arange(len(characters)) - np.repeat(starts, ends - starts + 1)
    if int(digits.max()) > 11:
        raise ValueError("run-length code has a number too large")
    values = np.add.reduceat((characters & 31) << (5 * digits), starts)
    negative = (characters[ends] & 16) != 0
    values -= np.where(negative, np.int64(1) << (5 * (ends - starts + 1)), 0)
    # Differences to the run two before make two interleaved running sums; the first run is in neither.
    runs = values.copy()
    runs[1::2] = np.cumsum(values[1::2])
    runs[2::2] = np.cumsum(values[2::2])
    return runs


def uncompressed(counts: bytes, size_hw: tuple[int, int]) -> dict[str, Any]:
    """sam2's ``uncompressed_rle``: a size and a list of runs, starting with background."""
    return {"size": list(size_hw), "counts": run_lengths(counts).tolist()}


def compressed(counts: bytes, size_hw: tuple[int, int]) -> dict[str, Any]:
    """sam2's ``coco_rle``: a size and COCO's compressed counts as text."""
    return {"size": list(size_hw), "counts": counts.decode("ascii")}


def true_box_xywh(counts: bytes, size_hw: tuple[int, int]) -> list[float]:
    """The mask's extent as COCO's XYWH box, including the last row and column."""
    box: list[float] = coco_mask.toBbox(_code(counts, size_hw)).tolist()
    return box


def true_boxes_xyxy(masks: Sequence[bytes], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """The masks' extents, float64 (n, 4), right and bottom edge exclusive; 0 0 0 0 for empty masks."""
    boxes = np.empty((0, 4)) if not masks else coco_mask.toBbox([_code(counts, size_hw) for counts in masks])
    boxes = np.array(boxes, np.float64)
    boxes[:, 2:] += boxes[:, :2]
    return boxes


def area_px(counts: bytes, size_hw: tuple[int, int]) -> int:
    """Pixels of the mask."""
    return int(coco_mask.area(_code(counts, size_hw)))


def areas_px(masks: Sequence[bytes], size_hw: tuple[int, int]) -> NDArray[np.int64]:
    """Pixels of each mask: int64 (n,)."""
    codes = [_code(counts, size_hw) for counts in masks]
    parts = [coco_mask.area(codes[start : start + _AREAS_AT_ONCE]) for start in range(0, len(codes), _AREAS_AT_ONCE)]
    return np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)


def pairwise_iou(first: Sequence[bytes], second: Sequence[bytes], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """IoU of each mask of ``first`` with each of ``second``: (n, m) float64; 0 where both are empty."""
    return _overlaps(first, second, size_hw, of_first=False)


def containment(first: Sequence[bytes], second: Sequence[bytes], size_hw: tuple[int, int]) -> NDArray[np.float64]:
    """Share of each mask of ``first`` that lies within each of ``second``: (n, m) float64; 0 for empty masks."""
    return _overlaps(first, second, size_hw, of_first=True)


def holds_points(counts: bytes, point_xy: NDArray[np.float32], size_hw: tuple[int, int]) -> NDArray[np.bool_]:
    """Whether the pixels at points (n, 2) belong to a mask: bool (n,). Points outside count as the nearest pixel."""
    height, width = size_hw
    place = np.floor(point_xy.astype(np.float64)).astype(np.int64)
    x, y = np.clip(place[:, 0], 0, width - 1), np.clip(place[:, 1], 0, height - 1)
    ends = np.cumsum(run_lengths(counts))
    inside: NDArray[np.bool_] = np.searchsorted(ends, x * height + y, side="right") % 2 == 1
    return inside


def union_area_px(masks: Sequence[bytes], size_hw: tuple[int, int]) -> int:
    """Pixels that at least one of the masks covers."""
    return area_px(merge(masks, size_hw), size_hw) if masks else 0


def window_rows(height: int, size_hw: tuple[int, int]) -> int:
    """A window's rows, plus one of background unless it fills the image's height, so that no run leaves its column."""
    return height + (height < size_hw[0])


def code_of_turns(turns: NDArray[np.intp], rows: int, corner_yx: tuple[int, int], size_hw: tuple[int, int]) -> bytes:
    """The code of a mask that begins or ends at these places of its window.

    Args:
        turns: places in order, counted down the columns of ``rows``, as many as ``window_rows`` says.
        rows: rows of a column.
        corner_yx: the window's first row and column in the image.
        size_hw: the image's height and width in pixels.
    """
    y0, x0 = corner_yx
    return code_of_edges((x0 + turns // rows) * size_hw[0] + y0 + turns % rows, size_hw)


def code_of_edges(edges: NDArray[np.int64], size_hw: tuple[int, int]) -> bytes:
    """The code of a mask that begins or ends at these places of its image, counted down the columns, in order."""
    n_pixels = size_hw[0] * size_hw[1]
    runs = np.diff(edges, prepend=0, append=n_pixels)
    # If the mask reaches the last pixel, the code ends with it, without an empty run of background.
    runs = runs[:-1] if len(edges) and edges[-1] == n_pixels else runs
    return from_runs(runs, size_hw)


def _overlaps(
    first: Sequence[bytes], second: Sequence[bytes], size_hw: tuple[int, int], of_first: bool
) -> NDArray[np.float64]:
    if not first or not second:
        return np.zeros((len(first), len(second)))
    codes = [[_code(counts, size_hw) for counts in masks] for masks in (first, second)]
    # If the second mask is a crowd in COCO's sense, pycocotools divides by the first mask's area alone.
    found: NDArray[np.float64] = coco_mask.iou(*codes, [of_first] * len(second))
    return np.nan_to_num(found)


def _code(counts: bytes, size_hw: tuple[int, int]) -> dict[str, Any]:
    return {"size": list(size_hw), "counts": counts}
