"""The index of videos: a row for every video of the source, including bad ones.

``tracked/videos.parquet`` depends only on the videos, not on their location. ``tracked/files.parquet`` has the same
rows plus the videos' paths and scans, so that jobs need not decode a video to count its frames.
"""

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pyarrow as pa

from maskgrid.dataset.extras import extra_named, extras_before, extras_entry
from maskgrid.dataset.sources.listing import SourceItem
from maskgrid.io.errors import UserError
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_table, write_table
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.records import Frames
from maskgrid.tracked.tables import FILES, VIDEOS
from maskgrid.tracked.videos.frames import FrameFolder, VideoFile
from maskgrid.tracked.videos.scan import BadVideoError, VideoScan, VideoStatus, scan_video
from maskgrid.tracked.videos.sources import frame_files, video_state

# Few, because each may hold frames of max_pixels in memory.
_MAX_WORKERS = 4
_LONGEST_NAME = 120
# Changes when scans of the same file give other results: then rows of an earlier index are not reused.
_SCAN_VERSION = 2
# These depend only on the file. Others may change although the file does not, so they are not reused.
_LASTING = frozenset({VideoStatus.OK, VideoStatus.EMPTY, VideoStatus.NOT_A_VIDEO, VideoStatus.TRUNCATED})


@dataclass(frozen=True, slots=True)
class Video:
    """A row of ``FILES``: a video, good or bad."""

    video_key: str
    video_name: str
    path: bytes
    state: str
    kind: str
    status: str = str(VideoStatus.OK)
    message: str | None = None
    width: int | None = None
    height: int | None = None
    n_frames: int | None = None
    frame_rate_hz: float | None = None
    size_bytes: int | None = None
    sha256: str | None = None
    rotation_deg: int | None = None
    pts: list[int] | None = None
    is_key: list[bool] | None = None
    checksums: list[int] | None = None
    complete: bool | None = None

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of a good video's frames."""
        return int(self.height or 0), int(self.width or 0)

    @property
    def location(self) -> Path:
        """The video's path on this machine."""
        return Path(os.fsdecode(self.path))


def index_videos(items: Sequence[SourceItem], reading: Reading, previous: Sequence[Video]) -> list[Video]:
    """Examine every video: hash it, and decode it as far as it will be read.

    Args:
        items: the videos, sorted by key.
        reading: which of their frames are read.
        previous: rows of an earlier index; videos with an unchanged state are not read again.
    """
    known = {video.video_key: video for video in previous}
    with ThreadPoolExecutor(min(_MAX_WORKERS, os.cpu_count() or 1)) as pool:
        found = pool.map(lambda item: _look(item, reading, known.get(item.key)), items)
        return list(shown(found, len(items), "videos", "videos"))


def write_index(folder: Path, videos: Sequence[Video]) -> str:
    """Write ``videos.parquet`` and ``files.parquet``; return their fingerprint.

    The origin of ``files.parquet`` says what optional packages frames lack (:mod:`maskgrid.dataset.extras`).
    """
    rows = [asdict(video) for video in videos]
    verdicts = [[row[name] for name in ("video_key", "sha256", "status", "n_frames")] for row in rows]
    fingerprint = hashlib.sha256(orjson.dumps(verdicts)).hexdigest()
    table = pa.Table.from_pylist(rows, FILES)
    write_table(folder / "videos.parquet", table.select(VIDEOS.names), {"fingerprint": fingerprint})
    files = folder / "files.parquet"
    lacked = [extra for extra in (extra_named(video.message) for video in videos) if extra is not None]
    extras = extras_entry(lacked, extras_before(files))
    write_table(files, table, {"fingerprint": fingerprint, **extras}, rows_in_group=1)
    return fingerprint


def read_videos(path: Path, key: str | None = None) -> list[Video]:
    """The rows of ``files.parquet``, sorted by key, or only the row of ``key``.

    Raises:
        UserError: the table is missing, truncated or of another version.
    """
    filters = None if key is None else [("video_key", "=", key)]
    return [Video(**row) for row in read_table(path, filters=filters, schema=FILES).to_pylist()]


def read_previous(path: Path) -> list[Video]:
    """The rows of an earlier index; empty if there is none or it is unusable."""
    try:
        return read_videos(path)
    except UserError:
        return []


def open_frames(video: Video, reading: Reading) -> Frames:
    """Open the frames of a good video.

    Raises:
        BadVideoError: the video is gone or has changed.
    """
    path, reads = video.location, asdict(reading)
    if video.kind == "frames":
        return FrameFolder(path, **reads)
    if not path.is_file():
        raise BadVideoError(VideoStatus.MISSING, "there is no such file any more")
    return VideoFile(path, **reads, scan=_scan_of(video))


