"""For notebooks and other programs: a drop-in ``SAM2AutomaticMaskGenerator`` that can also replay."""

from collections.abc import Mapping, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from sam2.modeling.sam2_base import SAM2Base

from maskgrid.automatic.candidates import Candidates, xywh
from maskgrid.automatic.filters import replay
from maskgrid.automatic.proposer import Proposer
from maskgrid.automatic.selection import Selection
from maskgrid.config.filters import FILTERS, FilterConfig
from maskgrid.config.messages import first_error
from maskgrid.config.models import GeneratorConfig, RecordConfig
from maskgrid.config.settings import PARAMETERS
from maskgrid.dataset.images import ImageLike, rgb_pixels
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.network.decoder import Mode
from maskgrid.plan.passes import passes_of, recording_of, widen

# The name of a region that is an array.
_REGION = "region"


class MaskGenerator:
    """Automatic masks, with the parameters and results of ``SAM2AutomaticMaskGenerator``.

    Example:
        >>> generator = MaskGenerator(model, pred_iou_thresh=0.7)
        >>> masks = generator.generate(image)
        >>> candidates = generator.candidates(image, pred_iou_thresh=0.5)
        >>> fewer = generator.replay(candidates, pred_iou_thresh=0.9, box_nms_thresh=0.5)
    """

    def __init__(self, model: SAM2Base, *values: Any, mode: Mode = "exact", **parameters: Any) -> None:  # noqa: ANN401
        """Set up the generator.

        Args:
            model: sam2's model, as from :func:`maskgrid.load_model`.
            *values: positional parameters in sam2's order, ``points_per_side`` first.
            mode: ``exact`` for sam2's masks bit for bit; ``fast`` for less work, with masks that agree.
            **parameters: named parameters, with sam2's defaults (``binary_mask`` for ``output_mode``), and the config's
                ``filters``, such as ``min_area_px=100``; ``region`` is a boolean array (H, W). An unknown name is an
                error, though sam2 silently accepts it.

        Raises:
            UserError: an unknown parameter or mode, an impossible value, or a parameter given twice.
        """
        if mode not in get_args(Mode):
            raise UserError(f"mode: {mode!r} is neither {' nor '.join(map(repr, get_args(Mode)))}")
        given = {"output_mode": "binary_mask", **_named(values, parameters), **parameters}
        self._filters = {name: given.pop(name) for name in FILTERS if name in given}
        self.parameters = _generator_config(given)
        _filters_of(self._filters)
        self.network = Proposer(model, mode)

    def generate(self, image: ImageLike) -> list[dict[str, Any]]:
        """The masks of an image, as sam2's generator returns them.

        Args:
            image: uint8 (H, W, 3) RGB, a PIL image, or a path.

        Returns:
            A dict for each mask: ``segmentation``, ``area``, ``bbox`` (XYWH), ``predicted_iou``, ``point_coords``,
            ``stability_score``, ``crop_box`` (XYWH).
        """
        return self.replay(self.candidates(image))

    def candidates(
        self,
        image: ImageLike,
        pred_iou_thresh: float | None = None,
        stability_score_thresh: float | None = None,
        mask_thresholds: Sequence[float] = (),
        stability_score_offsets: Sequence[float] = (),
    ) -> list[Candidates]:
        """Run the network once and keep what it proposes.

        Args:
            image: uint8 (H, W, 3) RGB, a PIL image, or a path.
            pred_iou_thresh: keep candidates down to this predicted IoU; by default the generator's own.
            stability_score_thresh: keep candidates down to this stability; by default the generator's own.
            mask_thresholds: levels to draw masks at, besides the generator's own.
            stability_score_offsets: offsets to measure stability at, besides the generator's own.

        Returns:
            The candidates of each pass (crop layer), for :meth:`replay`.
        """
        pixels = rgb_pixels(image)
        room = RecordConfig(
            pred_iou_thresh=pred_iou_thresh,
            stability_score_thresh=stability_score_thresh,
            mask_thresholds=tuple(mask_thresholds),
            stability_score_offsets=tuple(stability_score_offsets),
        )
        recording = widen(recording_of(self.parameters), room)
        return [
            self.network.run(pixels, pass_, recording, self.parameters.points_per_batch)
            for pass_ in passes_of(self.parameters)
        ]

    def replay(self, candidates: Sequence[Candidates], **thresholds: Any) -> list[dict[str, Any]]:  # noqa: ANN401
        """The masks that a new run with other thresholds would give, from candidates.

        Args:
            candidates: from :meth:`candidates`.
            **thresholds: parameters and filters to change; the candidates must have been recorded for them.

        Raises:
            UserError: an unknown parameter, an impossible value, or one that the candidates cannot answer.
        """
        changed = {name: thresholds.pop(name) for name in FILTERS if name in thresholds}
        generator = _generator_config({**self.parameters.model_dump(), **thresholds})
        filters, in_image = _filters_of({**self._filters, **changed})
        return mask_records(replay(candidates, generator, filters, in_image), generator)


