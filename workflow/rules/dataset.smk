"""From the source to an index of images and their shards."""

from functools import cache

from maskgrid.indexing import source_digest, source_file


@cache
def listing():
    """A digest of what lies at the source: a new, changed or missing file makes the index run again.

    Jobs on other machines run one rule each and must not list the dataset for it.
    """
    if not workflow.is_main_process:
        return "not listed"
    try:
        return source_digest(PLAN)
    except UserError as error:
        raise WorkflowError(str(error)) from None


# update() keeps the old tables while the job runs: files that have not changed are not read again.
checkpoint index:
    input:
        source_file(PLAN),
    output:
        images=update("results/dataset/images.parquet"),
        files=update("results/dataset/files.parquet"),
        shards=update("results/dataset/shards.parquet"),
    log:
        "logs/index.log",
    params:
        source=PLAN.config.dataset.source,
        shard_size=PLAN.config.dataset.shard_size,
        max_pixels=PLAN.config.dataset.max_pixels,
        listing=lambda wildcards: listing(),
        maskgrid=MASKGRID,
        options=OPTIONS,
    message:
        "Listing and checking the images of {params.source}"
    shell:
        "{params.maskgrid} index {params.options} 2> >(tee {log:q} >&2)"
