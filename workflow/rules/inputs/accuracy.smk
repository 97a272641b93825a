"""What the rules of accuracy take."""


def ground_truth_source():
    """The annotations to measure against; the demo's come with its images."""
    path = PLAN.ground_truth()
    return (
        [str(path)] if path is not None and PLAN.config.dataset.source != "demo" else []
    )


def accuracy_files(wildcards):
    """The accuracies of all shards."""
    return [str(PLAN.layout.shard_accuracy(shard)) for shard in shards()]


def accuracy_results():
    """Tables of accuracy, where there is something to measure against."""
    if PLAN.ground_truth() is None:
        return []
    return [
        str(PLAN.layout.statistics("accuracy")),
        str(PLAN.layout.statistics("accuracy_summary")),
    ]
