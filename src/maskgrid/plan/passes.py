"""Passes of the network, and what each must record for a sweep.

A pass is one crop layer with one grid of prompts. The parameters that reach the network decide which passes a setting
needs; all others select from the masks that a pass proposed.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import orjson
from numpy.typing import NDArray

from maskgrid.config.models import GeneratorConfig
from maskgrid.config.record import RecordConfig
from maskgrid.config.settings import Setting
from maskgrid.config.tiles import TILES
from maskgrid.network.checkpoints import checkpoint_id

# The parameters that determine which passes a setting needs, besides the checkpoint.
PASS_PARAMETERS = (
    *("points_per_side", "point_grids", "crop_n_layers", "crop_overlap_ratio", "crop_n_points_downscale_factor"),
    *("use_m2m", "multimask_output"),
    *TILES,
)
_DEFAULT_OVERLAP = GeneratorConfig.model_fields["crop_overlap_ratio"].default


@dataclass(frozen=True, slots=True)
class Pass:
    """One crop layer with one grid of prompts.

    Attributes:
        layer: the crop layer; 0 is the whole image. Tiles have 1.
        points_per_side: points along a side of this layer's regular grid, or None with explicit points.
        points: explicit prompts (x, y) in 0..1, or None.
        overlap_ratio: ``crop_overlap_ratio`` for layers above 0; None for the whole image.
        use_m2m: whether a second decoder step refines each mask.
        multimask_output: three masks per prompt, or one.
        tile_px: for a pass over tiles, their size and their overlap in image pixels; None for one over a crop layer.
    """

    layer: int
    points_per_side: int | None
    points: tuple[tuple[float, float], ...] | None
    overlap_ratio: float | None
    use_m2m: bool
    multimask_output: bool
    tile_px: tuple[int, int] | None = None

    @property
    def name(self) -> str:
        """The pass as a folder name, such as ``crop0-grid32``, ``crop1-grid16-m2m`` or ``tile1024-341-grid32``."""
        crops = f"crop{self.layer}" if self.tile_px is None else "tile{}-{}".format(*self.tile_px)
        grid = f"grid{self.points_per_side}" if self.points is None else f"points{self._points_hash()}"
        overlap = "" if self.overlap_ratio in (None, _DEFAULT_OVERLAP) else f"-overlap{self.overlap_ratio!r}"
        m2m = "-m2m" if self.use_m2m else ""
        return f"{crops}-{grid}{overlap}{m2m}{'' if self.multimask_output else '-single'}"

    @property
    def n_masks_per_point(self) -> int:
        """Number of masks that the decoder proposes for each prompt."""
        return 3 if self.multimask_output else 1

    @property
    def n_points(self) -> int:
        """Number of prompts in each crop."""
        return len(self.points) if self.points is not None else int(self.points_per_side or 0) ** 2

    @property
    def n_proposals(self) -> int:
        """Number of masks that the network proposes for an image; of a pass over tiles, for each tile."""
        return self.n_points * self.n_crops * self.n_masks_per_point

    @property
    def n_crops(self) -> int:
        """Number of crops of an image; 1 for a pass over tiles, whose number depends on the image."""
        return int(4**self.layer) if self.tile_px is None else 1

    def point_grid(self) -> NDArray[np.float64]:
        """The prompts where sam2 places them: float64 of shape (n, 2), (x, y) in 0..1 of the crop."""
        if self.points is not None:
            return np.array(self.points, dtype=np.float64)
        # Import here: sam2 imports torch, which plans and the workflow must not wait for.
        from sam2.utils.amg import build_point_grid

        grid: NDArray[np.float64] = build_point_grid(self.points_per_side)
        return grid

    def _points_hash(self) -> str:
        return hashlib.sha256(orjson.dumps(self.points)).hexdigest()[:8]


def passes_of(generator: GeneratorConfig) -> list[Pass]:
    """The passes that a setting needs, by crop layer, and then the one over tiles."""
    passes = [_pass(generator, layer) for layer in range(generator.crop_n_layers + 1)]
    return passes if generator.tile_px is None else [*passes, _tiles(generator, generator.tile_px)]


def _tiles(generator: GeneratorConfig, tile_px: tuple[int, int]) -> Pass:
    """The pass over tiles, with the grid of crop layer 1, or the last one given."""
    grids = generator.point_grids
    as_layer = _pass(generator, 1 if grids is None else min(1, len(grids) - 1))
    return replace(as_layer, layer=1, overlap_ratio=None, tile_px=tile_px)


def _pass(generator: GeneratorConfig, layer: int) -> Pass:
    grids = generator.point_grids
    return Pass(
        layer=layer,
        points_per_side=(
            None
            if generator.points_per_side is None
            else int(generator.points_per_side / generator.crop_n_points_downscale_factor**layer)
        ),
        points=None if grids is None else tuple((float(x), float(y)) for x, y in grids[layer]),
        overlap_ratio=generator.crop_overlap_ratio if layer else None,
        use_m2m=generator.use_m2m,
        multimask_output=generator.multimask_output,
    )


@dataclass(frozen=True, slots=True)
class Recording:
    """What a pass keeps: the floor below which it drops candidates, and the levels at which it draws masks.

    Attributes:
        pred_iou_thresh: candidates must exceed this predicted IoU; 0 keeps all, as in sam2.
        stability_score_thresh: candidates must also reach this stability score at one of the offsets; 0 keeps all.
        mask_thresholds: the logits at which masks are drawn, ascending.
        stability_score_offsets: the offsets at which stability is measured, ascending.
    """

    pred_iou_thresh: float
    stability_score_thresh: float
    mask_thresholds: tuple[float, ...]
    stability_score_offsets: tuple[float, ...]

    def covers(self, other: Self) -> bool:
        """Return whether this recording contains everything that ``other`` needs."""
        return (
            self.pred_iou_thresh <= other.pred_iou_thresh
            and self.stability_score_thresh <= other.stability_score_thresh
            and set(self.mask_thresholds) >= set(other.mask_thresholds)
            and set(self.stability_score_offsets) >= set(other.stability_score_offsets)
        )

    def lacking(self, other: Self) -> str:
        """What ``other`` needs and this recording has not, in words; empty if it covers it."""
        reasons = [
            f"{name}: {getattr(other, name):g} is below {getattr(self, name):g}, from where candidates were recorded"
            for name in ("pred_iou_thresh", "stability_score_thresh")
            if getattr(other, name) < getattr(self, name)
        ]
        for name in ("mask_thresholds", "stability_score_offsets"):
            values = getattr(self, name)
            reasons += [
                f"{name.removesuffix('s')}: {value:g} was not recorded, only {', '.join(f'{one:g}' for one in values)}"
                for value in getattr(other, name)
                if value not in values
            ]
        return "; ".join(reasons)

    def union(self, other: Self) -> Self:
        """The narrowest recording that covers both."""
        return type(self)(
            min(self.pred_iou_thresh, other.pred_iou_thresh),
            min(self.stability_score_thresh, other.stability_score_thresh),
            tuple(sorted({*self.mask_thresholds, *other.mask_thresholds})),
            tuple(sorted({*self.stability_score_offsets, *other.stability_score_offsets})),
        )

    @property
    def is_everything(self) -> bool:
        """Whether no threshold keeps anything out."""
        return self.pred_iou_thresh == 0 and self.stability_score_thresh == 0

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for metadata and Snakemake's params."""
        return {
            "pred_iou_thresh": self.pred_iou_thresh,
            "stability_score_thresh": self.stability_score_thresh,
            "mask_thresholds": list(self.mask_thresholds),
            "stability_score_offsets": list(self.stability_score_offsets),
        }

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The inverse of :meth:`as_dict`."""
        return cls(
            float(values["pred_iou_thresh"]),
            float(values["stability_score_thresh"]),
            tuple(float(value) for value in values["mask_thresholds"]),
            tuple(float(value) for value in values["stability_score_offsets"]),
        )


def recording_of(generator: GeneratorConfig) -> Recording:
    """The recording that one setting needs."""
    return Recording(
        float(generator.pred_iou_thresh),
        float(generator.stability_score_thresh),
        (float(generator.mask_threshold),),
        (float(generator.stability_score_offset),),
    )


def widen(recording: Recording, record: RecordConfig) -> Recording:
    """Widen a recording by the config's ``record``."""
    iou, stability = record.pred_iou_thresh, record.stability_score_thresh
    return recording.union(
        Recording(
            recording.pred_iou_thresh if iou is None else float(iou),
            recording.stability_score_thresh if stability is None else float(stability),
            tuple(float(value) for value in record.mask_thresholds),
            tuple(float(value) for value in record.stability_score_offsets),
        )
    )


@dataclass(frozen=True, slots=True)
class PassRun:
    """A pass of one checkpoint that the sweep needs, with the recording that covers all its settings."""

    checkpoint: str
    pass_: Pass
    recording: Recording

    @property
    def folder(self) -> str:
        """The checkpoint's folder and the pass's in it, such as ``demo/crop0-grid32``."""
        return f"{checkpoint_id(self.checkpoint)}/{self.pass_.name}"


def setting_runs(setting: Setting) -> list[PassRun]:
    """The passes that answer one setting, by crop layer."""
    needed = recording_of(setting.generator)
    return [PassRun(setting.checkpoint, pass_, needed) for pass_ in passes_of(setting.generator)]


def pass_runs(settings: Sequence[Setting], record: RecordConfig) -> list[PassRun]:
    """The passes that a sweep needs, in order of first use."""
    runs: dict[tuple[str, Pass], Recording] = {}
    for setting in settings:
        needed = widen(recording_of(setting.generator), record)
        for pass_ in passes_of(setting.generator):
            key = (setting.checkpoint, pass_)
            runs[key] = runs[key].union(needed) if key in runs else needed
    return [PassRun(checkpoint, pass_, recording) for (checkpoint, pass_), recording in runs.items()]
