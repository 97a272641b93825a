"""Small videos of all kinds, good and bad."""

import numpy as np
import PIL.Image

from maskgrid.dataset.demo import draw_clip
from maskgrid.dataset.demo.clips import encode_clip

SIZE_HW = (48, 64)


def drawn(seed=0, n_frames=5, size_hw=SIZE_HW):
    return draw_clip(seed, n_frames, size_hw)


def write_frames(folder, frames, suffix=".png"):
    folder.mkdir(parents=True)
    for number, pixels in enumerate(frames):
        PIL.Image.fromarray(pixels).save(folder / f"{number}{suffix}")


def write_videos(folder):
    """Write two good videos of the same clip, and six bad ones; return the clip."""
    clip = drawn()
    folder.mkdir()
    write_frames(folder / "sub" / "frames", clip.frames)
    video = encode_clip(clip)
    (folder / "good.mkv").write_bytes(video)
    long = encode_clip(drawn(n_frames=20))
    (folder / "cut.mkv").write_bytes(long[: len(long) // 2])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.mp4").write_text("no video")
    write_frames(folder / "changes", [*clip.frames[:2], clip.frames[2][:40]])
    write_frames(folder / "broken", clip.frames[:2])
    (folder / "broken" / "2.png").write_bytes((folder / "broken" / "1.png").read_bytes()[:200])
    (folder / "short.mkv").write_bytes(encode_clip(drawn(n_frames=1)))
    return clip


STATUSES = {
    "broken": "bad_frame",
    "changes": "size_changes",
    "cut.mkv": "truncated",
    "empty.mp4": "empty",
    "good.mkv": "ok",
    "short.mkv": "no_frames",  # if start is 1
    "sub/frames": "ok",
    "text.mp4": "not_a_video",
}


def with_points(mask):
    """The middle pixel of a mask as a list with one point, x then y."""
    rows, columns = np.nonzero(mask)
    middle = len(rows) // 2
    return [[float(columns[middle]), float(rows[middle])]]
