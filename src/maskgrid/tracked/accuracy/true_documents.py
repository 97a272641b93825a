"""Read true objects from YouTube-VIS and COCO-video files, and from SA-V's."""

import math
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from maskgrid.io.errors import UserError
from maskgrid.masks.coco_reading import read_json, stated_size_hw
from maskgrid.tracked.accuracy.true_masks import (
    KEY,
    BadTruthError,
    FrameNames,
    Record,
    TrueMask,
    TrueVideo,
    code_of_truth,
    empty_code,
    unreadable,
)
from maskgrid.tracked.prompts.video_documents import Track, VideoDocument, video_document
from maskgrid.tracked.videos.index import Video

# SA-V's training set is annotated on every 4th frame of its videos.
_SA_V_STRIDE = 4
# The video of annotations whose image the file does not list.
_NO_VIDEO = "None"


def document_videos(path: Path, stop: int | None) -> list[TrueVideo]:
    """The videos of a .json file.

    Raises:
        UserError: it is none of the three forms.
    """
    try:
        content = read_json(path, KEY)
    except OSError as error:
        raise UserError(f"{KEY}: {path} cannot be read: {error.strerror}") from None
    if isinstance(content, dict) and "masklet" in content:
        return [sa_v_video(path, [path], stop)]
    document = video_document(path, content, KEY)
    frames, tracks = document.frames(), dict[str, list[Track]]()
    for track in document.tracks:
        tracks.setdefault(track.video_id, []).append(track)
    found = []
    for video_id, names in document.names().items():
        if not names:
            nameless = BadTruthError("malformed", f"the video with the id {video_id} has no name")
            found.append(unreadable((f"video {video_id}",), nameless))
            continue
        listed = frames.get(video_id, [])
        read = partial(_read_tracks, document, document.videos[video_id], tracks.get(video_id, []), listed, stop)
        found.append(TrueVideo(names, read))
    for video_id in sorted(tracks.keys() - document.videos.keys()):
        words = "the file lists no image and no video of some annotations"
        if video_id != _NO_VIDEO:
            words = f"the file has no video with the id {video_id}"
        missing = BadTruthError("unknown_video", words)
        found.append(unreadable((f"video {video_id}",), missing))
    return found


def _read_tracks(
    document: VideoDocument,
    stated: Record,
    tracks: Sequence[Track],
    listed: Sequence[tuple[Any, str | None]],
    stop: int | None,
    video: Video,
) -> Iterator[TrueMask]:
    """Yield a mask for each object and each frame that the file lists, and what cannot be used."""
    names, size_hw = FrameNames(video, stop), video.size_hw
    if stated_size_hw(stated) not in (None, size_hw):
        raise BadTruthError("other_size", _other_size(stated_size_hw(stated) or (0, 0), size_hw))
    known: list[int] = []
    for frame, name in listed:
        try:
            known.append(names.number(frame, name))
        except BadTruthError as error:
            yield TrueMask.bad(error, None, None)
    for track in tracks:
        yield from _read_track(document, track, known, names, size_hw)


def _read_track(
    document: VideoDocument, track: Track, known: Sequence[int], names: FrameNames, size_hw: tuple[int, int]
) -> Iterator[TrueMask]:
    truth_id, (_, category) = _truth_id(track), document.category_of(track)
    is_void, shown = track.annotation.get("iscrowd") == 1, set[int]()
    for one in track.frames:
        number = None
        try:
            number = names.number(one.frame, one.name)
            if one.size_hw not in (None, size_hw):
                raise BadTruthError("other_size", _other_size(one.size_hw or (0, 0), size_hw))
            if not one.segmentation and not one.box:  # a mask without a pixel: the object is not there
                continue
            if not one.segmentation:
                raise BadTruthError("no_mask", "the object has a box on this frame, but no segmentation")
            counts = code_of_truth(one.segmentation, size_hw)
            yield TrueMask(None if is_void else truth_id, number, counts, category, is_void)
        except BadTruthError as error:
            yield TrueMask.bad(error, truth_id, number)
        if number is not None:
            shown.add(number)
    for number in [] if is_void else sorted({*known} - shown):
        yield TrueMask(truth_id, number, empty_code(size_hw), category)


