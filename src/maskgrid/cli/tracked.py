"""The stages of videos."""

import argparse

from maskgrid.cli.stages import Commands, add_stage, load_plan


def add_videos(commands: Commands) -> None:
    """Add these subcommands."""
    add_stage(commands, "videos", _videos, "list the videos, check each and the prompts, and say which jobs there are")
    track = add_stage(commands, "track", _track, "follow the objects of a video")
    track.add_argument("--run", dest="name", required=True, help="the video's name, as in tracked/jobs.parquet")
    track.add_argument("--group", default="0000", help="the group of objects (default: 0000, the first)")
    masklets = add_stage(commands, "masklets", _masklets, "put the groups of a video together")
    masklets.add_argument("--run", dest="name", required=True, help="the video's name")
    export = add_stage(commands, "track-export", _track_export, "write the masklets of a video in another form")
    export.add_argument("--run", dest="name", required=True, help="the video's name")
    export.add_argument("--form", required=True, help="sa_v, png, palette or overlay")
    add_stage(commands, "track-merge", _track_merge, "write statistics of all videos, YouTube-VIS, and a page")


def _videos(arguments: argparse.Namespace) -> None:
    from maskgrid.tracked.videos import write_videos

    write_videos(load_plan(arguments))


def _track(arguments: argparse.Namespace) -> None:
    from maskgrid.network.allocator import keep_freed_memory
    from maskgrid.tracked.track import track_job

    keep_freed_memory()
    track_job(load_plan(arguments), arguments.name, arguments.group)


def _masklets(arguments: argparse.Namespace) -> None:
    from maskgrid.tracked.masklets import join_masklets

    join_masklets(load_plan(arguments), arguments.name)


def _track_export(arguments: argparse.Namespace) -> None:
    from maskgrid.tracked.export import export_run

    export_run(load_plan(arguments), arguments.name, arguments.form)


def _track_merge(arguments: argparse.Namespace) -> None:
    from maskgrid.tracked.merge import merge_tracked

    print(merge_tracked(load_plan(arguments)))
