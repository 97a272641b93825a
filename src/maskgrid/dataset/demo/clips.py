"""The demo's videos: drawn clips with the exact mask of every object in every frame."""

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import orjson

from maskgrid.dataset.demo import Clip, draw_clip
from maskgrid.io.files import write_bytes
from maskgrid.masks import rle
from maskgrid.masks.pictures import png

DEMO = "demo"
GROUND_TRUTH = "ground_truth.json"

# Below 1,000,000: clips that the demo model was not trained on.
_SEEDS = {"clip-1": 900_001, "clip-2": 900_002, "clip-3.mkv": 900_004}
_N_FRAMES = 16
_SIZE_HW = (256, 256)
_RATE_HZ = 8


def write_demo_clips(folder: Path) -> None:
    """Write the clips, two as folders of frames and one as a video file, and their ground truth as YouTube-VIS.

    Args:
        folder: the output folder. If it already has the ground truth, which is written last, nothing is written.
    """
    clips = {name: draw_clip(seed, _N_FRAMES, _SIZE_HW) for name, seed in _SEEDS.items()}
    truth = orjson.dumps(clips_as_youtube_vis(clips), option=orjson.OPT_INDENT_2)
    path = folder / GROUND_TRUTH
    if path.is_file() and path.read_bytes() == truth:
        return
    for name, clip in clips.items():
        if Path(name).suffix:
            write_bytes(folder / name, encode_clip(clip))
            continue
        for number, frame in enumerate(clip.frames):
            write_bytes(folder / name / f"{number:05d}.png", png(frame))
    write_bytes(path, truth)


def encode_clip(clip: Clip, rate_hz: int = _RATE_HZ) -> bytes:
    """Encode a clip as a lossless Matroska file (FFV1)."""
    stream = io.BytesIO()
    height, width = clip.frames.shape[1:3]
    with av.open(stream, "w", format="matroska", options={"fflags": "+bitexact"}) as container:
        track = container.add_stream("ffv1", rate=rate_hz, options={"flags": "+bitexact"})
        track.width, track.height, track.pix_fmt = width, height, "bgr0"
        track.time_base = Fraction(1, rate_hz)
        for pixels in clip.frames:
            for packet in track.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24").reformat(format="bgr0")):
                container.mux(packet)
        for packet in track.encode():
            container.mux(packet)
    return stream.getvalue()


def clips_as_youtube_vis(clips: dict[str, Clip]) -> dict[str, Any]:
    """Convert the masks of clips to a YouTube-VIS dictionary: one annotation per object, null where it is not visible.

    Args:
        clips: by video name.
    """
    videos: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for video_id, (name, clip) in enumerate(clips.items(), start=1):
        n_frames, height, width = clip.frames.shape[:3]
        videos.append({"id": video_id, "name": name, "height": height, "width": width, "length": n_frames})
        for masks in clip.masks.transpose(1, 0, 2, 3):
            counts = [rle.encode(np.ascontiguousarray(mask)) if mask.any() else None for mask in masks]
            size_hw = (height, width)
            annotations.append(
                {
                    "id": len(annotations) + 1,
                    "video_id": video_id,
                    "category_id": 1,
                    "segmentations": [code and rle.compressed(code, size_hw) for code in counts],
                    "bboxes": [code and rle.true_box_xywh(code, size_hw) for code in counts],
                    "areas": [code and rle.area_px(code, size_hw) for code in counts],
                    "iscrowd": 0,
                }
            )
    return {"videos": videos, "annotations": annotations, "categories": [{"id": 1, "name": "object"}]}
