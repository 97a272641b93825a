"""Inputs and params of the prompted job's rules; empty if the config has no section prompts."""

import orjson

from maskgrid.plan.remote import is_url

PROMPTS = PLAN.config.prompts.model_dump() if PLAN.config.prompts else {}
PROMPT_SETTINGS = [[setting.id, setting.label] for setting in PLAN.prompt_settings]


# The file of prompts; none for the demo, which writes it with its images.
PROMPTS_FILE = (
    None if PROMPTS.get("source", "demo").lower() == "demo" else PROMPTS["source"]
)


def prompt_source():
    """The file of prompts, as an input."""
    return [] if PROMPTS_FILE is None else named(PROMPTS_FILE)


@cache
@one_line
def prompt_pictures():
    """Digest of the mask pictures that the file of prompts names: a new or changed one reruns the rule prompts."""
    if not workflow.is_main_process or is_url(PROMPTS.get("source")):
        return "not listed"
    from maskgrid.dataset.annotations.mask_pictures import states_of

    return "" if PROMPTS_FILE is None else states_of(PLAN.located(PROMPTS_FILE))


def prediction(wildcards):
    """The parameters of the section prompts that affect masks, as JSON."""
    from maskgrid.prompted.notes import prediction_parameters

    return orjson.dumps(prediction_parameters(PLAN)).decode()


def prompted_files(wildcards):
    """The masks of the prompts of all shards."""
    return final(str(PLAN.layout.prompted(shard)) for shard in shards())


def prompted_results():
    """The prompted job's results, if the config asks for it."""
    if not PROMPTS:
        return []
    layout = PLAN.layout
    return final(
        str(path)
        for path in (
            layout.prompted_annotations,
            layout.prompted_statistics,
            layout.prompted_settings,
            layout.prompted_worst,
        )
    )


def prompted_export_files():
    """The masks of prompts in the other forms that the config lists."""
    return final(
        str(PLAN.layout.prompted_export(form)) for form in PLAN.config.prompted_forms()
    )
