"""Commands on the masks: statistics, accuracy, advice, exports, the report, checks."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from maskgrid.cli.command import SETTING, SHARD, Command, Option, option
from maskgrid.io.errors import MachineError

if TYPE_CHECKING:
    from maskgrid.plan.plan import Plan


def _goal(name: str, text: str) -> Option:
    return option(f"--{name}", dest="other", action="store_const", const=name, help=text)


COMMANDS = (
    Command(
        "statistics", "write the tables of mask counts against settings", "results.statistics.stage:write_statistics"
    ),
    Command("accept", "fail if too many images could not be used", "results.accept:accept"),
    Command(
        "verify",
        "name every file of a results folder that is not what it should be",
        "cli.results:verify",
        (option("--pages", action="store_true", help="read every table as a whole, against its checksums"),),
    ),
    Command("summary", "print the table of settings", "results.statistics.stage:summary_of"),
    Command(
        "truth", "read the annotated objects that masks are measured against", "results.accuracy.stage:write_truth"
    ),
    Command(
        "evaluate",
        "measure every setting's masks of one shard against the annotated objects",
        "results.accuracy.stage:evaluate_shard",
        (SHARD,),
    ),
    Command("accuracy", "write the tables of accuracy against settings", "results.accuracy.stage:write_accuracies"),
    Command(
        "recommend",
        "name the setting for a goal, with reasons and config lines",
        "cli.results:recommend",
        (
            option("--min-masks", type=float, metavar="N", help="leave out settings with fewer masks an image"),
            option("--max-masks", type=float, metavar="N", help="leave out settings with more masks an image"),
        ),
        one_of=(
            option("--masks", type=float, metavar="N", help="so many masks an image, on average"),
            option("--coverage", type=float, metavar="SHARE", help="so much of an image in a mask, from 0 to 1"),
            _goal("steady", "the count changes least when a threshold moves a step"),
            _goal("f1", "the best F1 at IoU 0.5 against annotated objects"),
            _goal("recall", "the best average recall against annotated objects"),
        ),
    ),
    Command(
        "agreement",
        "say how far two runs agree, mask by mask",
        "cli.results:agreement",
        (
            option("first", type=Path, help="a COCO file, or a results folder"),
            option("second", type=Path, help="the same, of the same images"),
            option("--setting", default="baseline", help="of results folders: whose annotations"),
            option("--output", type=Path, help="write a row an image: .parquet, or .json"),
        ),
        reads_config=False,
    ),
    Command(
        "export",
        "write a setting's masks in another form, from its COCO file",
        "results.exports.stage:export_setting",
        (
            SETTING,
            option("--form", required=True, choices=["sa1b", "polygons"], help="SA-1B's JSON, or COCO's polygons"),
            option("--tolerance", type=float, default=0.0, metavar="PX", help="of polygons: fewer corners; 0: all"),
        ),
    ),
    Command("card", "write the dataset card and Croissant metadata", "results.exports.stage:write_card"),
    Command("report", "write the report", "results.report.stage:write_report"),
)


def verify(plan: "Plan", pages: bool) -> str:
    """Print a line for each file that is not what it should be.

    Raises:
        MachineError: there are such files, other than those that are no longer needed.
    """
    from maskgrid.io.checks import UNNEEDED
    from maskgrid.results.verify import verify_results

    problems = verify_results(plan, pages)
    for problem in problems:
        print(problem)
    if wrong := [problem for problem in problems if problem.kind != UNNEEDED]:
        raise MachineError(f"{len(wrong)} files of {plan.layout.root} are not what they should be")
    return f"{plan.layout.root}: complete, and made from this config"


def recommend(
    plan: "Plan",
    masks: float | None,
    coverage: float | None,
    other: Literal["steady", "f1", "recall"],
    *limits: float | None,
) -> str:
    """The setting for the one goal that is given; ``limits`` are the least and the most masks an image."""
    from maskgrid.results.advice import text
    from maskgrid.results.advice.goals import Goal

    if masks is not None:
        goal = Goal("masks", masks, *limits)
    elif coverage is not None:
        goal = Goal("coverage", coverage, *limits)
    else:
        goal = Goal(other, None, *limits)
    return text.recommend(plan, goal)


def agreement(first: Path, second: Path, setting: str, output: Path | None) -> str:
    """How far two runs agree, in words; a row an image goes into ``output``."""
    from maskgrid.results import agreement as results

    found = results.agreement(first, second, setting)
    if output is not None:
        results.write_agreement(found, output)
    return results.agreement_text(found)
