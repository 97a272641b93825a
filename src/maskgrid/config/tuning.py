"""The config's section ``tune``: the search for the best setting between and beyond those of the sweep."""

from typing import Annotated, Literal

from pydantic import Field, FiniteFloat, model_validator

from maskgrid.config.section import MOST_SETTINGS, Items, Section

_Count = Annotated[FiniteFloat, Field(ge=0.0)]


class TuneConfig(Section):
    """What is best, and how long to look for it."""

    goal: Literal["f1", "recall", "panoptic", "masks", "coverage", "steady"] | None = Field(
        None,
        description="against ground truth: f1 (at IoU 0.5), recall (AR@1000) or panoptic (panoptic quality, each pixel "
        "in one mask); without: masks or coverage (nearest to target) or steady (the count that changes least); null: "
        "f1 with ground truth, else steady",
    )
    target: _Count | None = Field(None, description="for goal masks: masks per image; for coverage: a share, 0 to 1")
    min_masks: _Count | None = Field(None, description="only settings with at least this many masks per image")
    max_masks: _Count | None = Field(None, description="only settings with at most this many masks per image")
    vary: Annotated[Items[str], Field(min_length=1)] | None = Field(
        None,
        description="what to search: thresholds (all that matter), filters, or some by name; null: thresholds; the "
        "sweep's other values are tried as well",
    )
    settings: int = Field(
        2000, ge=1, le=MOST_SETTINGS, description="settings to try; the sweep's own are tried in any case"
    )
    folds: int = Field(
        5, ge=2, description="parts of the images; each is judged at the setting that was found on the others"
    )
    images: Annotated[int, Field(ge=2)] | None = Field(
        200, description="use at most this many images, always the same ones; null for all"
    )
    seed: int = Field(0, ge=0, description="the same seed finds the same setting")
    minutes: Annotated[FiniteFloat, Field(gt=0.0)] | None = Field(
        None, description="stop searching after this time; what is found then depends on the machine"
    )

    @model_validator(mode="after")
    def _target_fits(self) -> "TuneConfig":
        if (self.target is not None) != (self.goal in ("masks", "coverage")):
            raise ValueError("target belongs to the goals masks and coverage: give both or neither")
        if self.goal == "coverage" and (self.target or 0.0) > 1.0:
            raise ValueError(f"target: a coverage is a share of the image from 0 to 1, not {self.target:g}")
        if self.min_masks is not None and self.max_masks is not None and self.min_masks > self.max_masks:
            raise ValueError(f"min_masks: {self.min_masks:g} is above max_masks: {self.max_masks:g}")
        return self
