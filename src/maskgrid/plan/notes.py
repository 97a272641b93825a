"""What outputs are made from, as far as all three jobs say it alike."""

from typing import Any

from maskgrid.network.checkpoints import checkpoint_id, resolve_checkpoint
from maskgrid.plan.passes import PassRun
from maskgrid.plan.plan import Plan

Note = dict[str, Any]


def network_note(plan: Plan, run: PassRun) -> Note:
    """What the config says about the network of a pass; what it does not say differs between machines."""
    model = plan.config.model
    checkpoint = resolve_checkpoint(run.checkpoint, model.config, allow_unverified=model.allow_unverified)
    return {
        "checkpoint": checkpoint_id(run.checkpoint),
        "checkpoint_sha256": checkpoint.sha256,
        "pass": run.pass_.name,
        "dtype": model.dtype,
        # Below float32 mode fast once had sam2's own decoder.
        "mode": model.mode if model.dtype == "float32" or model.mode == "exact" else f"{model.mode} in {model.dtype}",
        "apply_postprocessing": model.apply_postprocessing,
    }
