"""The stage ``track-truth``: read and check the true objects that masklets are measured against."""

import logging
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa

from maskgrid.dataset.annotations.mask_pictures import contents_digest, states_digest
from maskgrid.dataset.demo.clips import DEMO, GROUND_TRUTH
from maskgrid.io.errors import UserError
from maskgrid.io.fingerprint import fingerprint, sha256_of
from maskgrid.io.listings import image_key, one_name
from maskgrid.io.progress import shown
from maskgrid.io.tables import read_origin, write_batches, write_table
from maskgrid.io.wording import named_reasons
from maskgrid.masks import rle
from maskgrid.plan.notes import Origin
from maskgrid.plan.plan import Plan
from maskgrid.plan.remote import is_url
from maskgrid.tracked.accuracy.tables import TRUE_MASKS, TRUE_VIDEOS
from maskgrid.tracked.accuracy.true_documents import document_videos
from maskgrid.tracked.accuracy.true_folders import folder_files, folder_videos
from maskgrid.tracked.accuracy.true_masks import KEY, NOT_READ, BadTruthError, TrueMask, TrueVideo, with_each_id_once
from maskgrid.tracked.prompts.checks import known_names
from maskgrid.tracked.videos.index import Video, read_videos
from maskgrid.tracked.videos.stage import demo_folder

log = logging.getLogger(__name__)

Row = dict[str, Any]
# The status of the source's videos that the ground truth does not have.
NO_TRUTH = "no_truth"
_ROWS_IN_GROUP = 8192


def write_true_objects(plan: Plan) -> None:
    """Write ``tracked/ground_truth/videos.parquet`` and ``masks.parquet``.

    Raises:
        UserError: the config names no ground truth, it cannot be read, or none of it can be used.
    """
    path = truth_path(plan)
    videos = read_videos(plan.layout.tracked.files)
    known = names_in_source(videos)
    found = true_videos(plan, path, known)
    reader = _Reader({video.video_key: video for video in videos}, known)
    tables = chain.from_iterable(reader.masks(video) for video in shown(found, len(found), KEY, "videos"))
    origin = true_objects_origin(plan)
    layout = plan.layout.tracked
    write_batches(
        layout.ground_truth("masks"), TRUE_MASKS, chain(tables, [TRUE_MASKS.empty_table()]), origin, _ROWS_IN_GROUP
    )
    rows = reader.with_others()
    write_table(layout.ground_truth("videos"), pa.Table.from_pylist(rows, TRUE_VIDEOS), origin)
    n_ok = sum(row["status"] == "ok" for row in rows)
    n_objects, n_unusable = (sum(row[name] for row in rows) for name in ("n_objects", "n_unusable"))
    log.info("%s: %d objects in %d videos; %d annotations cannot be used", path, n_objects, n_ok, n_unusable)
    if not n_ok:
        bad = [row for row in rows if row["status"] != NO_TRUTH]
        reasons = [(row["video_key"], f"{row['status']}: {row['message']}") for row in bad]
        raise UserError(
            f"{KEY}: none of {path} can be used. Videos are named by their path below tracking.source, for instance "
            f"{videos[0].video_key!r}{named_reasons(reasons)}"
        )


def truth_path(plan: Plan) -> Path:
    """Where the ground truth is.

    Raises:
        UserError: the config names none, or there is no such file or folder.
    """
    source = plan.tracking.ground_truth
    if source is None:
        raise UserError(f"{KEY}: the config names none")
    path = demo_folder(plan) / GROUND_TRUTH if source == DEMO else plan.located(source)
    if not path.exists():
        raise UserError(f"{KEY}: there is no file or folder {path}")
    return path


def true_videos(plan: Plan, path: Path, known: Mapping[str, str]) -> list[TrueVideo]:
    """The videos of the ground truth.

    Raises:
        UserError: it cannot be read.
    """
    stop = plan.tracking.stop
    if path.is_dir():
        return folder_videos(path, known.keys(), stop)
    if path.suffix.lower() != ".json":
        raise UserError(f"{KEY}: {path} is neither a folder nor a .json file")
    return document_videos(path, stop)


def names_in_source(videos: Sequence[Video]) -> dict[str, str]:
    """The source's videos by the names that they may have: of files made from them, by key, without its suffix.

    Each in both forms of Unicode, where only one video has it: macOS decomposes names.
    """
    names = {video.video_name: video.video_key for video in videos} | known_names(videos)
    spelled = one_name(names).values()
    return {unicodedata.normalize(form, name): names[name] for name in spelled for form in ("NFC", "NFD")} | names


