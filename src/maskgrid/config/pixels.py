"""The config's section ``dataset.pixels``: how the values in a file become the 8-bit picture that the network sees."""

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, FiniteFloat, Tag, model_validator

from maskgrid.config.section import Items, Section

Band = Annotated[int, Field(ge=1)] | Annotated[str, Field(min_length=1)]


def _kind_of_bands(value: Any) -> str:  # noqa: ANN401
    return "list" if isinstance(value, list | tuple) else "value"


def _kind_of_stretch(value: Any) -> str:  # noqa: ANN401
    return "range" if isinstance(value, dict | StretchRange) else "value"


class StretchRange(Section):
    """The value that is shown as black, and the one that is shown as white."""

    low: FiniteFloat | int
    high: FiniteFloat | int

    @model_validator(mode="after")
    def _ascending(self) -> "StretchRange":
        if self.low >= self.high:
            raise ValueError(f"low: {self.low} is not below high: {self.high}")
        return self


class PixelsConfig(Section):
    """How a file becomes a picture; the default reads 8-bit images as they are."""

    bands: (
        Annotated[
            Annotated[Items[Band], Field(min_length=3, max_length=3), Tag("list")] | Annotated[Band, Tag("value")],
            Discriminator(_kind_of_bands),
        ]
        | None
    ) = Field(
        None,
        description="the bands (channels) shown as red, green and blue, by number from 1 or by name, or one shown as "
        "grey; null: the file's own colours, or its only band",
    )
    stretch: Annotated[
        Annotated[StretchRange, Tag("range")]
        | Annotated[Literal["auto", "none", "minmax", "percentile"], Tag("value")],
        Discriminator(_kind_of_stretch),
    ] = Field(
        "auto",
        description="which values become black and white; auto: 8 bits as they are, deeper data by percentile; none: "
        "the range of the type (floats: 0 to 1); minmax; percentile: the 1st and the 99th; or {low: 0, high: 4095}",
    )
    stretch_over: Literal["image", "dataset"] = Field(
        "image",
        description="image: each image by its own values; dataset: all by the lowest low and the highest high of any",
    )
    nodata: FiniteFloat | int | Literal["auto"] | None = Field(
        "auto",
        description="a value that means no data: left out of the stretch, and black, like NaN; auto: the one that a "
        "GeoTIFF states, if the image is stretched; null for none",
    )
    pages: Literal["first", "all"] = Field(
        "first",
        description="all: each page of a TIFF and each frame of an animation is an image of its own, with the key "
        "stack.tif#page=3",
    )


PLAIN = PixelsConfig()
