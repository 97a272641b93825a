"""Commands of the tracking job: videos in, masklets out."""

from maskgrid.cli.command import Command, option

_RUN = option("--run", dest="name", required=True, help="the video's name, as in tracked/jobs.parquet")

COMMANDS = (
    Command(
        "videos", "list and check the videos and the prompts, and plan the jobs", "tracked.videos.stage:write_videos"
    ),
    Command(
        "track",
        "follow a group of objects through a video",
        "tracked.track:track_job",
        (_RUN, option("--group", default="0000", help="the group of objects (default: 0000, the first)")),
        runs_network=True,
    ),
    Command("masklets", "join the groups of a video", "tracked.masklets:join_masklets", (_RUN,)),
    Command(
        "track-export",
        "write a video's masklets in another form",
        "tracked.exports.stage:export_run",
        (_RUN, option("--form", required=True, help="sa_v, png, palette, mots, overlay, overlay_mp4 or player")),
    ),
    Command(
        "track-truth",
        "read and check the true objects that masklets are measured against",
        "tracked.accuracy.truth:write_true_objects",
    ),
    Command(
        "track-evaluate",
        "measure a video's masklets against its true objects",
        "tracked.accuracy.evaluate:evaluate_run",
        (_RUN,),
    ),
    Command(
        "track-merge",
        "write statistics and accuracies of all videos, YouTube-VIS, COCO and a page",
        "tracked.merge:merge_tracked",
    ),
)
