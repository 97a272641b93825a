"""The command ``maskgrid``: one subcommand a stage, as the workflow calls them and people can by hand."""

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import orjson

from maskgrid.errors import MachineError, UserError, disk_failure

if TYPE_CHECKING:
    from maskgrid.plan import Plan

Command = Callable[[argparse.Namespace], None]


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        The exit code: 0, 1 where the machine failed, 2 for what the user can mend, 130 when interrupted.
    """
    arguments = make_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s", stream=sys.stderr)
    logging.getLogger("maskgrid").setLevel(logging.INFO)
    run: Command = arguments.run
    try:
        run(arguments)
    except UserError as error:
        print(f"maskgrid: {error}", file=sys.stderr)
        return 2
    except MachineError as error:
        print(f"maskgrid: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        failure = disk_failure(error)
        if failure is None:
            raise
        print(f"maskgrid: {failure}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("maskgrid: interrupted; what is finished stays, run again to go on", file=sys.stderr)
        return 130
    return 0


def make_parser() -> argparse.ArgumentParser:
    """The parser of all subcommands."""
    parser = argparse.ArgumentParser(
        prog="maskgrid", description="A folder of images into a mask dataset with SAM 2, at every threshold."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _stage(commands, "plan", _plan, "say what a config asks for, what is there and what is missing")
    _stage(commands, "index", _index, "list the images, check each, and assign them to shards")
    generate = _stage(commands, "generate", _generate, "run one pass of the network over one shard")
    generate.add_argument("--checkpoint", required=True, help="the checkpoint's folder name, as in maskgrid plan")
    generate.add_argument("--pass", dest="pass_name", required=True, help="the pass's name, as in maskgrid plan")
    generate.add_argument("--shard", required=True, help="the shard's name")
    generate.add_argument("--recording", help="what to record, as JSON (default: what the sweep needs)")
    replay = _stage(commands, "replay", _replay, "answer all settings for one shard")
    replay.add_argument("--shard", required=True, help="the shard's name")
    merge = _stage(commands, "merge", _merge, "write one setting's masks as COCO")
    merge.add_argument("--setting", required=True, help="a setting's name or id")
    _stage(commands, "statistics", _statistics, "write the tables of mask counts against settings")
    _stage(commands, "truth", _truth, "read the annotated objects that masks are measured against")
    evaluate = _stage(commands, "evaluate", _evaluate, "measure every setting's masks of one shard against them")
    evaluate.add_argument("--shard", required=True, help="the shard's name")
    _stage(commands, "accuracy", _accuracy, "write the tables of accuracy against settings")
    export = _stage(commands, "export", _export, "write a setting's masks in another form, from its COCO file")
    export.add_argument("--setting", required=True, help="a setting's name or id")
    export.add_argument("--form", required=True, choices=["sa1b", "polygons"], help="SA-1B's JSON, or COCO's polygons")
    export.add_argument("--tolerance", type=float, default=0.0, metavar="PX", help="of polygons: fewer corners; 0: all")
    _stage(commands, "card", _card, "write the dataset card and Croissant metadata")
    _stage(commands, "report", _report, "write the report")
    _stage(commands, "accept", _accept, "fail if too many images could not be used")
    _stage(commands, "verify", _verify, "name every file of a results folder that is not what it should be")
    _stage(commands, "summary", _summary, "print the table of settings")
    recommend = _stage(commands, "recommend", _recommend, "name the setting for a goal, with reasons and config lines")
    goals = recommend.add_mutually_exclusive_group(required=True)
    goals.add_argument("--masks", type=float, metavar="N", help="so many masks an image, on average")
    goals.add_argument("--coverage", type=float, metavar="SHARE", help="so much of an image in a mask, from 0 to 1")
    goals.add_argument("--steady", action="store_true", help="the count changes least when a threshold moves a step")
    goals.add_argument("--f1", action="store_true", help="the best F1 at IoU 0.5 against annotated objects")
    goals.add_argument("--recall", action="store_true", help="the best average recall against annotated objects")
    recommend.add_argument("--min-masks", type=float, metavar="N", help="leave out settings with fewer masks an image")
    recommend.add_argument("--max-masks", type=float, metavar="N", help="leave out settings with more masks an image")
    _stage(commands, "prompts", _prompts, "read the given objects, and check each against its image")
    prompt = _stage(commands, "prompt", _prompt, "segment the given objects of one shard")
    prompt.add_argument("--shard", required=True, help="the shard's name")
    _stage(commands, "prompt-merge", _prompt_merge, "write the given objects' masks as COCO, with statistics")
    _stage(commands, "videos", _videos, "list the videos, check each and the prompts, and say which jobs there are")
    track = _stage(commands, "track", _track, "follow the objects of a video")
    track.add_argument("--run", dest="name", required=True, help="the video's name, as in tracked/jobs.parquet")
    track.add_argument("--group", default="0000", help="the group of objects (default: 0000, the first)")
    masklets = _stage(commands, "masklets", _masklets, "put the groups of a video together")
    masklets.add_argument("--run", dest="name", required=True, help="the video's name")
    export = _stage(commands, "track-export", _track_export, "write the masklets of a video in another form")
    export.add_argument("--run", dest="name", required=True, help="the video's name")
    export.add_argument("--form", required=True, help="sa_v, png, palette or overlay")
    _stage(commands, "track-merge", _track_merge, "write statistics of all videos, YouTube-VIS, and a page")
    agreement = commands.add_parser("agreement", help="say how far two runs agree, mask by mask")
    agreement.add_argument("first", type=Path, help="a COCO file, or a results folder")
    agreement.add_argument("second", type=Path, help="the same, of the same images")
    agreement.add_argument("--setting", default="baseline", help="of results folders: whose annotations")
    agreement.add_argument("--output", type=Path, help="write a row an image: .parquet, or .json")
    agreement.set_defaults(run=_agreement)
    fetch = commands.add_parser("fetch", help="download an official checkpoint and verify it")
    fetch.add_argument("checkpoint", help="for instance sam2.1_hiera_tiny")
    fetch.set_defaults(run=_fetch)
    return parser


def _stage(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, run: Command, help_text: str
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=help_text, description=help_text)
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="config file (default: config.yaml)")
    parser.add_argument("--results", type=Path, default=Path("results"), help="results folder (default: results)")
    parser.add_argument("--base", type=Path, default=Path(), help="folder that relative paths start from")
    parser.set_defaults(run=run)
    return parser


# Each command imports its stage when it runs: `maskgrid plan` must not wait for torch.


def _plan(arguments: argparse.Namespace) -> None:
    from maskgrid.plan import plan_text

    print(plan_text(_load(arguments)))


def _index(arguments: argparse.Namespace) -> None:
    from maskgrid.indexing import index_dataset

    index_dataset(_load(arguments))


def _generate(arguments: argparse.Namespace) -> None:
    from maskgrid.allocator import keep_freed_memory
    from maskgrid.generation import generate_shard
    from maskgrid.passes import Recording

    keep_freed_memory()
    recording = Recording.from_dict(orjson.loads(arguments.recording)) if arguments.recording else None
    generate_shard(_load(arguments), arguments.checkpoint, arguments.pass_name, arguments.shard, recording)


def _replay(arguments: argparse.Namespace) -> None:
    from maskgrid.replaying import replay_shard

    replay_shard(_load(arguments), arguments.shard)


def _merge(arguments: argparse.Namespace) -> None:
    from maskgrid.merging import merge_setting

    merge_setting(_load(arguments), arguments.setting)


def _statistics(arguments: argparse.Namespace) -> None:
    from maskgrid.counting import write_statistics

    write_statistics(_load(arguments))


def _truth(arguments: argparse.Namespace) -> None:
    from maskgrid.truth.evaluation import write_truth

    write_truth(_load(arguments))


def _evaluate(arguments: argparse.Namespace) -> None:
    from maskgrid.truth.evaluation import evaluate_shard

    evaluate_shard(_load(arguments), arguments.shard)


def _accuracy(arguments: argparse.Namespace) -> None:
    from maskgrid.truth.evaluation import write_accuracies

    write_accuracies(_load(arguments))


def _export(arguments: argparse.Namespace) -> None:
    from maskgrid.exports.exporting import export_setting

    print(export_setting(_load(arguments), arguments.setting, arguments.form, arguments.tolerance))


def _card(arguments: argparse.Namespace) -> None:
    from maskgrid.exports.exporting import write_card

    write_card(_load(arguments))


def _report(arguments: argparse.Namespace) -> None:
    from maskgrid.report import write_report

    write_report(_load(arguments))


def _accept(arguments: argparse.Namespace) -> None:
    from maskgrid.acceptance import accept

    accept(_load(arguments))


def _verify(arguments: argparse.Namespace) -> None:
    from maskgrid.verifying import verify_results

    plan = _load(arguments)
    problems = verify_results(plan)
    for problem in problems:
        print(problem)
    if problems:
        raise MachineError(f"{len(problems)} files of {plan.layout.root} are not what they should be")
    print(f"{plan.layout.root}: complete, and made from this config")


def _summary(arguments: argparse.Namespace) -> None:
    from maskgrid.counting import summary_of

    print(summary_of(_load(arguments)))


def _recommend(arguments: argparse.Namespace) -> None:
    from maskgrid.advice.goals import Goal
    from maskgrid.advice.recommending import recommend

    limits = arguments.min_masks, arguments.max_masks
    if arguments.masks is not None:
        goal = Goal("masks", arguments.masks, *limits)
    elif arguments.coverage is not None:
        goal = Goal("coverage", arguments.coverage, *limits)
    else:
        name: Literal["steady", "f1", "recall"] = "f1" if arguments.f1 else "recall" if arguments.recall else "steady"
        goal = Goal(name, None, *limits)
    print(recommend(_load(arguments), goal))


def _prompts(arguments: argparse.Namespace) -> None:
    from maskgrid.prompt_reading import write_prompts

    write_prompts(_load(arguments))


def _prompt(arguments: argparse.Namespace) -> None:
    from maskgrid.allocator import keep_freed_memory
    from maskgrid.prompted import prompt_shard

    keep_freed_memory()
    prompt_shard(_load(arguments), arguments.shard)


def _prompt_merge(arguments: argparse.Namespace) -> None:
    from maskgrid.prompted_merging import merge_prompted

    print(merge_prompted(_load(arguments)))


def _videos(arguments: argparse.Namespace) -> None:
    from maskgrid.video.planning import write_videos

    write_videos(_load(arguments))


def _track(arguments: argparse.Namespace) -> None:
    from maskgrid.allocator import keep_freed_memory
    from maskgrid.video.tracking import track_job

    keep_freed_memory()
    track_job(_load(arguments), arguments.name, arguments.group)


def _masklets(arguments: argparse.Namespace) -> None:
    from maskgrid.video.joining import join_masklets

    join_masklets(_load(arguments), arguments.name)


def _track_export(arguments: argparse.Namespace) -> None:
    from maskgrid.video.exporting import export_run

    export_run(_load(arguments), arguments.name, arguments.form)


def _track_merge(arguments: argparse.Namespace) -> None:
    from maskgrid.video.merging import merge_tracked

    print(merge_tracked(_load(arguments)))


def _agreement(arguments: argparse.Namespace) -> None:
    from maskgrid.agreement import agreement
    from maskgrid.agreement_text import agreement_text, write_agreement

    found = agreement(arguments.first, arguments.second, arguments.setting)
    if arguments.output is not None:
        write_agreement(found, arguments.output)
    print(agreement_text(found))


def _fetch(arguments: argparse.Namespace) -> None:
    from maskgrid.weights import resolve_checkpoint

    print(resolve_checkpoint(arguments.checkpoint, None).path)


def _load(arguments: argparse.Namespace) -> "Plan":
    from maskgrid.config_files import load_config
    from maskgrid.plan import make_plan

    return make_plan(load_config(arguments.config), arguments.base, arguments.results)
