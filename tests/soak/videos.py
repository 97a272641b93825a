"""Damaged video files and folders of frames: each is a row with a status, and a good row's frames can be read."""

import logging
import random
import shutil
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import PIL.Image
from made_files import moving, write
from made_videos import drawn

from corpus import samples, scene
from maskgrid.dataset.demo.clips import encode_clip
from maskgrid.dataset.sources.listing import SourceItem
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.videos.index import Video, index_videos, open_frames, read_videos, write_index
from maskgrid.tracked.videos.scan import BadVideoError, VideoStatus
from maskgrid.tracked.videos.sources import list_videos
from soak.damage import damaged_bytes
from soak.trials import Kind, Trial, WrongError

SIZE_HW = (48, 64)
CODECS = (
    ("libx264", "mp4", "yuv420p"),
    ("libx264", "mkv", "yuv420p"),
    ("libx264", "mov", "yuv420p"),
    ("libx264", "ts", "yuv420p"),
    ("libx264", "avi", "yuv420p"),
    ("libx265", "mp4", "yuv420p"),
    ("libvpx", "webm", "yuv420p"),
    ("libvpx-vp9", "webm", "yuv420p"),
    ("libsvtav1", "mp4", "yuv420p"),
    ("mpeg4", "avi", "yuv420p"),
    ("mpeg2video", "mpg", "yuv420p"),
    ("mjpeg", "mov", "yuvj420p"),
    ("ffv1", "mkv", "yuv420p"),
    ("rawvideo", "avi", "bgr24"),
)


def prepare(folder: Path) -> Trial:
    kept = [(suffix, content) for suffix, content in originals(folder)]
    pictures = list(samples().items())
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("error")
    clips = folder / "clips"

    def trial(chance: random.Random) -> Iterator[str]:
        shutil.rmtree(clips, ignore_errors=True)
        clips.mkdir()
        if chance.random() < 0.3:
            damaged_frames(clips / "frames", pictures, chance)
        else:
            suffix, content = chance.choice(kept)
            damaged = damaged_bytes(content, [other for _, other in kept], chance)
            (clips / f"clip.{suffix}").write_bytes(damaged)
        start = chance.choice((0, 0, 0, 1, 3))
        reading = Reading(start, chance.choice((None, None, start + 2)), chance.choice((1, 2)), 1_000_000)
        listed = [path for path in clips.rglob("*") if path.suffix and not path.is_dir()]
        (item,) = list_videos("clips", folder) if listed else [SourceItem("none", clips / "none.mp4")]
        yield from judged(item, reading, folder)

    return trial


def originals(folder: Path) -> Iterator[tuple[str, bytes]]:
    """Small good videos of the usual codecs and containers, as far as FFmpeg writes them here."""
    frames = moving(12, SIZE_HW)
    for codec, suffix, pix_fmt in CODECS:
        path = folder / f"{codec}.{suffix}"
        try:
            write(path, frames, codec, pix_fmt)
        except (OSError, ValueError):  # not built in
            continue
        yield suffix, path.read_bytes()
    yield "mkv", encode_clip(drawn())


def damaged_frames(folder: Path, pictures: Sequence[tuple[str, bytes]], chance: random.Random) -> None:
    """A folder of frames: good ones, damaged ones, of other sizes or formats, links that lead nowhere, folders."""
    folder.mkdir()
    for number in range(chance.randint(1, 6)):
        path = folder / f"{number}.png"
        PIL.Image.fromarray(scene(seed=number)).save(path)
        match chance.randrange(12):
            case 0 | 1:
                path.write_bytes(damaged_bytes(path.read_bytes(), [content for _, content in pictures], chance))
            case 2:
                PIL.Image.fromarray(scene(30, 60)).save(path)
            case 3:
                name, content = chance.choice(list(pictures))
                path.with_suffix(Path(name).suffix).write_bytes(content)
            case 4:
                path.unlink()
                path.symlink_to(chance.choice(("nowhere.png", "0.png", ".", "/dev/null")))
            case 5:
                path.rename(folder / chance.choice(("frame 10.png", "frame-2.png", "é.png", "10.PNG")))


def judged(item: SourceItem, reading: Reading, folder: Path) -> Iterator[str]:
    (video,) = index_videos([item], reading, [])
    if video.status not in set(VideoStatus):
        raise WrongError(f"an unknown status: {video.status}")
    if (video.message is None) != (video.status == "ok") or "\n" in str(video.message):
        raise WrongError(f"{video.status}: {video.message!r}")
    write_index(folder / "tracked", [video])
    if read_videos(folder / "tracked" / "files.parquet") != [video]:
        raise WrongError("the row is not what was written")
    (again,) = index_videos([item], reading, [])
    # Where a decoder does not report damage, it leaves parts of a frame as memory was.
    if replace(again, checksums=None) != replace(video, checksums=None):
        raise WrongError(f"a second look gives another row:\n{video}\n{again}")
    yield video.status
    if video.status == "ok":
        yield read_all(video, reading)


def read_all(video: Video, reading: Reading) -> str:
    """Read the frames of a good video in another order, as tracking backward does."""
    frames = open_frames(video, reading)
    if len(frames) != len(reading.numbers(int(video.n_frames or 0))):
        raise WrongError(f"{len(frames)} frames, and the row has {video.n_frames}")
    for number in [*reversed(range(len(frames))), *range(len(frames))]:
        try:
            shape = frames.read(number).shape
        except BadVideoError as bad:  # the row of its masks says so
            return f"ok, and then {bad.status}"
        if shape != (*video.size_hw, 3):
            raise WrongError(f"frame {number} has the shape {shape}, and the row the size {video.size_hw}")
    return "ok, and read"


KIND = Kind("videos", prepare, 5_000, 50, 120.0, 8.0, "damaged videos and folders of frames")
