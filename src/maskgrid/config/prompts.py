"""The config's section ``prompts``: where prompts come from, and how their masks are predicted."""

from typing import Literal

from pydantic import Field, FiniteFloat

from maskgrid.config.section import Section, Sweep

Use = Literal["box", "mask", "center_point", "box_and_point", "box_and_mask", "mask_and_point"]


class PromptConfig(Section):
    """The parameters of ``SAM2ImagePredictor`` and its ``predict``, with their names and defaults."""

    source: str = Field(
        pattern=r"^demo$|\.(json|csv|parquet|jsonl)$",
        description="a COCO .json, a table with one row per object (.csv, .parquet, .jsonl), or demo: its ground truth",
    )
    use: Use = Field(
        "box",
        description="for a COCO file: prompt with its box, mask (the segmentation), center_point (of the box), "
        "box_and_point, box_and_mask or mask_and_point",
    )
    normalized: bool = Field(False, description="points and boxes are in 0..1 of the image, not in pixels")
    multimask_output: bool = Field(True, description="three masks per prompt (part, object, whole) instead of one")
    mask_threshold: FiniteFloat = Field(
        0.0, description="the logit above which a pixel belongs to the mask; higher gives smaller masks"
    )
    keep: Literal["best", "all"] = Field(
        "best", description="which masks of a prompt to keep: the one with the best predicted IoU, or all"
    )
    max_hole_area: FiniteFloat = Field(
        0.0, ge=0.0, description="fill holes up to this area, in pixels of the decoder's logits (256 x 256)"
    )
    max_sprinkle_area: FiniteFloat = Field(
        0.0, ge=0.0, description="remove islands up to this area, in pixels of the decoder's logits"
    )
    refine_rounds: int = Field(
        0, ge=0, le=20, description="extra decoder steps, each with the best mask so far as an additional prompt"
    )
    prompts_per_batch: int = Field(
        1,
        ge=1,
        description="prompts per call of the decoder; 1 gives predict's result bit for bit, more is faster and may "
        "differ in the last bits",
    )
    sweep: Sweep | None = Field(
        None,
        description="settings to compare, written like the top-level sweep; keys: multimask_output, refine_rounds, "
        "mask_threshold, max_hole_area and max_sprinkle_area",
    )
