"""A choice of an image's masks as columns: redrawn where ``min_mask_region_area`` changed a mask, else as proposed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates

# Which masks to keep: True for each of them, or their positions in their new order.
Choice = NDArray[np.bool_] | NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Selection:
    """Some masks of one image, n of them, in sam2's order; their columns are the candidates'.

    Attributes:
        passes: the candidates to choose from, by crop layer.
        layer: int16 (n,), the position in ``passes`` of each mask's candidate.
        row: int64 (n,), its row there.
        regions: (n,), a ``Region`` where ``min_mask_region_area`` redrew the mask, else None.
        dropped: how many masks each filter dropped, in turn, by its column of ``mask_counts.parquet``. With the masks
            kept, they add up to the masks proposed.
    """

    passes: tuple[Candidates, ...]
    layer: NDArray[np.int16]
    row: NDArray[np.int64]
    regions: NDArray[np.object_]
    dropped: Mapping[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.row)

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the image in pixels."""
        return self.passes[0].size_hw

    @property
    def n_proposed(self) -> int:
        """How many masks the network proposed, recorded or not."""
        return len(self) + sum(self.dropped.values())

    def take(self, choice: Choice) -> Self:
        """The masks chosen, in their new order."""
        return replace(self, layer=self.layer[choice], row=self.row[choice], regions=self.regions[choice])

    def counts(self) -> NDArray[np.object_]:
        """(n,), COCO's compressed run-length codes."""
        return self._redrawn("counts")

    def area_px(self) -> NDArray[np.int32]:
        """int32 (n,)."""
        return self._redrawn("area_px")

    def box_xyxy(self) -> NDArray[np.int32]:
        """int32 (n, 4), sam2's boxes in image pixels, right and bottom edge inclusive."""
        return self._redrawn("box_xyxy")

    def candidate_id(self) -> NDArray[np.int32]:
        """int32 (n,), within the candidate's pass."""
        return self._gather(lambda part: part.rows.candidate_id)

    def crop_index(self) -> NDArray[np.int16]:
        """int16 (n,), within the candidate's layer."""
        return self._gather(lambda part: part.rows.crop_index)

    def crop_box_xyxy(self) -> NDArray[np.int32]:
        """int32 (n, 4), the crops in image pixels."""
        return self._gather(lambda part: part.crop_boxes_xyxy[part.rows.crop_index])

    def point_xy(self) -> NDArray[np.float32]:
        """float32 (n, 2), the prompts in image pixels."""
        return self._gather(lambda part: part.rows.point_xy)

    def predicted_iou(self) -> NDArray[np.float32]:
        """float32 (n,)."""
        return self._gather(lambda part: part.rows.predicted_iou)

    def stability_score(self, offset: float) -> NDArray[np.float32]:
        """float32 (n,), at one of the recorded offsets."""
        return self._gather(
            lambda part: part.rows.stability_scores[:, part.recording.stability_score_offsets.index(offset)]
        )

    def near_crop_edge(self) -> NDArray[np.bool_]:
        """Bool (n,), whether the mask touches a crop's edge inside the image."""
        return self._gather(lambda part: part.rows.near_crop_edge)

    def _gather(self, column: Callable[[Candidates], NDArray[Any]]) -> NDArray[Any]:
        """A column of the masks, from the same column of each pass."""
        columns = [column(part) for part in self.passes]
        if len(columns) == 1:
            gathered: NDArray[Any] = columns[0][self.row]
            return gathered
        gathered = np.empty((len(self), *columns[0].shape[1:]), columns[0].dtype)
        for layer, values in enumerate(columns):
            here = self.layer == layer
            gathered[here] = values[self.row[here]]
        return gathered

    def _redrawn(self, name: str) -> NDArray[Any]:
        """A column as proposed, or from the region where a mask was redrawn."""
        column = self._gather(lambda part: getattr(part.rows, name))
        for index in np.flatnonzero(self.regions):
            column[index] = getattr(self.regions[index], name)
        return column
