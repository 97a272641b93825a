"""Inputs of the accuracy rules."""


def ground_truth_source():
    """The annotations to measure against; none for the demo, which writes them with its images."""
    path = PLAN.ground_truth()
    is_given = path is not None and PLAN.config.dataset.source != "demo"
    return final([str(path)] if is_given else [])


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
