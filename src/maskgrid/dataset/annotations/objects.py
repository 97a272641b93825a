"""Prompts, each checked against its image."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from maskgrid.io.tables import column

CATEGORY_COLUMNS = (
    column("category_id", pa.int64(), "as in the source's categories", nullable=True),
    column("category", pa.string(), "the category's name", nullable=True),
)
_PARTS = ("point_coords", "point_labels", "box_xyxy", "mask_counts")


class PromptStatus(StrEnum):
    """The outcome for a prompt; values of the column ``status``, besides those of images."""

    OK = "ok"
    MALFORMED = "malformed"  # the entry or one of its fields has the wrong form
    NO_PROMPT = "no_prompt"  # no points, no box, no mask
    UNKNOWN_IMAGE = "unknown_image"  # the dataset has no image with that name
    BAD_IMAGE = "bad_image"  # the image cannot be used
    OTHER_SIZE = "other_size"  # the source states a size that is not the image's
    UNKNOWN_VIDEO = "unknown_video"  # the source has no video with that name
    BAD_VIDEO = "bad_video"  # the video cannot be used
    MISSING_FRAME = "missing_frame"  # the video has no such frame, or the frame is not read
    OUTSIDE_IMAGE = "outside_image"  # a point outside the image, or a box wholly outside
    NO_AREA = "no_area"  # a box without width or height
    WRONG_LABEL = "wrong_label"  # a label other than 1 and 0, or not one for each point
    EMPTY_MASK = "empty_mask"  # a mask without pixels
    MALFORMED_MASK = "malformed_mask"  # a mask that cannot be read, or is not of the image's size
    CROWD = "crowd"  # COCO's iscrowd: many objects, not one
    NO_MASK = "no_mask"  # the network drew nothing
    NOT_A_NUMBER = "not_a_number"  # the network returned values that are not numbers
    TOO_LARGE = "too_large"  # one mask of the image does not fit in the device's memory


class BadPromptError(Exception):
    """A prompt that cannot be used: the reason as a status and in words."""

    def __init__(self, status: PromptStatus, message: str) -> None:
        super().__init__(status, message)
        self.status = status
        self.message = " ".join(message.split())[:200]


@dataclass(frozen=True, slots=True)
class Prompt:
    """The prompt for one object: points, a box, a mask, or any combination of them.

    Attributes:
        point_coords: float64 (n, 2), x and y.
        point_labels: int32 (n,), 1 for a point on the object, 0 for one off it.
        box_xyxy: float64 (4,).
        mask_counts: a mask of the image's size, as COCO's compressed run-length code.
        normalized: whether points and box are fractions of the image, 0 to 1, instead of pixels.
    """

    point_coords: NDArray[np.float64] | None = None
    point_labels: NDArray[np.int32] | None = None
    box_xyxy: NDArray[np.float64] | None = None
    mask_counts: bytes | None = None
    normalized: bool = False

    @property
    def kind(self) -> str:
        """The parts of the prompt: ``box``, ``box+points``, ``mask`` and so on."""
        parts = {"box": self.box_xyxy, "points": self.point_coords, "mask": self.mask_counts}
        return "+".join(name for name, part in parts.items() if part is not None)

    @property
    def n_points(self) -> int:
        """Number of points."""
        return 0 if self.point_coords is None else len(self.point_coords)


@dataclass(frozen=True, slots=True)
class PromptRow:
    """An object of the source: its prompt, or why there is none.

    Attributes:
        image_key: the image's name in the source.
        prompt_index: the object's position among those of its image, in the source's order, from 0.
        source_id: the object's id in the source.
        category_id: the category's id; None if the source has none.
        category: the category's name.
        prompt: None if ``status`` is not ``ok``.
        reference_counts: the object's mask in the source, whether or not it is part of the prompt.
        status: a :class:`PromptStatus`.
        message: the reason in words.
    """

    image_key: str
    prompt_index: int
    source_id: str
    category_id: int | None
    category: str | None
    prompt: Prompt | None
    reference_counts: bytes | None
    status: str
    message: str | None


def prompt_columns(points: str, box: str, mask: str = "") -> list[pa.Field]:
    """The columns of a prompt.

    Args:
        points: description of ``point_coords``.
        box: description of ``box_xyxy``.
        mask: description of ``mask_counts``; if empty, that column is left out.
    """
    columns = [
        column("point_coords", pa.list_(pa.list_(pa.float64(), 2)), points, nullable=True),
        column("point_labels", pa.list_(pa.int32()), "1 on the object, 0 beside it", nullable=True),
        column("box_xyxy", pa.list_(pa.float64(), 4), box, nullable=True),
    ]
    return [*columns, column("mask_counts", pa.binary(), mask, nullable=True)] if mask else columns


def prompt_values(prompt: Prompt | None) -> dict[str, Any]:
    """A prompt as values of :func:`prompt_columns`; empty for None."""
    return {} if prompt is None else {name: _plain(getattr(prompt, name)) for name in _PARTS}


def prompt_of(values: Mapping[str, Any], normalized: bool = False) -> Prompt:
    """The prompt in a table row with :func:`prompt_columns`."""
    dtypes = {"point_coords": np.float64, "point_labels": np.int32, "box_xyxy": np.float64}
    arrays = {name: None if values[name] is None else np.array(values[name], dtypes[name]) for name in dtypes}
    return Prompt(**arrays, mask_counts=values["mask_counts"], normalized=normalized)


def object_values(row: PromptRow) -> dict[str, Any]:
    """The source's information on an object, as columns of the results."""
    names = ("image_key", "prompt_index", "source_id", "category_id", "category", "status", "message")
    return {name: getattr(row, name) for name in names}


