"""Commands on the masks: statistics, accuracy, exports, the report, checks."""

from pathlib import Path
from typing import TYPE_CHECKING

from maskgrid.cli.command import SHARD, Command, option
from maskgrid.io.errors import MachineError, UserError

if TYPE_CHECKING:
    from maskgrid.config.exports import Options
    from maskgrid.plan.plan import Plan


FORMS = (
    *("sa1b", "polygons", "labels", "panoptic", "yolo", "geojson", "geopackage", "labelme", "label_studio", "cutouts"),
    *("webdataset", "masks_parquet"),
)


COMMANDS = (
    Command("statistics", "write tables of mask counts for all settings", "results.statistics.stage:write_statistics"),
    Command("tidy", "remove what the workflow wrote for a former config", "results.leftovers:tidy"),
    Command("provenance", "write how the results came about", "results.accept:write_provenance"),
    Command("accept", "name the images that were unusable, and fail if there are too many", "results.accept:accept"),
    Command(
        "verify",
        "list every file of the results that is missing, truncated, foreign, stale or no longer needed",
        "cli.results:verify",
        (option("--pages", action="store_true", help="also read every table in full and check its checksums"),),
        takes_overrides=True,
    ),
    Command(
        "summary",
        "print the table of settings and the paths of all results",
        "cli.results:summary",
        takes_overrides=True,
    ),
    Command(
        "truth",
        "read and check the annotated objects that masks are measured against",
        "results.accuracy.stage:write_truth",
    ),
    Command(
        "evaluate",
        "measure every setting's masks of one shard against the annotated objects",
        "results.accuracy.stage:evaluate_shard",
        (SHARD,),
    ),
    Command("accuracy", "write tables of accuracy for all settings", "results.accuracy.stage:write_accuracies"),
    Command(
        "agreement",
        "measure how far two runs over the same images agree, mask by mask",
        "cli.results:agreement",
        (
            option("first", type=Path, help="a COCO file or a results folder"),
            option("second", type=Path, help="another, over the same images"),
            option("--setting", default="baseline", help="for results folders: a setting (default: baseline)"),
            option("--output", type=Path, help="write one row per image to this .parquet or .json file"),
        ),
        reads_config=False,
    ),
    Command(
        "export",
        "write a setting's masks, or those of the prompts, in another form, from their COCO file",
        "cli.results:export",
        (
            option("--form", required=True, choices=FORMS, help="what to write (docs/exports.md)"),
            option(
                "--tolerance",
                type=float,
                metavar="PX",
                help="for outlines: drop corners while the outline moves by less; 0: keep all",
            ),
            option(
                "--option",
                action="append",
                default=[],
                metavar="KEY=VALUE",
                help="an option of the form, as in the config; default: the config's",
            ),
        ),
        one_of=(
            option("--setting", help="a setting's name or id"),
            option("--prompted", action="store_true", help="the masks of the prompts instead of a setting's"),
        ),
    ),
    Command("card", "write a dataset card and Croissant metadata", "results.exports.stage:write_card"),
    Command(
        "explorer",
        "write what the explorer shows of one shard's images",
        "results.explorer.stage:write_explorer",
        (SHARD,),
    ),
    Command("report", "write the report and the explorer", "results.report.stage:write_report"),
)


def export(
    plan: "Plan", setting: str | None, prompted: bool, form: str, tolerance: float | None, given: list[str]
) -> str:
    """Write an export, with the config's options but for the given ones.

    Raises:
        UserError: neither a setting nor the prompts, a form that these masks do not have, or an unknown option.
    """
    from maskgrid.config.exports import NOT_OF_PROMPTS
    from maskgrid.results.exports.stage import export_prompted, export_setting

    options = _form_options(plan, form, [*given, *([f"tolerance_px={tolerance}"] if tolerance is not None else [])])
    if not prompted:
        if setting is None:
            raise UserError("export: say which masks: --setting NAME, or --prompted")
        return export_setting(plan, setting, form, options)
    if form in NOT_OF_PROMPTS:
        raise UserError(f"--form {form}: has no masks of prompts, which lack its fields; choose another form")
    return export_prompted(plan, form, options)


def _form_options(plan: "Plan", form: str, given: list[str]) -> "Options":
    """The config's options of a form, or its defaults, with the given ones in their place."""
    from maskgrid.config.exports import OPTIONS
    from maskgrid.config.files import parse_config, read_yaml

    known = plan.config.options_by_form().get(form) or OPTIONS[form]()
    if not given:
        return known
    values = known.model_dump()
    for word in given:
        key, equals, text = word.partition("=")
        if not equals:
            raise UserError(f"--option {word}: is not of the form KEY=VALUE")
        values[key] = read_yaml(text)
    if not OPTIONS[form].model_fields:
        raise UserError(f"--option {given[0]}: the form {form} has no options")
    return parse_config({"exports": [{form: values}]}, f"--option {given[-1]}").options_by_form()[form]


def verify(plan: "Plan", pages: bool) -> str:
    """Print one line for each file with a problem.

    Raises:
        MachineError: there are such files, not counting those that are merely no longer needed.
    """
    from maskgrid.io.checks import UNNEEDED
    from maskgrid.io.wording import count
    from maskgrid.results.verify import verify_results

    problems = verify_results(plan, pages)
    for problem in problems:
        print(problem)
    if wrong := [problem for problem in problems if problem.kind != UNNEEDED]:
        raise MachineError(
            f"{len(wrong)} files of {plan.layout.root} are missing or wrong; maskgrid run makes them anew"
        )
    besides = f", besides {count(len(problems), 'file')} above that it does not need" if problems else ""
    return f"{plan.layout.root}: complete, and made from this config{besides}"


def summary(plan: "Plan") -> str:
    """The table of settings, and the paths of all results."""
    from maskgrid.cli.running.ending import ending_text

    return ending_text(plan, 40)


def agreement(first: Path, second: Path, setting: str, output: Path | None) -> str:
    """Describe how far two runs agree, and write one row per image to ``output`` if given."""
    from maskgrid.results import agreement as results

    found = results.agreement(first, second, setting)
    if output is not None:
        results.write_agreement(found, output)
    return results.agreement_text(found)
