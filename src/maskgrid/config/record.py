"""The config's section ``record``: what to record beyond the sweep's needs."""

from typing import Annotated, Any

from pydantic import Field, FiniteFloat, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from maskgrid.config.section import Fraction, Items, Section


class RecordConfig(Section):
    """Candidates to record beyond the sweep's needs, so that it can widen later without a new pass of the network.

    ``record: all`` is short for both thresholds at 0: everything that the network proposes.
    """

    pred_iou_thresh: Fraction | None = Field(None, description="record candidates down to this predicted IoU")
    stability_score_thresh: Fraction | None = Field(None, description="record candidates down to this stability score")
    mask_thresholds: Items[FiniteFloat] = Field(default=(), description="further mask_threshold levels")
    stability_score_offsets: Items[Annotated[FiniteFloat, Field(ge=0.0)]] = Field(
        default=(), description="further stability_score_offset levels"
    )

    @model_validator(mode="before")
    @classmethod
    def _everything(cls, value: Any) -> Any:  # noqa: ANN401
        return {"pred_iou_thresh": 0.0, "stability_score_thresh": 0.0} if value == "all" else value

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """Allow ``all`` in the schema for editors."""
        return {"anyOf": [{"const": "all"}, handler(core)]}
