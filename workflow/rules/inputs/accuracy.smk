"""Inputs of the accuracy rules."""

# The annotations to measure against; none for the demo, which writes them with its images.
GROUND_TRUTH = PLAN.ground_truth_file()


def ground_truth_source():
    """The file of annotations, as an input."""
    return [] if GROUND_TRUTH is None else named(GROUND_TRUTH)


@cache
def ground_truth_content():
    """Digest of the annotations and of the pictures that they name as masks."""
    if not workflow.is_main_process or GROUND_TRUTH is None or is_url(GROUND_TRUTH):
        return "not read"
    from maskgrid.dataset.annotations.mask_pictures import states_of

    path = PLAN.located(GROUND_TRUTH)
    return f"{content_of(GROUND_TRUTH)} {states_of(path)}"


def accuracy_files(wildcards):
    """The accuracies of all shards."""
    return final(str(PLAN.layout.shard_accuracy(shard)) for shard in shards())


def accuracy_results():
    """Tables of accuracy, if there are annotations to measure against."""
    if PLAN.ground_truth() is None:
        return []
    return final(
        str(PLAN.layout.statistics(table)) for table in ("accuracy", "accuracy_summary")
    )