def truth_state(plan: Plan) -> str:
    """Hash of the ground truth, for params: of a file's content; of names, sizes and times of a folder's files."""
    source = plan.tracking.ground_truth
    if source is None or source == DEMO or is_url(source):
        return "not read"
    path = plan.located(source)
    if path.is_file():
        return sha256_of(path)
    try:
        return states_digest(_names_below(path), path)
    except UserError:  # reported by the stage that reads it
        return "unreadable"


def true_objects_origin(plan: Plan) -> Origin:
    """The origin of the tables of true objects.

    Raises:
        UserError: the ground truth or the table of videos cannot be read.
    """
    path = truth_path(plan)
    content = contents_digest(_names_below(path), path) if path.is_dir() else sha256_of(path)
    videos = read_origin(plan.layout.tracked.videos)["fingerprint"]
    origin = {"annotations_sha256": content, "videos": videos, "stop": plan.tracking.stop}
    return {**origin, "fingerprint": fingerprint(origin)}


def _names_below(folder: Path) -> list[str]:
    if not folder.is_dir():
        raise UserError(f"{KEY}: there is no file or folder {folder}")
    return [path.relative_to(folder).as_posix() for path in folder_files(folder)]


class _Reader:
    """Reads the true objects of one video after the other, and keeps a row on each."""

    def __init__(self, videos: Mapping[str, Video], known: Mapping[str, str]) -> None:
        """Begin with no video.

        Args:
            videos: the source's videos by key.
            known: their keys by all their names.
        """
        self._videos, self._known = videos, known
        self._rows: dict[str, Row] = {}

    def masks(self, found: TrueVideo) -> Iterator[pa.Table]:
        """Yield the rows of ``TRUE_MASKS`` of a video, in parts."""
        keys = (self._known.get(image_key(name)) for name in found.names)
        key = next((key for key in keys if key is not None), None)
        masks: list[TrueMask] = []
        status, message = "ok", None
        try:
            read = found.read(self._video(found, key))
            masks = [*with_each_id_once([mask for mask in read if mask.status != NOT_READ])]
        except BadTruthError as error:
            status, message = error.status, error.message
        self._add(key or found.names[0], status, message, masks)
        for start in range(0, len(masks) if key is not None else 0, _ROWS_IN_GROUP):
            part = masks[start : start + _ROWS_IN_GROUP]
            rows = [_mask_row(str(key), mask, self._videos[str(key)].size_hw) for mask in part]
            yield pa.Table.from_pylist(rows, TRUE_MASKS)

    def with_others(self) -> list[Row]:
        """The rows of ``TRUE_VIDEOS``, by key; also of the source's videos without true objects."""
        for key in self._videos.keys() - self._rows.keys():
            self._add(key, NO_TRUTH, "the ground truth has no such video", [])
        return [self._rows[key] for key in sorted(self._rows)]

    def _video(self, found: TrueVideo, key: str | None) -> Video:
        if found.error is not None:
            raise found.error
        if key is None:
            raise BadTruthError("unknown_video", f"the source has no video {found.names[0]!r}")
        if key in self._rows:
            raise BadTruthError("duplicate", f"the ground truth has the video {key!r} twice")
        video = self._videos[key]
        if video.status != "ok":
            raise BadTruthError("bad_video", f"the video cannot be used: {video.status}")
        return video

    def _add(self, key: str, status: str, message: str | None, masks: Sequence[TrueMask]) -> None:
        good = [mask for mask in masks if mask.status == "ok" and not mask.is_void]
        if status == "ok" and not good:
            status, message = "no_objects", "no annotation of the video can be used"
        name = key if key not in self._rows else f"{key} (again)"
        self._rows[name] = {
            "video_key": name,
            "status": status,
            "message": message,
            "n_objects": len({mask.truth_id for mask in good}),
            "n_frames": len({mask.frame for mask in good}),
            "n_unusable": sum(mask.status != "ok" for mask in masks),
        }


def _mask_row(key: str, mask: TrueMask, size_hw: tuple[int, int]) -> Row:
    return {
        "video_key": key,
        "truth_id": mask.truth_id,
        "category": mask.category,
        "frame": mask.frame,
        "is_void": mask.is_void,
        "status": mask.status,
        "message": mask.message,
        "area_px": None if mask.counts is None else rle.area_px(mask.counts, size_hw),
        "counts": mask.counts,
    }