def video_name(key: str) -> str:
    """A file name for a video's key: the key with ``~`` for ``/`` if that is safe, else a similar name and a hash."""
    name = re.sub(r"[^A-Za-z0-9._~-]", "_", key.replace("~", "_").replace("/", "~")).lstrip(".-")[:_LONGEST_NAME]
    if name == key.replace("/", "~") and "~" not in key:
        return name
    return f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def _look(item: SourceItem, reading: Reading, known: Video | None) -> Video:
    kind = "frames" if item.path.is_dir() else "file"
    state = f"{video_state(item)} {reading.start} {reading.stop} {reading.max_pixels}"
    state += f" {_SCAN_VERSION}" if kind == "file" else ""
    if known is not None and known.state == state and known.status in _LASTING:
        return replace(known, path=os.fsencode(item.path))
    video = Video(item.key, video_name(item.key), os.fsencode(item.path), state, kind)
    if known is not None and _holds(known, video, reading):
        return replace(known, path=video.path, state=state)
    try:
        return _examined(video, reading)
    except BadVideoError as bad:
        return replace(video, status=str(bad.status), message=bad.message, **_hashed(video))


def _holds(known: Video, video: Video, reading: Reading) -> bool:
    """Return whether a row of an earlier index is right for a file of another time: same content, read as far."""
    earlier = known.state.partition(" ")[2]
    is_read_so = earlier == f"{reading.start} {reading.stop} {reading.max_pixels}" and known.kind == video.kind
    return (
        is_read_so
        and known.status in _LASTING
        and known.sha256 is not None
        and _hashed(video).get("sha256") == known.sha256
    )


def _examined(video: Video, reading: Reading) -> Video:
    if video.kind == "frames":
        frames = FrameFolder(video.location, 0, reading.stop, 1, reading.max_pixels)
        for frame in range(len(frames)):
            frames.read(frame)
        found = replace(video, n_frames=len(frames), **_sized(frames.size_hw))
    else:
        scan = scan_video(video.location, reading.stop, reading.max_pixels)
        found = replace(video, n_frames=len(scan), **_sized(scan.size_hw), **_scan_values(scan))
    if not reading.numbers(int(found.n_frames or 0)):
        message = f"of its {found.n_frames} frames none is in the range from {reading.start} to {reading.stop}"
        raise BadVideoError(VideoStatus.NO_FRAMES, message)
    return replace(found, **_hashed(video))


def _sized(size_hw: tuple[int, int]) -> dict[str, Any]:
    return {"height": size_hw[0], "width": size_hw[1]}


def _scan_values(scan: VideoScan) -> dict[str, Any]:
    names = ("rotation_deg", "frame_rate_hz", "complete")
    lists = {name: getattr(scan, name).tolist() for name in ("pts", "is_key", "checksums")}
    return {**{name: getattr(scan, name) for name in names}, **lists}


def _scan_of(video: Video) -> VideoScan:
    return VideoScan(
        size_hw=video.size_hw,
        rotation_deg=int(video.rotation_deg or 0),
        frame_rate_hz=video.frame_rate_hz,
        pts=np.array(video.pts, np.int64),
        is_key=np.array(video.is_key, np.bool_),
        checksums=np.array(video.checksums, np.uint32),
        complete=bool(video.complete),
    )


def is_same_content(video: Video, item: SourceItem) -> bool:
    """Return whether a source's video still has the content of its row."""
    state = video_state(item)
    if video.state.split(" ")[0] == state and video.location == item.path:
        return True
    return _hashed(replace(video, path=os.fsencode(item.path))).get("sha256") == video.sha256


def _hashed(video: Video) -> dict[str, Any]:
    """Size and hash of a video's file or files; empty if they cannot be read."""
    digest, size = hashlib.sha256(), 0
    try:
        for path in _parts(video):
            with path.open("rb") as stream:
                content = hashlib.file_digest(stream, "sha256")
            size += path.stat().st_size
            if video.kind == "file":
                return {"sha256": content.hexdigest(), "size_bytes": size}
            digest.update(os.fsencode(path.name) + b"\0" + content.digest())
    except OSError:
        return {}
    return {"sha256": digest.hexdigest(), "size_bytes": size}


def _parts(video: Video) -> Iterator[Path]:
    if video.kind == "file":
        if video.location.is_file():  # opening a named pipe would block for ever
            yield video.location
        return
    yield from (path for _, path in frame_files(video.location))