def _named(values: Sequence[Any], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Positional values by the names of sam2's parameters."""
    names = list(PARAMETERS)
    if len(values) > len(names):
        raise UserError(f"there are {len(names)} parameters, but {len(values)} positional values")
    found = dict(zip(names, values, strict=False))
    if twice := sorted(found.keys() & parameters.keys()):
        raise UserError(f"{twice[0]}: given both by position and by name")
    return found


def _generator_config(parameters: dict[str, Any]) -> GeneratorConfig:
    parameters = {name: value.item() if isinstance(value, np.generic) else value for name, value in parameters.items()}
    grids = parameters.get("point_grids")
    if grids is not None:
        parameters = {**parameters, "point_grids": [np.asarray(grid).tolist() for grid in grids]}
    try:
        return GeneratorConfig.model_validate(parameters)
    except ValidationError as error:
        raise UserError(first_error(error, GeneratorConfig)) from None


def _filters_of(values: Mapping[str, Any]) -> tuple[FilterConfig, dict[str, bytes]]:
    """The filters, and the region as a code by the name that the filters give it."""
    plain = {name: value.item() if isinstance(value, np.generic) else value for name, value in values.items()}
    in_image: dict[str, bytes] = {}
    if plain.get("region") is not None:
        region = np.asarray(plain["region"])
        if region.ndim != 2 or region.dtype != np.bool_:
            raise UserError(f"region: a boolean array (H, W) is needed, not {region.dtype} {region.shape}")
        plain["region"], in_image = _REGION, {_REGION: rle.encode(region)}
    try:
        return FilterConfig.model_validate(plain), in_image
    except ValidationError as error:
        raise UserError(first_error(error, FilterConfig)) from None


def mask_records(selection: Selection, generator: GeneratorConfig) -> list[dict[str, Any]]:
    """One dict per mask, with the keys, types and values of ``SAM2AutomaticMaskGenerator.generate``."""
    columns = (
        selection.counts(),
        selection.area_px().tolist(),
        xywh(selection.box_xyxy()).tolist(),
        selection.predicted_iou().tolist(),
        selection.point_xy().tolist(),
        selection.stability_score(float(generator.stability_score_offset)).tolist(),
        xywh(selection.crop_box_xyxy()).tolist(),
    )
    return [
        {
            "segmentation": segmentation(counts, selection.size_hw, generator.output_mode),
            "area": area_px,
            "bbox": box_xywh,
            "predicted_iou": predicted_iou,
            "point_coords": [point_xy],
            "stability_score": stability_score,
            "crop_box": crop_box_xywh,
        }
        for counts, area_px, box_xywh, predicted_iou, point_xy, stability_score, crop_box_xywh in zip(
            *columns, strict=True
        )
    ]


def segmentation(counts: bytes, size_hw: tuple[int, int], output_mode: str) -> dict[str, Any] | NDArray[np.bool_]:
    """A mask in one of sam2's three forms."""
    if output_mode == "binary_mask":
        return rle.decode(counts, size_hw)
    return rle.compressed(counts, size_hw) if output_mode == "coco_rle" else rle.uncompressed(counts, size_hw)
