"""What the rules of results take, and what these give."""


def annotation_files():
    """A COCO file for each setting that the config names under annotations."""
    return [str(PLAN.layout.annotations(setting.label)) for setting in PLAN.exported()]


def export_files():
    """Other forms of the annotations, as the config names them."""
    return [
        str(PLAN.layout.export(form, setting.label))
        for form in PLAN.config.exports
        if form != "card"
        for setting in PLAN.exported()
    ]


def card_files():
    """The dataset card and its metadata, where the config wants them."""
    if "card" not in PLAN.config.exports:
        return []
    return [str(PLAN.layout.card), str(PLAN.layout.croissant)]


def overlay_files():
    """A contact sheet for each setting that is exported."""
    return [
        f"results/report/overlays/{setting.label}.jpg" for setting in PLAN.exported()
    ]


def count_files(wildcards):
    """The counts of all shards."""
    return [str(PLAN.layout.shard_counts(shard)) for shard in shards()]