def content_of(prompt: Prompt | None) -> dict[str, Any]:
    """A prompt as plain values, for fingerprints; empty for None."""
    if prompt is None:
        return {}
    counts = prompt.mask_counts
    mask = None if counts is None else counts.decode("ascii")
    return {**prompt_values(prompt), "mask_counts": mask, "normalized": prompt.normalized}


def read_box(value: Any, form: str, extent_wh: tuple[float, float]) -> NDArray[np.float64]:  # noqa: ANN401
    """Check a box and return it as float64 (4,) XYXY, not clipped to the image.

    Args:
        value: the box in the source, four numbers.
        form: ``xyxy`` or ``xywh``.
        extent_wh: the image's width and height in the unit of the box.

    Raises:
        BadPromptError: not four finite numbers, no area, or wholly outside the image.
    """
    box = _numbers(value, f"box_{form}")
    if box.shape != (4,):
        raise BadPromptError(PromptStatus.MALFORMED, f"a box is four numbers, not {_shown(value)}")
    x0, y0, x1, y1 = box
    if form == "xywh":
        x1, y1 = x0 + x1, y0 + y1
    if x1 <= x0 or y1 <= y0:
        raise BadPromptError(PromptStatus.NO_AREA, f"the box {_shown(value)} ({form}) has no area")
    width, height = extent_wh
    if x1 <= 0 or y1 <= 0 or x0 >= width or y0 >= height:
        raise BadPromptError(
            PromptStatus.OUTSIDE_IMAGE,
            f"the box {_shown(value)} ({form}) lies outside the image ({width:g} x {height:g})",
        )
    return np.array([x0, y0, x1, y1])


def require_size(stated_hw: tuple[int, int] | None, size_hw: tuple[int, int]) -> None:
    """Require that the size stated by a source, if any, is the image's.

    Raises:
        BadPromptError: it is not, so boxes, points and polygons are in other pixels.
    """
    if stated_hw is not None and stated_hw != size_hw:
        (h, w), (height, width) = stated_hw, size_hw
        raise BadPromptError(
            PromptStatus.OTHER_SIZE,
            f"the file says that the image has {w} x {h} pixels, and it has {width} x {height} as displayed",
        )


def read_points(
    coords: Any,  # noqa: ANN401
    labels: Any,  # noqa: ANN401
    extent_wh: tuple[float, float],
) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
    """Check points; return them as float64 (n, 2) and labels as int32 (n,). Without labels, all are on the object.

    Raises:
        BadPromptError: not a list of pairs of finite numbers, a point outside the image, or wrong labels.
    """
    points = _numbers(coords, "points")
    if points.ndim != 2 or points.shape[1] != 2 or len(points) == 0:
        raise BadPromptError(PromptStatus.MALFORMED, f"points are a list of [x, y], not {_shown(coords)}")
    width, height = extent_wh
    outside = (points < 0).any(1) | (points > [width, height]).any(1)
    if outside.any():
        point = points[outside][0].tolist()
        raise BadPromptError(
            PromptStatus.OUTSIDE_IMAGE, f"the point {point} lies outside the image ({width:g} x {height:g})"
        )
    if labels is None:
        return points, np.ones(len(points), np.int32)
    if not isinstance(labels, list) or len(labels) != len(points):
        raise BadPromptError(
            PromptStatus.WRONG_LABEL, f"{len(points)} points need as many labels, not {_shown(labels)}"
        )
    if not all(type(label) in (int, float) and label in (0, 1) for label in labels):
        raise BadPromptError(
            PromptStatus.WRONG_LABEL, f"labels are 1 (on the object) or 0 (beside it), not {_shown(labels)}"
        )
    return points, np.array(labels, np.int32)


def pixels_of(prompt: Prompt, size_hw: tuple[int, int]) -> Prompt:
    """Convert a prompt to image pixels."""
    if not prompt.normalized:
        return prompt
    scale = np.array([size_hw[1], size_hw[0]], np.float64)
    points = None if prompt.point_coords is None else prompt.point_coords * scale
    box = None if prompt.box_xyxy is None else prompt.box_xyxy * np.tile(scale, 2)
    return Prompt(points, prompt.point_labels, box, prompt.mask_counts)


def _numbers(value: Any, name: str) -> NDArray[np.float64]:  # noqa: ANN401
    parts = value if isinstance(value, list) else []
    flat = [item for part in parts for item in (part if isinstance(part, list) else [part])]
    if not flat or not all(type(item) in (int, float) for item in flat):
        raise BadPromptError(PromptStatus.MALFORMED, f"{name}: a list of numbers is needed, not {_shown(value)}")
    try:
        numbers = np.array(value, np.float64)
    except (ValueError, OverflowError):
        raise BadPromptError(PromptStatus.MALFORMED, f"{name}: lists of one length are needed") from None
    if not (np.abs(numbers) <= np.finfo(np.float32).max).all():  # the network's type
        raise BadPromptError(PromptStatus.MALFORMED, f"{name}: {_shown(value)} has a value that is no finite number")
    return numbers


def _plain(value: Any) -> Any:  # noqa: ANN401
    return value.tolist() if isinstance(value, np.ndarray) else value


def _shown(value: Any) -> str:  # noqa: ANN401
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
