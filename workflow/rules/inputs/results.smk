"""Inputs of the results' rules, and their outputs."""


def annotation_files():
    """One COCO file per setting that the config lists under annotations."""
    return [str(PLAN.layout.annotations(setting.label)) for setting in PLAN.exported()]


def export_files():
    """The annotations in the other forms that the config lists."""
    return [
        str(PLAN.layout.export(form, setting.label))
        for form in PLAN.config.exports
        if form != "card"
        for setting in PLAN.exported()
    ]


def card_files():
    """The dataset card and its metadata, if the config asks for them."""
    if "card" not in PLAN.config.exports:
        return []
    return [str(PLAN.layout.card), str(PLAN.layout.croissant)]


def overlay_files():
    """One contact sheet per exported setting."""
    return [
        f"{RESULTS}/report/overlays/{setting.label}.jpg" for setting in PLAN.exported()
    ]


def count_files(wildcards):
    """The counts of all shards."""
    return [str(PLAN.layout.shard_counts(shard)) for shard in shards()]