def _truth_id(track: Track) -> str:
    """An object's id; in our own files, where ids are numbers over all videos, the id that its prompts had."""
    written = track.annotation.get("source_id")
    return written if isinstance(written, str) and "object_id" in track.annotation else track.object_id


def sa_v_video(path: Path, files: Sequence[Path], stop: int | None) -> TrueVideo:
    """The video of SA-V's files, usually one or a manual and an automatic one.

    Args:
        path: the first of the files; the video may be named like it.
        files: all of them.
        stop: where reading ends.
    """
    names = [sa_v_name(path)]
    try:
        named = _sa_v_content(path).get("video_id")
    except BadTruthError as error:
        return unreadable((path.name,), error)
    if isinstance(named, str):
        names.insert(0, named)
    return TrueVideo(tuple(names), partial(_read_sa_v, files, stop))


def sa_v_name(path: Path) -> str:
    """The video that one of SA-V's files is named by: ``sav_000001_manual.json`` belongs to ``sav_000001``."""
    return path.stem.removesuffix("_manual").removesuffix("_auto")


def _sa_v_content(path: Path) -> Record:
    try:
        content = read_json(path, KEY)
    except (OSError, UserError) as error:
        raise BadTruthError("unreadable", f"{path.name} is not valid JSON or cannot be read") from error
    if not isinstance(content, dict) or not isinstance(content.get("masklet"), list):
        raise BadTruthError("malformed", f"{path.name} is no file of SA-V: it has no list 'masklet'")
    return content


def _read_sa_v(files: Sequence[Path], stop: int | None, video: Video) -> Iterator[TrueMask]:
    names = FrameNames(video, stop)
    for path in files:
        content = _sa_v_content(path)
        ids = content.get("masklet_id")
        kinds = content.get("masklet_type")
        ids = ids if isinstance(ids, list) else []
        kinds = kinds if isinstance(kinds, list) else []
        for frame, masks in zip(_sa_v_frames(content), content["masklet"], strict=False):
            yield from _read_sa_v_frame(masks, _sa_v_ids(ids, kinds, masks, len(files) > 1), frame, names, video)


def _sa_v_ids(ids: list[Any], kinds: list[Any], masks: Any, with_kind: bool) -> list[str]:  # noqa: ANN401
    """The objects' ids; with ``manual-`` or ``auto-`` before them if a video has several files."""
    n_masks = len(masks) if isinstance(masks, list) else 0
    found = [str(ids[place] if place < len(ids) else place) for place in range(n_masks)]
    if not with_kind:
        return found
    return [f"{kinds[place] if place < len(kinds) else ''}-{one}" for place, one in enumerate(found)]


def _sa_v_frames(content: Record) -> Sequence[Any]:
    """The video's frame of each annotated one: as our own files say, else every one, or SA-V's every 4th."""
    n_annotated, stated = len(content["masklet"]), content.get("frame_numbers")
    if isinstance(stated, list) and len(stated) == n_annotated:
        return stated
    n_frames = content.get("video_frame_count")
    is_whole = isinstance(n_frames, int | float) and n_frames == n_annotated
    if not is_whole and isinstance(n_frames, int | float) and n_annotated > math.ceil(n_frames / _SA_V_STRIDE) + 1:
        error = f"{n_annotated} annotated frames are neither all of {n_frames:g} nor every 4th of them"
        raise BadTruthError("malformed", error)
    return range(0, n_annotated * (1 if is_whole else _SA_V_STRIDE), 1 if is_whole else _SA_V_STRIDE)


def _read_sa_v_frame(masks: Any, ids: list[str], frame: Any, names: FrameNames, video: Video) -> Iterator[TrueMask]:  # noqa: ANN401
    number = None
    try:
        number = names.number(frame)
        if not isinstance(masks, list):
            raise BadTruthError("malformed", "a frame of 'masklet' is no list of masks")
    except BadTruthError as error:
        yield TrueMask.bad(error, None, number)
        return
    for truth_id, mask in zip(ids, masks, strict=True):
        try:
            yield TrueMask(truth_id, number, code_of_truth(mask, video.size_hw))
        except BadTruthError as error:
            yield TrueMask.bad(error, truth_id, number)


def _other_size(stated_hw: tuple[int, int], size_hw: tuple[int, int]) -> str:
    return f"made for frames of {stated_hw[1]} x {stated_hw[0]} pixels, but the video has {size_hw[1]} x {size_hw[0]}"
