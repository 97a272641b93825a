"""The config's section ``prompts``: objects that are given, and how their masks are predicted."""

from typing import Literal

from pydantic import Field, FiniteFloat

from maskgrid.config.section import Section, Sweep

Use = Literal["box", "mask", "center_point", "box_and_point", "box_and_mask", "mask_and_point"]


class PromptConfig(Section):
    """The parameters of ``SAM2ImagePredictor`` and its ``predict``, by their names and with their defaults."""

    source: str = Field(
        pattern=r"^demo$|\.(json|csv|parquet|jsonl)$",
        description="a COCO .json, a table with a row an object (.csv, .parquet, .jsonl), or demo: its ground truth",
    )
    use: Use = Field(
        "box",
        description="of a COCO file: box, mask (the segmentation), center_point (of the box), box_and_point, "
        "box_and_mask or mask_and_point",
    )
    normalized: bool = Field(False, description="points and boxes are given in 0..1 of the image, not in pixels")
    multimask_output: bool = Field(True, description="three masks a prompt (part, object, whole) instead of one")
    mask_threshold: FiniteFloat = Field(
        0.0, description="the logit above which a pixel belongs to the mask; higher gives smaller masks"
    )
    keep: Literal["best", "all"] = Field(
        "best", description="of the masks of a prompt: the one with the best predicted IoU, or all"
    )
    max_hole_area: FiniteFloat = Field(
        0.0, ge=0.0, description="holes up to this area are filled, in pixels of the decoder's logits (256 x 256)"
    )
    max_sprinkle_area: FiniteFloat = Field(
        0.0, ge=0.0, description="islands up to this area are removed, in pixels of the decoder's logits"
    )
    refine_rounds: int = Field(
        0, ge=0, le=20, description="further steps, each with the best mask so far as a prompt beside the given ones"
    )
    prompts_per_batch: int = Field(
        1,
        ge=1,
        description="prompts that the decoder takes at once; 1 is bit for bit what predict gives for each alone, "
        "more is faster and can differ in last bits",
    )
    sweep: Sweep | None = Field(
        None,
        description="settings to compare, written as the config's own sweep, of multimask_output, refine_rounds, "
        "mask_threshold, max_hole_area and max_sprinkle_area",
    )
