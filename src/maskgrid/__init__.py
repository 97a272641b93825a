"""maskgrid: SAM 2's masks for images and videos, and what every threshold does to them.

This is all that other programs may rely on. Everything else in the package is private by convention: it may change
without notice.

- ``load_model``: a checkpoint as sam2's own model. ``MaskGenerator``: automatic masks of images, and replays of them.
  ``Prompter``: masks from points, boxes and masks.
- ``show`` draws masks over their image, ``write_coco`` writes those of many images to a file.
- ``load_tracker``: a checkpoint as sam2's video predictor. ``track``: objects through a video, with their
  ``FramePrompt`` and ``TrackOptions``. ``show_video``: a tracked video as a film.
- ``keep_freed_memory``: faster on a CPU with glibc.
- ``UserError``: what all of these raise for something that you can mend.

Names are imported when they are first used: the command line and the workflow must not wait for torch.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from maskgrid.automatic.mask_generator import MaskGenerator
    from maskgrid.automatic.notebook import show, write_coco
    from maskgrid.io.errors import UserError
    from maskgrid.network.allocator import keep_freed_memory
    from maskgrid.network.model import load_model
    from maskgrid.prompted.prompter import Prompter
    from maskgrid.tracked.exports.film import show_video
    from maskgrid.tracked.options import TrackOptions
    from maskgrid.tracked.propagation.tracker import load_tracker, track
    from maskgrid.tracked.records import FramePrompt

__all__ = [
    "FramePrompt",
    "MaskGenerator",
    "Prompter",
    "TrackOptions",
    "UserError",
    "keep_freed_memory",
    "load_model",
    "load_tracker",
    "show",
    "show_video",
    "track",
    "write_coco",
]

_HOME = {
    "FramePrompt": "maskgrid.tracked.records",
    "MaskGenerator": "maskgrid.automatic.mask_generator",
    "Prompter": "maskgrid.prompted.prompter",
    "TrackOptions": "maskgrid.tracked.options",
    "UserError": "maskgrid.io.errors",
    "keep_freed_memory": "maskgrid.network.allocator",
    "load_model": "maskgrid.network.model",
    "load_tracker": "maskgrid.tracked.propagation.tracker",
    "show": "maskgrid.automatic.notebook",
    "show_video": "maskgrid.tracked.exports.film",
    "track": "maskgrid.tracked.propagation.tracker",
    "write_coco": "maskgrid.automatic.notebook",
}


def __getattr__(name: str) -> object:
    if name not in _HOME:
        raise AttributeError(f"module 'maskgrid' has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return [*globals(), *_HOME]
