"""Settings of the prompted job compared: a row a setting, with means over all given objects."""

from collections.abc import Iterator, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from maskgrid.prompt_settings import PROMPT_SWEEPABLE, PromptSetting
from maskgrid.prompted_schemas import PROMPT_SETTINGS
from maskgrid.prompts import PromptStatus
from maskgrid.wording import number, parameter

_MEAN = "_mean"
# What nothing was drawn for agrees with nothing, and has neither an area nor a score that says something.
_OF_DRAWN = ("area_px_mean", "predicted_iou_mean")
_SHOWN = {"area_px_mean": "area", "predicted_iou_mean": "predicted", "box_iou_mean": "box", "mask_iou_mean": "mask"}


def settings_table(settings: Sequence[PromptSetting], statistics: Sequence[pa.Table]) -> pa.Table:
    """Rows of ``prompted_schemas.PROMPT_SETTINGS``.

    Args:
        settings: baseline first.
        statistics: of each setting, ``prompted_schemas.PROMPT_STATISTICS``.
    """
    rows = [_row(setting, table) for setting, table in zip(settings, statistics, strict=True)]
    return pa.Table.from_pylist(rows, PROMPT_SETTINGS)


def settings_lines(table: pa.Table) -> Iterator[str]:
    """The table for people, with the parameters that differ; nothing where there is one setting alone."""
    rows = table.to_pylist()
    if len(rows) < 2:
        return
    swept = [name for name in PROMPT_SWEEPABLE if len({row[name] for row in rows}) > 1]
    yield "Settings, with means over the objects that have a mask (area, predicted), a given box, a given mask:"
    heads = ["setting", *swept, "masks", *(f"{word}{' IoU' if word != 'area' else ''}" for word in _SHOWN.values())]
    cells = [heads, *([row["setting"], *_cells(row, swept)] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        first, *others = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
        yield "  ".join([line[0].ljust(len(first)), *others])


def _cells(row: dict[str, Any], swept: Sequence[str]) -> list[str]:
    means = [number(row[name], 1 if name.startswith("area") else 4) for name in _SHOWN]
    return [*(parameter(row[name]) for name in swept), str(row["n_ok"]), *means]


def _row(setting: PromptSetting, statistics: pa.Table) -> dict[str, Any]:
    statuses = statistics["status"].to_pylist()
    drawn = statistics.filter(pc.equal(statistics["status"], str(PromptStatus.OK)))
    means = {name: drawn if name in _OF_DRAWN else statistics for name in PROMPT_SETTINGS.names if name.endswith(_MEAN)}
    return {
        "setting_id": setting.id,
        "setting": setting.label,
        "in_grid": setting.in_grid,
        **setting.parameters(),
        "n_prompts": len(statuses),
        "n_ok": statuses.count(str(PromptStatus.OK)),
        "n_no_mask": statuses.count(str(PromptStatus.NO_MASK)),
        **{name: pc.mean(table[name.removesuffix(_MEAN)]).as_py() for name, table in means.items()},
    }
