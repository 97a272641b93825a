"""The part of an output's origin that all three jobs share."""

from typing import Any

from maskgrid.config.models import ModelConfig
from maskgrid.network.checkpoints import Checkpoint

Origin = dict[str, Any]


def network_origin(model: ModelConfig, checkpoint: Checkpoint) -> Origin:
    """What the config says about the network, without what may differ between machines, such as the device."""
    return {
        **({"config": checkpoint.config_content} if checkpoint.config_content else {}),
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": checkpoint.sha256,
        "dtype": model.dtype,
        **({"deterministic": True} if model.deterministic else {}),
        "apply_postprocessing": model.apply_postprocessing,
    }
