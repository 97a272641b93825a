"""For notebooks and other programs: a drop-in ``SAM2AutomaticMaskGenerator`` that can also replay."""

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import ValidationError
from sam2.modeling.sam2_base import SAM2Base

from maskgrid.automatic.candidates import Candidates, xywh
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.replay.curves import CURVES, CountCurve, count_curve
from maskgrid.automatic.replay.filters import replay
from maskgrid.automatic.replay.image_replay import ImageReplay
from maskgrid.automatic.replay.selection import Selection
from maskgrid.config.filters import FILTERS, FilterConfig
from maskgrid.config.messages import first_error, unknown_name
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.record import RecordConfig
from maskgrid.config.settings import make_setting
from maskgrid.dataset.pixels.images import ImageLike, rgb_pixels
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.network.decoder import Mode
from maskgrid.plan.passes import passes_of, recording_of, widen

OutputMode = Literal["coco_rle", "uncompressed_rle", "binary_mask"]
# The name of a region that is an array.
_REGION = "region"

log = logging.getLogger(__name__)


class MaskGenerator:
    """Automatic masks, with the parameters and results of ``SAM2AutomaticMaskGenerator``.

    Example:
        >>> generator = MaskGenerator(model, pred_iou_thresh=0.7)
        >>> masks = generator.generate(image)
        >>> candidates = generator.candidates(image, pred_iou_thresh=0.5)
        >>> fewer = generator.replay(candidates, pred_iou_thresh=0.9, box_nms_thresh=0.5)
    """

    def __init__(  # noqa: D417 - config/README.md explains them
        self,
        model: SAM2Base,
        points_per_side: int | None = 32,
        points_per_batch: int = 64,
        pred_iou_thresh: float = 0.8,
        stability_score_thresh: float = 0.95,
        stability_score_offset: float = 1.0,
        mask_threshold: float = 0.0,
        box_nms_thresh: float = 0.7,
        crop_n_layers: int = 0,
        crop_nms_thresh: float = 0.7,
        crop_overlap_ratio: float = 512 / 1500,
        crop_n_points_downscale_factor: int = 1,
        point_grids: Sequence[ArrayLike] | None = None,
        min_mask_region_area: int = 0,
        output_mode: OutputMode = "binary_mask",
        use_m2m: bool = False,
        multimask_output: bool = True,
        *,
        mode: Mode = "exact",
        **filters: Any,  # noqa: ANN401
    ) -> None:
        """Set up the generator, with sam2's parameters, their order and defaults; ``config/README.md`` explains them.

        Args:
            model: sam2's model, as from :func:`maskgrid.load_model`.
            mode: ``exact`` for sam2's masks bit for bit; ``fast`` for less work, with masks that agree.
            **filters: the config's ``filters``, such as ``min_area_px=100``; ``region`` is a boolean array (H, W); and
                ``tile_size_px`` with ``tile_overlap_px``. Any other name is an error, though sam2 silently accepts it.

        Raises:
            UserError: an unknown parameter or mode, or an impossible value.
        """
        given = {name: value for name, value in locals().items() if name in GeneratorConfig.model_fields}
        if mode not in get_args(Mode):
            raise UserError(f"mode: {mode!r} is neither {' nor '.join(map(repr, get_args(Mode)))}")
        self._filters = {name: filters.pop(name) for name in FILTERS if name in filters}
        self.parameters = _generator_config({**given, **filters})
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

    def generate_each(self, images: Iterable[ImageLike]) -> Iterator[tuple[ImageLike, list[dict[str, Any]] | None]]:
        """The masks of many images, one after the other: yields each image as given, and its masks.

        An image that cannot be read has None for its masks, and a warning in the log says why.
        """
        for image in images:
            try:
                pixels = rgb_pixels(image)
            except UserError as error:
                log.warning("%s", error)
                yield image, None
            else:
                yield image, self.generate(pixels)

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
            pred_iou_thresh: keep candidates down to this predicted IoU; by default the generator's own. It widens what
                :meth:`replay` can answer; a replay without the parameter still uses the generator's own.
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
        generator, filters, in_image = self._changed(thresholds)
        return mask_records(replay(candidates, generator, filters, in_image), generator)

    def count_curve(
        self,
        candidates: Sequence[Candidates],
        name: str,
        **thresholds: Any,  # noqa: ANN401
    ) -> CountCurve:
        """The number of masks at every value of one threshold: a step function, exact at any value.

        Args:
            candidates: from :meth:`candidates`.
            name: a threshold of the generator, or a numeric filter.
            **thresholds: other parameters and filters to change; the candidates must have been recorded for them.

        Returns:
            The curve, with ``starts``, ``counts`` and ``at(value)``. It holds from ``low`` on, the least one recorded.

        Raises:
            UserError: as :meth:`replay`, or a parameter without a curve.
        """
        if name not in CURVES:
            raise UserError(
                f"count_curve: {name!r} has no curve{unknown_name(name, CURVES)}; there are {', '.join(CURVES)}"
            )
        generator, filters, in_image = self._changed(thresholds)
        there = {part.pass_.name: part for part in candidates}
        replay(candidates, generator, filters, in_image)  # its checks
        setting = make_setting("", generator, filters=filters)
        return count_curve(ImageReplay.of(there, setting, 0.0, in_image), setting, name)

    def _changed(self, thresholds: Mapping[str, Any]) -> tuple[GeneratorConfig, FilterConfig, dict[str, bytes]]:
        """The generator's parameters and filters with some changed, and the region as a code."""
        changed = {name: value for name, value in thresholds.items() if name in FILTERS}
        others = {name: value for name, value in thresholds.items() if name not in FILTERS}
        generator = _generator_config({**self.parameters.model_dump(), **others})
        return generator, *_filters_of({**self._filters, **changed})


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
