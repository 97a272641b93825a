"""Prompts propagated through a video by sam2's video predictor, over frames that are read one at a time."""

from collections.abc import Iterator, Sequence

from maskgrid.video.options import TrackOptions
from maskgrid.video.predictor import VideoPredictor
from maskgrid.video.records import FramePrompt, Frames, TrackedMask


def load_tracker(
    checkpoint: str,
    config: str | None = None,
    device: str = "auto",
    dtype: str = "float32",
    apply_postprocessing: bool = True,
    vos_optimized: bool = False,
    allow_unverified: bool = False,
) -> VideoPredictor:
    """Load a checkpoint as sam2's video predictor.

    Args:
        checkpoint: ``demo``, an official name, or the path of a ``.pt`` file; as for :func:`maskgrid.load_model`.
        config: for a ``.pt`` file, the name of a config of the sam2 package or a YAML file.
        device: ``auto`` takes CUDA, then MPS, then the CPU.
        dtype: ``float32``, ``bfloat16`` or ``float16``; below float32 sam2 runs under ``torch.autocast``.
        apply_postprocessing: as in ``sam2.build_sam.build_sam2_video_predictor``, but for ``fill_hole_area``
            (see :class:`TrackOptions`).
        vos_optimized: as there: compile the network. CUDA only.
        allow_unverified: accept a ``.pt`` file whose sha256 is not that of a known checkpoint.

    Raises:
        UserError: as :func:`maskgrid.load_model`; or compilation was asked for without CUDA.
    """
    raise NotImplementedError


def track(
    tracker: VideoPredictor, frames: Frames, prompts: Sequence[FramePrompt], options: TrackOptions | None = None
) -> Iterator[tuple[int, list[TrackedMask]]]:
    """Track prompted objects through a video.

    Each frame that tracking reaches comes once, with a mask of every object, in the order in which its last pass
    reaches it: ascending for ``forward``, descending for ``backward``, and for ``both`` first the frames behind the
    start, then the start and those before it. Where several passes reach a frame the last one's masks are given, as a
    dictionary filled from ``propagate_in_video`` would hold them.

    Masks are those of the video's resolution, cut at a logit of 0. An object that is never visible has empty masks
    throughout (``area_px`` 0): a caller that reports objects tells it by that.

    Args:
        tracker: from :func:`load_tracker`.
        frames: the video. A frame that cannot be read raises its ``BadVideo`` through this iterator.
        prompts: what to track (``usable_prompts`` sorts out those that cannot be given). Objects are numbered in the
            order of their first prompt.
        options: how to track; sam2's defaults if None.

    Raises:
        BadPrompt: a prompt on a frame that is not there, or one without points, box and mask.
    """
    raise NotImplementedError
