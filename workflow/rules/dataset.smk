"""From the source to an index of images and their shards."""


# update() keeps the old tables while the job runs: files that have not changed are not read again. The first output is
# the one by which Snakemake knows the checkpoint: rules whose parameters wait for it name this file as an input.
checkpoint index:
    input:
        PLAN.source_files(),
    output:
        files=update("results/dataset/files.parquet"),
        images=update("results/dataset/images.parquet"),
        shards=update("results/dataset/shards.parquet"),
        archives=update("results/dataset/archives.parquet"),
    log:
        "logs/index.log",
    conda:
        "../../environment.yml"
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
