"""Readable labels for the settings of a grid: what each sweeps, such as ``p16_iou0.7_nms0.7``."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePosixPath
from typing import Any, TypeVar

from maskgrid.config.settings import CHECKPOINT, AnySetting, swept_parameters
from maskgrid.io.fingerprint import digest

SettingT = TypeVar("SettingT", bound=AnySetting)

SHORT_NAMES: Mapping[str, str] = {
    CHECKPOINT: "",
    "points_per_side": "p",
    "pred_iou_thresh": "iou",
    "stability_score_thresh": "st",
    "stability_score_offset": "offset",
    "mask_threshold": "level",
    "box_nms_thresh": "nms",
    "crop_n_layers": "layers",
    "crop_nms_thresh": "cropnms",
    "crop_overlap_ratio": "overlap",
    "crop_n_points_downscale_factor": "down",
    "point_grids": "grids",
    "min_mask_region_area": "clean",
    "use_m2m": "m2m",
    "multimask_output": "multi",
    "tile_size_px": "tile",
    "tile_overlap_px": "tileoverlap",
    "min_area_px": "minpx",
    "max_area_px": "maxpx",
    "min_area_frac": "minfrac",
    "max_area_frac": "maxfrac",
    "border": "border",
    "min_fill_frac": "fill",
    "max_aspect_ratio": "aspect",
    "region": "in",
    "min_region_frac": "inside",
    "mask_nms_thresh": "masknms",
    "max_containment_frac": "nested",
    "containment_keeps": "keeps",
    "max_masks": "best",
    "refine_rounds": "refine",
    "max_hole_area": "holes",
    "max_sprinkle_area": "sprinkles",
}
_NO_FILE_NAME = re.compile(r"[^A-Za-z0-9.+-]+")


def with_labels(settings: Sequence[SettingT], allowed: re.Pattern[str], longest: int) -> list[SettingT]:
    """Give the settings without a name a label of the values that tell them apart from each other and the baseline.

    A label depends on the sweep: it has the parameters that vary, in sam2's order. A setting keeps its id alone if its
    label would be no file name or would not be its own.

    Args:
        settings: the sweep's, the baseline first.
        allowed: the pattern of a setting's name.
        longest: the most bytes of a name.
    """
    unnamed = [setting for setting in settings if not setting.names]
    swept = swept_parameters([*settings[:1], *unnamed])
    labels = [_label(setting.compared(), swept) for setting in unnamed]
    taken = {name for setting in settings for name in (setting.id, *setting.names)}
    own = {
        setting.id: label
        for setting, label in zip(unnamed, labels, strict=True)
        if labels.count(label) == 1 and label not in taken and allowed.fullmatch(label) and len(label) <= longest
    }
    return [replace(setting, values_label=own[setting.id]) if setting.id in own else setting for setting in settings]


def _label(values: Mapping[str, Any], swept: Mapping[str, Any]) -> str:
    return "_".join(f"{SHORT_NAMES.get(name, name)}{_value(name, values[name])}" for name in swept)


def _value(name: str, value: Any) -> str:  # noqa: ANN401
    """A value as part of a file name: each value has its own, but for paths that differ in their folders alone."""
    if isinstance(value, bool):
        return str(int(value))
    if value is None:
        return "none"
    if isinstance(value, float):
        return repr(value).removesuffix(".0")
    if isinstance(value, tuple | list):
        return digest(value)[:6]
    text = PurePosixPath(value).stem if "/" in str(value) else str(value)
    return _NO_FILE_NAME.sub("-", text.removeprefix("sam2.1_hiera_") if name == CHECKPOINT else text)
