"""The config's key ``exports``: further forms of the results, some with options."""

from typing import Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    FiniteFloat,
    SerializerFunctionWrapHandler,
    Tag,
    model_serializer,
    model_validator,
)

from maskgrid.config.section import Fraction, Section

Order = Literal["smallest_first", "best_score_first", "largest_first"]
Pictures = Literal["link", "copy"]
Shapes = Literal["polygon", "mask"]


class NoOptions(Section):
    """A form without options."""


class _Outlines(Section):
    tolerance_px: FiniteFloat = Field(
        0.0, ge=0.0, description="drop corners while the outline moves by less than this; 0 keeps all"
    )


class PolygonsOptions(_Outlines):
    """COCO without run-length codes."""


class _Painted(Section):
    order: Order = Field(
        "smallest_first",
        description="which mask gets a pixel that several have: smallest_first, best_score_first (predicted IoU) or "
        "largest_first",
    )


class LabelsOptions(_Painted):
    """A picture an image; each pixel has the number of one mask, or 0."""


class PanopticOptions(_Painted):
    """COCO's panoptic form, from the same pictures."""


class YoloOptions(_Outlines):
    """Ultralytics segmentation."""

    val_fraction: Fraction = Field(
        0.0,
        description="put about this share of the images into val.txt, by a hash of their names; 0: all images into "
        "both lists",
    )
    pictures: Pictures = Field("link", description="link the pictures into the export, or copy them")


class GeojsonOptions(_Outlines):
    """GeoJSON polygons with holes."""

    coordinates: Literal["pixels", "map"] = Field(
        "pixels",
        exclude_if=lambda coordinates: coordinates == "pixels",  # so that notes without it stay as they were
        description="pixels: of the picture; map: those of the GeoTIFF, in its own reference system",
    )
    files: Literal["per_image", "one"] = Field("per_image", description="a file an image, or one for all")
    y_axis: Literal["down", "up"] = Field(
        "down",
        description="down: y as in the picture (QuPath, GeoPandas); up: -y, as QGIS places a picture without "
        "georeference",
    )


class GeopackageOptions(_Outlines):
    """GeoTIFFs' masks on the map, as a GeoPackage."""

    files: Literal["per_image", "one"] = Field("one", description="a file an image, or one for all")


class LabelmeOptions(_Outlines):
    """LabelMe, X-AnyLabeling and AnyLabeling."""

    shapes: Shapes = Field("polygon", description="polygon: an outline a part; mask: the exact pixels (LabelMe alone)")
    pictures: Pictures = Field("link", description="link the pictures beside the files, or copy them")


class LabelStudioOptions(_Outlines):
    """Label Studio's predictions."""

    shapes: Shapes = Field("polygon", description="polygon: an outline a part; mask: exact pixels, for the brush")
    image_prefix: str = Field(
        "/data/local-files/?d=", description="what Label Studio puts before an image's name to find the picture"
    )


class WebdatasetOptions(Section):
    """Pictures and masks side by side, in tar archives."""

    images_per_file: int = Field(1000, ge=1, description="images in an archive")


class MasksParquetOptions(Section):
    """Pictures and masks as a table."""

    images_per_file: int = Field(1000, ge=1, description="images in a file")


Options = (
    NoOptions
    | PolygonsOptions
    | LabelsOptions
    | PanopticOptions
    | YoloOptions
    | GeojsonOptions
    | GeopackageOptions
    | LabelmeOptions
    | LabelStudioOptions
    | WebdatasetOptions
    | MasksParquetOptions
)
Form = Literal[
    "card",
    "sa1b",
    "polygons",
    "labels",
    "panoptic",
    "yolo",
    "geojson",
    "geopackage",
    "labelme",
    "label_studio",
    "cutouts",
    "webdataset",
    "masks_parquet",
]


class FormWithOptions(Section):
    """One form with its options: ``{labels: {order: largest_first}}``."""

    polygons: PolygonsOptions | None = None
    labels: LabelsOptions | None = None
    panoptic: PanopticOptions | None = None
    yolo: YoloOptions | None = None
    geojson: GeojsonOptions | None = None
    geopackage: GeopackageOptions | None = None
    labelme: LabelmeOptions | None = None
    label_studio: LabelStudioOptions | None = None
    webdataset: WebdatasetOptions | None = None
    masks_parquet: MasksParquetOptions | None = None

    @model_validator(mode="after")
    def _one_form(self) -> "FormWithOptions":
        if len(self.chosen()) != 1:
            raise ValueError("an export with options is one form and its options: {labels: {order: largest_first}}")
        return self

    @model_serializer(mode="wrap")
    def _as_written(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return {name: options for name, options in dump(self).items() if options is not None}

    def chosen(self) -> dict[str, Options]:
        """The options by the form's name."""
        return {name: options for name in type(self).model_fields if (options := getattr(self, name)) is not None}


def _kind_of_export(value: Any) -> str:  # noqa: ANN401
    return "options" if isinstance(value, dict | FormWithOptions) else "form"


Export = Annotated[
    Annotated[Form, Tag("form")] | Annotated[FormWithOptions, Tag("options")], Discriminator(_kind_of_export)
]

# Forms of single settings, and those of prompted masks.
NOT_OF_SETTINGS = frozenset({"card"})
NOT_OF_PROMPTS = frozenset({"card", "sa1b"})

# By form; those without a model of their own have no options.
OPTIONS: dict[str, type[Options]] = {
    "card": NoOptions,
    "sa1b": NoOptions,
    "polygons": PolygonsOptions,
    "labels": LabelsOptions,
    "panoptic": PanopticOptions,
    "yolo": YoloOptions,
    "geojson": GeojsonOptions,
    "geopackage": GeopackageOptions,
    "labelme": LabelmeOptions,
    "label_studio": LabelStudioOptions,
    "cutouts": NoOptions,
    "webdataset": WebdatasetOptions,
    "masks_parquet": MasksParquetOptions,
}


# Forms that are folders; the others are files.
FOLDER_FORMS = tuple(form for form in OPTIONS if form not in ("card", "sa1b", "polygons"))


def options_by_form(exports: tuple[Form | FormWithOptions, ...]) -> dict[str, Options]:
    """The options of each form that the config lists, in its order.

    Raises:
        ValueError: a form is listed twice, with different options.
    """
    found: dict[str, Options] = {}
    for export in exports:
        for form, options in ({export: OPTIONS[export]()} if isinstance(export, str) else export.chosen()).items():
            if found.setdefault(form, options) != options:
                raise ValueError(f"{form} is listed twice, with different options; keep one")
    return found
