"""Commands that advise which setting to take."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from maskgrid.cli.command import Command, Option, option
from maskgrid.io.errors import UserError

if TYPE_CHECKING:
    from maskgrid.plan.plan import Plan


def _goal(name: str, text: str) -> Option:
    return option(f"--{name}", dest="other", action="store_const", const=name, help=text)


# The goals that recommend and tune share.
_TARGETS = (
    option("--masks", type=float, metavar="N", help="goal: a mean count close to N masks per image"),
    option("--coverage", type=float, metavar="SHARE", help="goal: a mean coverage close to this, from 0 to 1"),
)
_ACCURACIES = (
    _goal("f1", "goal: the best F1 at IoU 0.5 against annotated objects"),
    _goal("recall", "goal: the best average recall against annotated objects"),
)

COMMANDS = (
    Command(
        "recommend",
        "recommend a setting for a goal, with reasons and the config lines to copy",
        "cli.advice:recommend",
        (
            option("--min-masks", type=float, metavar="N", help="leave out settings with fewer masks per image"),
            option("--max-masks", type=float, metavar="N", help="leave out settings with more masks per image"),
        ),
        one_of=(
            *_TARGETS,
            _goal("steady", "goal: a count that changes least when a parameter moves one step"),
            *_ACCURACIES,
            _goal("tracking", "goal: the best J&F of masklets against tracking.ground_truth"),
        ),
        takes_overrides=True,
    ),
    Command(
        "tune",
        "search for the best setting between and beyond the sweep's, and judge it on images that were not searched",
        "cli.advice:tune",
        (
            option("--min-masks", type=float, metavar="N", help="only settings with at least N masks per image"),
            option("--max-masks", type=float, metavar="N", help="only settings with at most N masks per image"),
            option("--filters", action="store_true", help="search the filters as well as the thresholds"),
            option("--settings", type=int, metavar="N", help="try N settings (default: tune.settings, else 2000)"),
            option("--minutes", type=float, metavar="N", help="stop searching after N minutes"),
            option("--output", type=Path, help="write a row for each setting tried to this .parquet file"),
            option("--write", action="store_true", help="write the tables of the results folder, as the workflow does"),
        ),
        one_of=(
            *_TARGETS,
            _goal("steady", "goal: a count that changes least when a threshold moves"),
            *_ACCURACIES,
            _goal("panoptic", "goal: the best panoptic quality against annotated objects, each pixel in one mask"),
        ),
        takes_overrides=True,
    ),
)


def recommend(
    plan: "Plan",
    masks: float | None,
    coverage: float | None,
    other: Literal["steady", "f1", "recall", "tracking"] | None,
    *limits: float | None,
) -> str:
    """Recommend a setting for a goal; ``limits`` are the least and most masks per image.

    Without a goal: the best F1 if there are annotated objects, else the steadiest count; the first line says which.
    Without statistics of images, the best J&F of masklets, if these were measured.
    """
    from maskgrid.results.advice import text
    from maskgrid.results.advice.goals import Goal
    from maskgrid.tracked.accuracy.advice import has_accuracies, recommend_tracking

    has_goal = masks is not None or coverage is not None or other is not None
    is_of_videos = not has_goal and has_accuracies(plan) and not plan.layout.statistics("summary").is_file()
    if other == "tracking" or is_of_videos:
        return recommend_tracking(plan)

    if masks is not None:
        goal = Goal("masks", masks, *limits)
    elif coverage is not None:
        goal = Goal("coverage", coverage, *limits)
    elif other is not None:
        goal = Goal(other, None, *limits)
    else:
        goal = Goal("f1" if _has_objects(plan) else "steady", None, *limits)
        return f"{text.default_goal_line(goal)}\n{text.recommend(plan, goal)}"
    return text.recommend(plan, goal)


def _has_objects(plan: "Plan") -> bool:
    """Whether masks were measured against annotated objects."""
    from maskgrid.io.tables import read_table

    path = plan.layout.statistics("accuracy_summary")
    return (
        plan.ground_truth() is not None and path.is_file() and any(read_table(path, ["n_truth"])["n_truth"].to_pylist())
    )


def tune(
    plan: "Plan",
    masks: float | None,
    coverage: float | None,
    other: str | None,
    min_masks: float | None,
    max_masks: float | None,
    filters: bool,
    settings: int | None,
    minutes: float | None,
    output: Path | None,
    write: bool,
) -> str:
    """Search for the best setting as the config's section ``tune`` says, changed by what the command line says.

    Raises:
        UserError: ``write`` with other options, whose results would not be those of the config.
    """
    from maskgrid.results.tuning import stage, text

    limits = {"min_masks": min_masks, "max_masks": max_masks, "settings": settings, "minutes": minutes}
    changes: dict[str, Any] = {name: value for name, value in limits.items() if value is not None}
    if masks is not None or coverage is not None:
        changes |= {"goal": "masks" if coverage is None else "coverage", "target": coverage if masks is None else masks}
    elif other is not None:
        changes |= {"goal": other, "target": None}
    if filters:
        named = plan.config.tune.vary if plan.config.tune is not None else None
        changes["vary"] = (*(named or ("thresholds",)), "filters")
    if write and (changes or output):
        raise UserError("tune: --write takes all from the config's section tune; change that, or leave out --write")
    tuned = stage.write_tuning(plan) if write else stage.tune(plan, stage.changed(plan.config.tune, changes))
    if output is not None:
        stage.write_tried(tuned, output)
    return text.tuned_text(plan, tuned)
