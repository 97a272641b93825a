"""Statistics of prompted masks: how well each agrees with its prompt and with the object's mask in the source."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from maskgrid.config.models import BASELINE
from maskgrid.config.settings import PROMPT_SWEEPABLE, PromptSetting
from maskgrid.dataset.annotations.objects import Prompt, PromptStatus
from maskgrid.io.wording import number, parameter, table_lines
from maskgrid.masks import rle
from maskgrid.prompted.tables import PROMPT_SETTINGS, PROMPT_STATISTICS

_MEAN = "_mean"
# Averaged over prompts with a mask only: an empty mask's agreement is 0, but its area and score mean nothing.
_OF_DRAWN = ("area_px_mean", "predicted_iou_mean")
_SHOWN = {"area_px_mean": "area", "predicted_iou_mean": "predicted", "box_iou_mean": "box", "mask_iou_mean": "mask"}


@dataclass(frozen=True, slots=True)
class Agreement:
    """A mask compared with the prompt's box and the object's mask in the source; None where there is none.

    Attributes:
        box_iou: IoU of the mask's extent with the box, cut to the image.
        area_over_box: the mask's area divided by that box's.
        mask_iou: IoU with the source's mask.
        area_over_mask: the mask's area divided by that mask's.
    """

    box_iou: float | None
    area_over_box: float | None
    mask_iou: float | None
    area_over_mask: float | None


def agreement(counts: bytes, prompt: Prompt, reference_counts: bytes | None, size_hw: tuple[int, int]) -> Agreement:
    """Compare a mask with its prompt and with the object's mask in the source.

    Args:
        counts: the mask's compressed run-length code.
        prompt: in image pixels.
        reference_counts: the object's mask in the source; None if it has none.
        size_hw: the image's height and width.
    """
    box_iou = area_over_box = mask_iou = area_over_mask = None
    area_px = rle.area_px(counts, size_hw)
    if prompt.box_xyxy is not None:
        box_xywh = np.clip(prompt.box_xyxy, 0, [size_hw[1], size_hw[0]] * 2)
        box_xywh[2:] -= box_xywh[:2]
        box_iou = _iou(np.array(rle.true_box_xywh(counts, size_hw)), box_xywh)
        area_over_box = area_px / float(box_xywh[2] * box_xywh[3])
    if reference_counts is not None:
        mask_iou = float(rle.pairwise_iou([counts], [reference_counts], size_hw)[0, 0])
        area_over_mask = area_px / rle.area_px(reference_counts, size_hw)
    return Agreement(box_iou, area_over_box, mask_iou, area_over_mask)


def statistics_table(rows: Sequence[dict[str, Any]], setting: str = BASELINE) -> pa.Table:
    """Build a row for each prompt at one setting, from its best mask, with the lowest agreement first.

    Agreement is the IoU with the source's mask; without one, the IoU of the mask's extent with the prompt's box; with
    neither, the network's own estimate. Unusable prompts have no agreement and come last.

    Args:
        rows: rows of ``tables.PROMPTED``, the masks of each prompt one after another.
        setting: the setting's label.
    """
    prompts: dict[tuple[str, int], dict[str, Any]] = {}
    for row in rows:
        key = (row["image_key"], row["prompt_index"])
        best = prompts.get(key)
        if best is None or _score(row) > _score(best):
            prompts[key] = row
    listed = [{**row, "agreement": _lowest(row), "setting": setting} for row in prompts.values()]
    names = PROMPT_STATISTICS.names
    table = pa.Table.from_pylist([{name: row[name] for name in names} for row in listed], PROMPT_STATISTICS)
    return table.sort_by([("agreement", "ascending"), ("image_key", "ascending"), ("prompt_index", "ascending")])


def summary_line(table: pa.Table) -> str:
    """Summarize the table of statistics in one line."""
    statuses = sorted(table["status"].value_counts().to_pylist(), key=lambda entry: -int(entry["counts"]))
    drawn = table.filter(pc.equal(table["status"], str(PromptStatus.OK)))
    parts = [", ".join(f"{entry['counts']} {entry['values']}" for entry in statuses) or "none"]
    for name, words in (
        ("box_iou", "of extents with the prompts' boxes"),
        ("mask_iou", "with the source's masks"),
        ("predicted_iou", "as predicted"),
    ):
        # The network's estimate for an empty mask means nothing.
        values = drawn[name] if name == "predicted_iou" else table[name]
        if count := len(values) - values.null_count:
            parts.append(f"mean IoU {words} {pc.mean(values).as_py():.4f} ({count})")
    return f"{len(table)} prompts: {'; '.join(parts)}"


def _score(row: dict[str, Any]) -> float:
    return -1.0 if row["predicted_iou"] is None else float(row["predicted_iou"])


def _lowest(row: dict[str, Any]) -> float | None:
    if row["status"] == PromptStatus.NO_MASK:
        return 0.0
    known = (row[name] for name in ("mask_iou", "box_iou", "predicted_iou") if row[name] is not None)
    return next(known, None)


def _iou(first_xywh: NDArray[np.float64], second_xywh: NDArray[np.float64]) -> float:
    low = np.maximum(first_xywh[:2], second_xywh[:2])
    high = np.minimum(first_xywh[:2] + first_xywh[2:], second_xywh[:2] + second_xywh[2:])
    common = float(np.prod(np.maximum(high - low, 0.0)))
    return common / (float(np.prod(first_xywh[2:])) + float(np.prod(second_xywh[2:])) - common)


def settings_table(settings: Sequence[PromptSetting], statistics: Sequence[pa.Table]) -> pa.Table:
    """Build the table of ``tables.PROMPT_SETTINGS`` from each setting's ``tables.PROMPT_STATISTICS``."""
    rows = [_row(setting, table) for setting, table in zip(settings, statistics, strict=True)]
    return pa.Table.from_pylist(rows, PROMPT_SETTINGS)


def settings_lines(table: pa.Table) -> Iterator[str]:
    """Yield the table for people, with the parameters that differ; nothing if there is only one setting."""
    rows = table.to_pylist()
    if len(rows) < 2:
        return
    swept = [name for name in PROMPT_SWEEPABLE if len({row[name] for row in rows}) > 1]
    yield "Settings, with means over objects with a mask (area, predicted), a prompt box, a mask in the source:"
    heads = ["setting", *swept, "masks", *(f"{word}{' IoU' if word != 'area' else ''}" for word in _SHOWN.values())]
    yield from table_lines([heads, *([row["setting"], *_cells(row, swept)] for row in rows)])


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
