"""The config's section ``filters``: what sam2 has no parameter for, applied to the masks that its own steps leave."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, FiniteFloat, model_validator

from maskgrid.config.section import Fraction, Section

# Keys that say how another filter works: without it they change nothing.
_DEPENDS_ON = {"containment_keeps": "max_containment_frac", "min_region_frac": "region"}


class FilterFields(Section):
    """Filters after sam2's last step, in the order in which they are applied, each checked on its own.

    The descriptions are also column metadata of the statistics tables.
    """

    min_area_px: int = Field(0, ge=0, description="drop masks of fewer pixels than this; 0 is off")
    max_area_px: Annotated[int, Field(ge=0)] | None = Field(
        None, description="drop masks of more pixels than this; null is off"
    )
    min_area_frac: Fraction = Field(
        0.0, description="drop masks that cover less than this share of the image; 0 is off"
    )
    max_area_frac: Fraction = Field(
        1.0, description="drop masks that cover more than this share of the image, such as backgrounds; 1 is off"
    )
    border: Annotated[int, Field(ge=0)] | None = Field(
        None,
        description="drop masks with at most this many pixels between them and the image's border: 0 drops those that "
        "touch it; null keeps all",
    )
    min_fill_frac: Fraction = Field(
        0.0, description="drop masks that fill less than this share of their box, such as rings and frames; 0 is off"
    )
    max_aspect_ratio: Annotated[FiniteFloat, Field(ge=1.0)] | None = Field(
        None, description="drop masks whose box is longer than this many times its short side; null is off"
    )
    region: Annotated[str, Field(min_length=1)] | None = Field(
        None,
        description="a folder with a mask picture for each image (a/1.png for the image a/1.jpg; pixels above 0 are "
        "the region), or a COCO .json, whose objects are the region; drop masks outside it; null is off",
    )
    min_region_frac: Fraction | None = Field(
        None,
        description="a mask is in the region if at least this share of it is; null: if the point that prompted it is",
    )
    mask_nms_thresh: Fraction = Field(
        1.0,
        description="of two masks whose IoU, pixel by pixel, is above this the one with the lower predicted IoU is "
        "dropped; 1 is off",
    )
    max_containment_frac: Fraction = Field(
        1.0,
        description="of two masks one is dropped if more than this share of the smaller lies in the other; 1 is off",
    )
    containment_keeps: Literal["larger", "smaller"] = Field(
        "larger", description="which of the two stays: the larger (wholes) or the smaller (parts)"
    )
    max_masks: Annotated[int, Field(ge=0)] | None = Field(
        None, description="keep only this many masks of an image, highest predicted IoU first; null is off"
    )


class FilterConfig(FilterFields):
    """A full assignment of the filters; rejects limits that no mask can meet."""

    @model_validator(mode="after")
    def _limits_fit(self) -> "FilterConfig":
        if self.max_area_px is not None and self.min_area_px > self.max_area_px:
            raise ValueError(f"min_area_px: {self.min_area_px} is above max_area_px: {self.max_area_px}")
        if self.min_area_frac > self.max_area_frac:
            raise ValueError(f"min_area_frac: {self.min_area_frac:g} is above max_area_frac: {self.max_area_frac:g}")
        return self


FILTERS: tuple[str, ...] = tuple(FilterFields.model_fields)
NO_FILTERS = FilterConfig()
_OFF: Mapping[str, Any] = NO_FILTERS.model_dump()


def filters_on(filters: FilterConfig) -> dict[str, Any]:
    """The filters that are on, as plain values in canonical form: numbers that count pixels or masks as integers.

    Keys that only say how another filter works are left out if that one is off.
    """
    values = {name: value for name, value in filters.model_dump().items() if not is_off(filters, name)}
    whole = ("min_area_px", "max_area_px", "border", "max_masks")
    return {
        name: float(value) if isinstance(value, int) and name not in whole else value for name, value in values.items()
    }


def is_off(filters: FilterConfig, name: str) -> bool:
    """Return whether a filter does nothing at these values."""
    on = _DEPENDS_ON.get(name)
    return getattr(filters, name) == _OFF[name] or (on is not None and is_off(filters, on))
