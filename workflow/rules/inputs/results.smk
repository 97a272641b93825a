"""Inputs of the results' rules, and their outputs."""


def annotation_files():
    """One COCO file per setting that the config lists under annotations."""
    return final(
        str(PLAN.layout.annotations(setting.label)) for setting in PLAN.exported()
    )


def export_files():
    """The annotations in the other forms that the config lists."""
    return final(
        str(PLAN.layout.export(form, setting.label))
        for form in PLAN.config.exports
        if form != "card"
        for setting in PLAN.exported()
    )


def card_files():
    """The dataset card and its metadata, if the config asks for them."""
    if "card" not in PLAN.config.exports:
        return []
    return final([str(PLAN.layout.card), str(PLAN.layout.croissant)])


def asked_for():
    """What the config says about results for people."""
    tracking = PLAN.config.tracking
    return [
        [setting.label for setting in PLAN.exported()],
        list(PLAN.config.exports),
        PLAN.ground_truth() is not None,
        PLAN.config.prompts is not None,
        list(tracking.exports) if tracking is not None else None,
    ]


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
        *final(map(str, files)),
        *annotation_files(),
        *export_files(),
        *card_files(),
    ]
