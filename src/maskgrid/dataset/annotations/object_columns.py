"""Columns of tables of prompts under the names that other tools give them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# COCO's names, by our own.
_OTHER_NAMES = {"image": "file_name", "box_xywh": "bbox", "mask": "segmentation", "category": "category_name"}
# Four columns with a number each, by the column that they make up.
BOX_CORNERS = ("x1", "y1", "x2", "y2")
_BOXES: Mapping[str, tuple[tuple[str, ...], ...]] = {
    "box_xyxy": (BOX_CORNERS, ("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax")),
    "box_xywh": (("x", "y", "width", "height"), ("x", "y", "w", "h")),
}


@dataclass(frozen=True, slots=True)
class OtherColumns:
    """What a table's columns are called here.

    Attributes:
        names: our name of each column with another one.
        box: ``box_xyxy`` or ``box_xywh`` if four columns make it up, else an empty string.
        corners: these four columns.
    """

    names: Mapping[str, str]
    box: str = ""
    corners: tuple[str, ...] = ()

    @classmethod
    def of(cls, columns: Sequence[str], known: frozenset[str]) -> "OtherColumns":
        """Find other names among a table's columns; our own ones come first.

        Args:
            columns: the table's.
            known: the columns that such a table may have, by our names.
        """
        there = set(columns)
        names = {
            other: ours
            for ours, other in _OTHER_NAMES.items()
            if ours in known and ours not in there and other in there - known
        }
        has_box = bool({"box_xyxy", "box_xywh"} & {*there, *names.values()})
        for box, forms in _BOXES.items() if not has_box else ():
            for corners in forms:
                if there.issuperset(corners) and box in known:
                    return cls(names, box, corners)
        return cls(names)

    def renamed(self, columns: Sequence[str]) -> list[str]:
        """The columns by our names; the four of a box are one."""
        kept = [self.names.get(name, name) for name in columns if name not in self.corners]
        return [*kept, self.box] if self.box else kept

    def row(self, cells: Mapping[str, Any]) -> dict[str, Any]:
        """A row by our names, or with ``broken``, the reason why its box cannot be read."""
        row = {self.names.get(name, name): value for name, value in cells.items() if name not in self.corners}
        given = [cells.get(name) for name in self.corners]
        if any(value is not None for value in given):
            try:
                row[self.box] = [float(value) for value in given]  # type: ignore[arg-type]
            except (TypeError, ValueError):
                row["broken"] = f"the columns {', '.join(self.corners)} need a number each, such as 12.5, not {given}"
        return row
