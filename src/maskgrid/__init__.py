"""maskgrid: SAM 2's automatic masks for image datasets, and what every threshold does to them.

Names are imported when they are first used: the command line and the workflow must not wait for torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskgrid.automatic.mask_generator import MaskGenerator
    from maskgrid.network.allocator import keep_freed_memory
    from maskgrid.network.model import load_model

__all__ = ["MaskGenerator", "keep_freed_memory", "load_model"]

_HOME = {
    "MaskGenerator": "maskgrid.automatic.mask_generator",
    "keep_freed_memory": "maskgrid.network.allocator",
    "load_model": "maskgrid.network.model",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'maskgrid' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)
