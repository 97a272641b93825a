"""What the rules of prompts take; nothing without a section prompts in the config."""

import orjson

from maskgrid.plan.remote import is_url

PROMPTS = PLAN.config.prompts.model_dump() if PLAN.config.prompts else {}
PROMPT_SETTINGS = [[setting.id, setting.label] for setting in PLAN.prompt_settings]


def prompt_source():
    """The file of prompts; the demo's comes with its images."""
    source = PROMPTS.get("source", "demo")
    return [str(PLAN.located(source))] if source.lower() != "demo" else []


@cache
def prompt_pictures():
    """A digest of the pictures that the file of prompts names: a new or changed one makes it be read again."""
    if not workflow.is_main_process or is_url(PROMPTS.get("source")):
        return "not listed"
    from maskgrid.prompted.notes import pictures_digest

    return "".join(pictures_digest(Path(path)) for path in prompt_source())


def prediction(wildcards):
    """What decides about masks, of the section prompts."""
    from maskgrid.prompted.notes import prediction_parameters

    return orjson.dumps(prediction_parameters(PLAN)).decode()


def prompted_files(wildcards):
    """The masks of the prompts of all shards."""
    return [str(PLAN.layout.prompted(shard)) for shard in shards()]


def prompted_results():
    """What the prompted job gives, where the config asks for one."""
    if not PROMPTS:
        return []
    return [
        str(PLAN.layout.prompted_annotations),
        str(PLAN.layout.prompted_statistics),
        str(PLAN.layout.prompted_settings),
        str(PLAN.layout.prompted_worst),
    ]
