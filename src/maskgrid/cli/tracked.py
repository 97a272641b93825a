"""Commands of the tracking job: videos in, masklets out."""

from maskgrid.cli.command import Command, option

_RUN = option("--run", dest="name", required=True, help="the video's name, as in tracked/jobs.parquet")

COMMANDS = (
    Command(
        "videos",
        "list the videos, check each and the prompts, and say which jobs there are",
        "tracked.videos:write_videos",
    ),
    Command(
        "track",
        "follow the objects of a video",
        "tracked.track:track_job",
        (_RUN, option("--group", default="0000", help="the group of objects (default: 0000, the first)")),
        runs_network=True,
    ),
    Command("masklets", "put the groups of a video together", "tracked.masklets:join_masklets", (_RUN,)),
    Command(
        "track-export",
        "write the masklets of a video in another form",
        "tracked.export:export_run",
        (_RUN, option("--form", required=True, help="sa_v, png, palette or overlay")),
    ),
    Command("track-merge", "write statistics of all videos, YouTube-VIS, and a page", "tracked.merge:merge_tracked"),
)
