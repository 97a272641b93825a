"""Read prompts for videos from YouTube-VIS and COCO-video files, entry by entry, unchecked."""

from collections.abc import Iterator
from pathlib import Path

from maskgrid.config.tracking import TrackingConfig
from maskgrid.dataset.annotations.object_sources import Entry
from maskgrid.masks.coco_reading import stated_size_hw
from maskgrid.tracked.prompts.entries import KEY, VideoEntry, VideoPrompts
from maskgrid.tracked.prompts.video_documents import Track, TrackFrame, VideoDocument, read_video_document


def read_document(path: Path, config: TrackingConfig) -> VideoPrompts:
    """Read a YouTube-VIS or COCO-video file.

    Raises:
        UserError: it is neither.
        OSError: it cannot be opened.
    """
    document = read_video_document(path, KEY)
    names = document.names()
    entries = [
        entry
        for track in document.tracks
        for entry in _track_entries(document, track, names.get(track.video_id, ()), config)
    ]
    return VideoPrompts(path.parent, list(document.categories.values()), entries)


def _track_entries(
    document: VideoDocument, track: Track, names: tuple[str, ...], config: TrackingConfig
) -> Iterator[VideoEntry]:
    annotation, video = track.annotation, document.videos.get(track.video_id)
    category_id, category = document.category_of(track)
    broken = track.broken
    if video is None or not names:
        broken = f"the file has no video with the id {track.video_id}, or it has no name"
    wanted = [frame for frame in track.frames if (frame.segmentation if config.use == "mask" else frame.box)]
    if not wanted and broken is None:
        broken = f"the object has no {'segmentation' if config.use == 'mask' else 'box'} on any frame"
    # An object that is twice on its first frame is two prompts, so that the second one gets a row.
    first = [frame for frame in wanted if (frame.frame, frame.name) == (wanted[0].frame, wanted[0].name)]
    chosen = wanted if config.prompt_frames == "all" else first
    for frame in chosen or [TrackFrame(None, None, None, None, None)]:
        entry = Entry(
            image_key=names[0] if names else "",
            source_id=track.object_id,
            category_id=None if broken else category_id,
            category=None if broken else category,
            box=frame.box,
            box_form="xywh",
            box_use="box" if config.use == "box" else "",
            mask=frame.segmentation if config.use == "mask" else None,
            is_crowd=annotation.get("iscrowd") == 1,
            size_hw=frame.size_hw or stated_size_hw(video or {}),
            broken=broken,
        )
        yield VideoEntry(names or ("",), entry, frame.frame, frame.name, row=track.row, video_id=track.video_id)
