"""The config's section ``categories``: names for automatic masks, from objects that are known."""

from typing import Literal

from pydantic import ConfigDict, Field

from maskgrid.config.section import Fraction, Section


class CategoriesConfig(Section):
    """Where the names of masks come from, and when a mask takes one."""

    model_config = ConfigDict(populate_by_name=True, serialize_by_alias=True)

    source: Literal["prompts", "ground_truth"] = Field(
        alias="from",
        description="the objects of prompts.source, or of dataset.ground_truth; objects without a mask count with "
        "their box",
    )
    min_iou: Fraction = Field(
        0.5, description="a mask takes the category of the object with the highest IoU, if it is at least this"
    )
    min_containment: Fraction | None = Field(
        None,
        description="if no object has that IoU: of the object that the largest share of the mask lies in, if that is "
        "at least this; so parts take the name of their whole; null for never",
    )
