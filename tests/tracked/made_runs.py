"""Runs with masks that were drawn, not tracked: for tests of pictures and pages."""

from maskgrid.dataset.sources.listing import SourceItem
from maskgrid.io.tables import write_batches
from maskgrid.masks import rle
from maskgrid.tracked.masklets import RowMaker, Run, masklets_table, object_tables
from maskgrid.tracked.parameters import Reading
from maskgrid.tracked.records import TrackedMask
from maskgrid.tracked.tables import MASKLETS
from maskgrid.tracked.videos.index import index_videos


def made_run(video, masks, folder, start=0, stride=1):
    """A run of a video (a path) with masks (T, N, H, W) of the frames that are read, and how they are read."""
    reading = Reading(start, None, stride, 10**8)
    (found,) = index_videos([SourceItem(video.name, video)], reading, [])
    numbers = reading.numbers(found.n_frames)
    frames = [
        (position, [tracked(position, number, mask) for number, mask in enumerate(of_frame, start=1)])
        for position, of_frame in enumerate(masks)
    ]
    path = folder / "masklets.parquet"
    table = masklets_table(frames, RowMaker(found, [], numbers))
    write_batches(path, MASKLETS, object_tables(table), {"fingerprint": "f" * 64})
    return Run(found.video_name, "baseline", found, numbers, path, {"fingerprint": "f" * 64}), reading


def tracked(position, number, mask):
    return TrackedMask(position, number, rle.encode(mask), int(mask.sum()), 2.0, mask.shape)
