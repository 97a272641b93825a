"""What is made of the masks: accuracy, advice, exports, the report."""

import argparse
from pathlib import Path
from typing import Literal

from maskgrid.cli.stages import Commands, add_stage, load_plan


def add_findings(commands: Commands) -> None:
    """Add these subcommands."""
    add_stage(commands, "truth", _truth, "read the annotated objects that masks are measured against")
    evaluate = add_stage(commands, "evaluate", _evaluate, "measure every setting's masks of one shard against them")
    evaluate.add_argument("--shard", required=True, help="the shard's name")
    add_stage(commands, "accuracy", _accuracy, "write the tables of accuracy against settings")
    recommend = add_stage(
        commands, "recommend", _recommend, "name the setting for a goal, with reasons and config lines"
    )
    goals = recommend.add_mutually_exclusive_group(required=True)
    goals.add_argument("--masks", type=float, metavar="N", help="so many masks an image, on average")
    goals.add_argument("--coverage", type=float, metavar="SHARE", help="so much of an image in a mask, from 0 to 1")
    goals.add_argument("--steady", action="store_true", help="the count changes least when a threshold moves a step")
    goals.add_argument("--f1", action="store_true", help="the best F1 at IoU 0.5 against annotated objects")
    goals.add_argument("--recall", action="store_true", help="the best average recall against annotated objects")
    recommend.add_argument("--min-masks", type=float, metavar="N", help="leave out settings with fewer masks an image")
    recommend.add_argument("--max-masks", type=float, metavar="N", help="leave out settings with more masks an image")
    agreement = commands.add_parser("agreement", help="say how far two runs agree, mask by mask")
    agreement.add_argument("first", type=Path, help="a COCO file, or a results folder")
    agreement.add_argument("second", type=Path, help="the same, of the same images")
    agreement.add_argument("--setting", default="baseline", help="of results folders: whose annotations")
    agreement.add_argument("--output", type=Path, help="write a row an image: .parquet, or .json")
    agreement.set_defaults(run=_agreement)
    export = add_stage(commands, "export", _export, "write a setting's masks in another form, from its COCO file")
    export.add_argument("--setting", required=True, help="a setting's name or id")
    export.add_argument("--form", required=True, choices=["sa1b", "polygons"], help="SA-1B's JSON, or COCO's polygons")
    export.add_argument("--tolerance", type=float, default=0.0, metavar="PX", help="of polygons: fewer corners; 0: all")
    add_stage(commands, "card", _card, "write the dataset card and Croissant metadata")
    add_stage(commands, "report", _report, "write the report")


def _truth(arguments: argparse.Namespace) -> None:
    from maskgrid.results.accuracy.stage import write_truth

    write_truth(load_plan(arguments))


def _evaluate(arguments: argparse.Namespace) -> None:
    from maskgrid.results.accuracy.stage import evaluate_shard

    evaluate_shard(load_plan(arguments), arguments.shard)


def _accuracy(arguments: argparse.Namespace) -> None:
    from maskgrid.results.accuracy.stage import write_accuracies

    write_accuracies(load_plan(arguments))


def _recommend(arguments: argparse.Namespace) -> None:
    from maskgrid.results.advice.goals import Goal
    from maskgrid.results.advice.text import recommend

    limits = arguments.min_masks, arguments.max_masks
    if arguments.masks is not None:
        goal = Goal("masks", arguments.masks, *limits)
    elif arguments.coverage is not None:
        goal = Goal("coverage", arguments.coverage, *limits)
    else:
        name: Literal["steady", "f1", "recall"] = "f1" if arguments.f1 else "recall" if arguments.recall else "steady"
        goal = Goal(name, None, *limits)
    print(recommend(load_plan(arguments), goal))


def _agreement(arguments: argparse.Namespace) -> None:
    from maskgrid.results.agreement import agreement, agreement_text, write_agreement

    found = agreement(arguments.first, arguments.second, arguments.setting)
    if arguments.output is not None:
        write_agreement(found, arguments.output)
    print(agreement_text(found))


def _export(arguments: argparse.Namespace) -> None:
    from maskgrid.results.exports.stage import export_setting

    print(export_setting(load_plan(arguments), arguments.setting, arguments.form, arguments.tolerance))


def _card(arguments: argparse.Namespace) -> None:
    from maskgrid.results.exports.stage import write_card

    write_card(load_plan(arguments))


def _report(arguments: argparse.Namespace) -> None:
    from maskgrid.results.report.stage import write_report

    write_report(load_plan(arguments))
