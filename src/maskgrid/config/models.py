"""The models of ``config.yaml``, with limits and defaults.

They are the only definition of the config: ``scripts/config_docs.py`` generates the JSON schema in ``workflow/schemas``
and the tables of ``config/README.md`` from them. The statistics tables take their column descriptions from
``GeneratorFields``.
"""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, field_validator, model_validator

from maskgrid.config.categories import CategoriesConfig
from maskgrid.config.dataset import DatasetConfig
from maskgrid.config.exports import (
    NOT_OF_PROMPTS,
    NOT_OF_SETTINGS,
    Export,
    Form,
    FormWithOptions,
    Options,
    options_by_form,
)
from maskgrid.config.filters import NO_FILTERS, FilterConfig, filters_on
from maskgrid.config.prompts import PromptConfig
from maskgrid.config.record import RecordConfig
from maskgrid.config.section import Fraction, Items, Section, Sweep
from maskgrid.config.tiles import TileFields
from maskgrid.config.tracking import TrackingConfig
from maskgrid.config.tuning import TuneConfig

Point = Annotated[Items[Fraction], Field(min_length=2, max_length=2)]
PointGrid = Annotated[Items[Point], Field(min_length=1)]

BASELINE = "baseline"
DEMO = "demo"


class ModelConfig(Section):
    """The network, and how it runs."""

    checkpoint: str = Field(
        "demo",
        min_length=1,
        description="demo, an official name (sam2.1_hiera_tiny|small|base_plus|large, sam2_hiera_...) or a .pt file; "
        "needed for any source but demo: the demo network is a toy",
    )
    config: str | None = Field(None, description="for a .pt file: a config name of the sam2 package, or a YAML file")
    allow_unverified: bool = Field(False, description="accept a .pt file with an unknown sha256")
    device: str = Field(
        "auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$",
        description="auto, cpu, cuda, cuda:1, ... or mps; auto and cuda take a free one of several CUDA devices",
    )
    dtype: Literal["float32", "bfloat16", "float16"] = Field(
        "float32",
        description="the network's arithmetic; bfloat16 and float16 run under torch.autocast, except in the decoder of "
        "mode fast",
    )
    deterministic: bool = Field(
        False,
        description="on CUDA, use only algorithms that give the same bits in every run on the same kind of GPU",
    )
    apply_postprocessing: bool = Field(
        True,
        description="as in sam2.build_sam: replace an unstable single mask by the best of three",
    )
    mode: Literal["exact", "fast"] = Field(
        "exact",
        description="for automatic masks; exact: sam2's masks bit for bit; fast: less work, masks that agree "
        "(docs/benchmarks.md)",
    )

    @property
    def arithmetic(self) -> str:
        """The dtype, and whether algorithms are deterministic."""
        return f"{self.dtype}, deterministic" if self.deterministic else self.dtype


class GeneratorFields(Section):
    """The parameters of ``SAM2AutomaticMaskGenerator``, with its names and defaults, each checked on its own.

    The descriptions are also column metadata of the statistics tables, so a new wording changes those files.
    """

    points_per_side: Annotated[int, Field(ge=1, le=1024)] | None = Field(
        32, description="points along one side of the grid of prompts; null where point_grids is given"
    )
    points_per_batch: int = Field(
        64, ge=1, description="prompts that the mask decoder takes at once: speed and memory, not masks"
    )
    pred_iou_thresh: Fraction = Field(
        0.8, description="keep masks whose predicted IoU is above this; lower gives more masks; 0 keeps all"
    )
    stability_score_thresh: Fraction = Field(
        0.95,
        description="keep masks whose stability score is at least this; lower gives more masks; 0 keeps all",
    )
    stability_score_offset: FiniteFloat = Field(
        1.0,
        ge=0.0,
        description="how far the cut-off moves, up and down, to measure stability; lower gives more masks",
    )
    mask_threshold: FiniteFloat = Field(
        0.0, description="the logit above which a pixel belongs to the mask; higher gives smaller masks"
    )
    box_nms_thresh: Fraction = Field(
        0.7,
        description="of two masks in a crop whose boxes overlap by more than this IoU the worse is dropped",
    )
    crop_n_layers: int = Field(
        0, ge=0, le=5, description="layers of crops to run besides the image; layer n has 4**n crops"
    )
    crop_nms_thresh: Fraction = Field(
        0.7, description="the same as box_nms_thresh between crops, where the smaller crop's mask wins"
    )
    crop_overlap_ratio: FiniteFloat = Field(
        512 / 1500,
        ge=0.0,
        lt=1.0,
        description="overlap of neighbouring crops, as a share of the image's short side",
    )
    crop_n_points_downscale_factor: int = Field(
        1, ge=1, description="the grid of layer n has points_per_side / factor**n points a side"
    )
    point_grids: Annotated[Items[PointGrid], Field(min_length=1)] | None = Field(
        None,
        description="explicit prompts, a list of [x, y] in 0..1 for each layer; needs points_per_side: null",
    )
    min_mask_region_area: int = Field(
        0,
        ge=0,
        description="holes and islands with fewer image pixels than this are removed, then duplicates",
    )
    output_mode: Literal["coco_rle", "uncompressed_rle", "binary_mask"] = Field(
        "coco_rle", description="the form of the masks in the annotations and in the library's records"
    )
    use_m2m: bool = Field(False, description="refine each mask by one more step of the decoder; about 4 times the work")
    multimask_output: bool = Field(True, description="three masks a prompt (part, object, whole) instead of one")


