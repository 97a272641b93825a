"""How masklets are measured, and what accuracies are made from. The workflow imports this, so no heavy imports here."""

from typing import Any

from maskgrid.config.tracking import TrackingConfig
from maskgrid.io.fingerprint import fingerprint
from maskgrid.io.tables import read_origin
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan


def how_measured(config: TrackingConfig) -> dict[str, Any]:
    """How masklets are measured: the values that the config gives, or that follow from prompts."""
    has_prompts = config.prompts is not None
    skips = has_prompts if config.skip_first_and_last is None else config.skip_first_and_last
    return {
        "match_truth_by": config.match_truth_by or ("ids" if has_prompts else "masks"),
        "skip_first_and_last": skips,
    }


def evaluation_origin(plan: Plan, name: str) -> Origin:
    """What a run's accuracy is made from.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or truncated.
    """
    layout, config = plan.layout.tracked, plan.tracking
    content = {
        "masklets": read_origin(layout.masklets(name))["fingerprint"],
        "truth": read_origin(layout.ground_truth("masks"))["fingerprint"],
        **how_measured(config),
    }
    return {**content, "fingerprint": fingerprint(content)}
