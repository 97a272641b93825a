"""What outputs are made from, as far as all three jobs say it alike."""

from typing import Any

from maskgrid.config.models import ModelConfig
from maskgrid.network.checkpoints import Checkpoint

Origin = dict[str, Any]


def network_origin(model: ModelConfig, checkpoint: Checkpoint) -> Origin:
    """What the config says about the network; what it leaves open differs between machines."""
    return {
        "checkpoint": checkpoint.name,
        "checkpoint_sha256": checkpoint.sha256,
        "dtype": model.dtype,
        "apply_postprocessing": model.apply_postprocessing,
    }