class GeneratorConfig(TileFields, GeneratorFields):
    """A full assignment of the generator's parameters; rejects combinations that would crash sam2 in mid-run."""

    @model_validator(mode="after")
    def _tiles_fit(self) -> "GeneratorConfig":
        if self.tile_px is not None and self.tile_px[1] >= self.tile_px[0]:
            raise ValueError(f"tile_overlap_px: {self.tile_px[1]} must be below tile_size_px: {self.tile_px[0]}")
        return self

    @model_validator(mode="after")
    def _grids_fit(self) -> "GeneratorConfig":
        if (self.points_per_side is None) == (self.point_grids is None):
            raise ValueError(
                "exactly one of points_per_side and point_grids must be given; set the other to null"
                if self.point_grids is not None
                else "points_per_side is null, so point_grids must be given"
            )
        if self.point_grids is not None and len(self.point_grids) <= self.crop_n_layers:
            raise ValueError(
                f"point_grids has {len(self.point_grids)} grids, but crop_n_layers: {self.crop_n_layers} "
                f"needs {self.crop_n_layers + 1} (one for the image and one per layer)"
            )
        if self.points_per_side is not None:
            deepest = max(self.crop_n_layers, int(self.tile_px is not None))  # tiles have the grid of layer 1
            last = int(self.points_per_side / self.crop_n_points_downscale_factor**deepest)
            if last < 1:
                raise ValueError(
                    f"crop_n_points_downscale_factor: {self.crop_n_points_downscale_factor} reduces "
                    f"points_per_side: {self.points_per_side} to 0 in crop layer {deepest}"
                )
        return self


class Config(Section):
    """The whole of ``config.yaml``."""

    automatic: bool | None = Field(
        None,
        exclude_if=lambda value: value is None,
        description="whether to make automatic masks of the images; null: unless the config has only prompts or only "
        "tracking, and no section that only automatic masks have",
    )

    dataset: DatasetConfig = Field(default_factory=DatasetConfig)
    model: ModelConfig = Field(default_factory=ModelConfig)
    generator: GeneratorConfig = Field(default_factory=GeneratorConfig)
    filters: FilterConfig = Field(
        NO_FILTERS,
        exclude_if=lambda filters: not filters_on(filters),  # so that files without them stay as they were
    )
    sweep: Sweep | None = Field(
        None,
        description="a block, a list of blocks (their union), or the path of a table with one row per setting",
    )
    record: RecordConfig = Field(default_factory=RecordConfig)
    baseline: str = Field(BASELINE, description="the setting to measure differences from: a name, label or id")
    annotations: Items[str] = Field(
        default=(BASELINE,),
        description="settings to export as COCO: names, labels (p16_iou0.7), ids, baseline, all",
    )
    categories: CategoriesConfig | None = Field(
        None,
        exclude_if=lambda categories: categories is None,  # so that files without it stay as they were
        description="give masks the categories of known objects that they match; null: one category, object",
    )
    exports: Items[Export] = Field(
        ("card",),
        description="further forms of the results, each a name or a name with options, as {labels: {order: "
        "largest_first}}: card (a dataset card and Croissant metadata); for the settings under annotations, sa1b (one "
        "JSON per image, in a tar archive), polygons (COCO without run-length codes), labels, panoptic, yolo, geojson, "
        "geopackage, labelme, label_studio, cutouts, webdataset, masks_parquet (docs/exports.md); for prompts, all but "
        "card, sa1b",
    )
    explorer: Literal["all", "chosen"] = Field(
        "all",
        exclude_if=lambda images: images == "all",  # so that files without it stay as they were
        description="the explorer's images: all, whose data take about as much space as the candidates, or chosen, "
        "the few inside its page",
    )
    prompts: PromptConfig | None = Field(
        None, description="also segment prompts: boxes, points or masks from a file; null for none"
    )
    tracking: TrackingConfig | None = Field(None, description="also follow objects through videos; null for none")
    tune: TuneConfig | None = Field(
        None,
        exclude_if=lambda tune: tune is None,  # so that files without it stay as they were
        description="also search for the best setting between and beyond the sweep's; null for none",
    )

    @field_validator("exports")
    @classmethod
    def _each_form_once(cls, exports: tuple[Form | FormWithOptions, ...]) -> tuple[Form | FormWithOptions, ...]:
        options_by_form(exports)
        return exports

    def options_by_form(self) -> dict[str, Options]:
        """The options of each form under ``exports``, in order."""
        return options_by_form(self.exports)

    def setting_forms(self) -> list[str]:
        """The forms under ``exports`` that each exported setting has."""
        return [form for form in self.options_by_form() if form not in NOT_OF_SETTINGS]

    def prompted_forms(self) -> list[str]:
        """The forms under ``exports`` that the masks of prompts have; none without prompts."""
        return [form for form in self.options_by_form() if form not in NOT_OF_PROMPTS] if self.prompts else []

    @property
    def is_automatic(self) -> bool:
        """Whether automatic masks are asked for, and not only prompts or videos."""
        if self.automatic is not None:
            return self.automatic
        given = self.model_fields_set
        if given & {"sweep", "filters", "record", "baseline", "annotations", "categories", "tune"}:
            return True
        if self.prompts is not None:  # exports may be of its masks alone
            return "generator" in given or ("exports" in given and bool(NOT_OF_PROMPTS & self.options_by_form().keys()))
        # Without prompts, the generator finds the objects to follow. Nobody but this job needs a dataset then.
        return self.tracking is None or bool({"dataset", "exports"} & given)

    @property
    def has_toy_network(self) -> bool:
        """Whether masks are the demo network's."""
        return self.model.checkpoint == DEMO

    def uses_toy_by_accident(self) -> bool:
        """Whether a user's own images would get the demo network because the config names none."""
        own_images = (self.is_automatic or self.prompts is not None) and self.dataset.source != DEMO
        own_videos = self.tracking is not None and self.tracking.source != DEMO
        return "checkpoint" not in self.model.model_fields_set and (own_images or own_videos)
