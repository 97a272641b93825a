"""Inputs of the results' rules, and their outputs."""

import orjson

from maskgrid.config.exports import FOLDER_FORMS


def annotation_files():
    """One COCO file per setting that the config lists under annotations."""
    return final(
        str(PLAN.layout.annotations(setting.label)) for setting in PLAN.exported()
    )


def annotation_file(wildcards):
    """A setting's COCO file. A function, so that it waits for the index, as `gathered_file` does and says why."""
    after("index")
    return final([str(PLAN.layout.annotations(wildcards.label))])


def prompted_annotation_file(wildcards):
    """The COCO file of the prompts' masks; a function for the same reason."""
    after("index")
    return final([str(PLAN.layout.prompted_annotations)])


def export_files():
    """The annotations in the other forms that the config lists."""
    return final(
        str(PLAN.layout.export(form, setting.label))
        for form in PLAN.config.setting_forms()
        for setting in PLAN.exported()
    )


@cache
def export_options():
    """The options of each form, as plain values."""
    return {
        form: options.model_dump(mode="json")
        for form, options in PLAN.config.options_by_form().items()
    }


def form_options(wildcards):
    """The options of a job's form, for params: another option reruns that form alone."""
    return orjson.dumps(export_options().get(wildcards.form)).decode()


# Polygons with every corner have no such param, as before there were options.
POLYGONS_OPTIONS = (
    {"tolerance_px": export_options()["polygons"]["tolerance_px"]}
    if export_options().get("polygons", {}).get("tolerance_px")
    else {}
)


def card_files():
    """The dataset card and its metadata, if the config asks for them."""
    if "card" not in export_options():
        return []
    return final([str(PLAN.layout.card), str(PLAN.layout.croissant)])


def asked_for():
    """What the config says about results for people."""
    tracking = PLAN.config.tracking
    return [
        [setting.label for setting in PLAN.exported()],
        list(PLAN.config.model_dump()["exports"]),
        PLAN.ground_truth() is not None,
        PLAN.config.prompts is not None,
        list(tracking.exports) if tracking is not None else None,
        *(["explorer"] if PLAN.config.explorer != "all" else []),
        *(["tune"] if PLAN.config.tune is not None else []),
    ]


def tuning_asked_for():
    """The section tune."""
    tune = PLAN.config.tune
    return tune.model_dump(mode="json") if tune is not None else None


def tuning_results():
    """What the search found, if the config has a section tune."""
    if PLAN.config.tune is None:
        return []
    return final(str(PLAN.layout.tuning(table)) for table in ("settings", "outcome"))


def truth_tables():
    """The annotated objects, if there are any."""
    if PLAN.ground_truth() is None:
        return []
    return final(
        str(PLAN.layout.ground_truth(table)) for table in ("images", "objects")
    )


def all_candidate_files(wildcards):
    """The candidates of all shards."""
    return final(
        path
        for shard in shards()
        for run in PLAN.runs
        for path in (
            str(PLAN.layout.candidates(run, shard)),
            str(PLAN.layout.pass_images(run, shard)),
        )
    )


def explorer_folders(wildcards):
    """What the explorer shows of the images of all shards, if it shows all."""
    if PLAN.config.explorer != "all":
        return []
    return final(str(PLAN.layout.explorer_data(shard)) for shard in shards())


def overlay_files():
    """One contact sheet per exported setting."""
    return [
        f"<results>/report/overlays/{setting.label}.jpg" for setting in PLAN.exported()
    ]


def count_files(wildcards):
    """The counts of all shards."""
    return final(str(PLAN.layout.shard_counts(shard)) for shard in shards())


# Whether automatic masks are asked for, and not only prompts or videos.
AUTOMATIC = PLAN.config.is_automatic


def automatic_results():
    """The automatic job's results and what is made from them, if the config asks for it."""
    if not AUTOMATIC:
        return []
    layout = PLAN.layout
    files = (
        layout.statistics("summary"),
        layout.root / "report" / "index.html",
        layout.accepted,
        layout.provenance,
        layout.outputs,
    )
    return [
        deleted_files,
        explorer_folders,
        *final(map(str, files)),
        *annotation_files(),
        *export_files(),
        *card_files(),
        *tuning_results(),
    ]
