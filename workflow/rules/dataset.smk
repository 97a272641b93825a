"""From the source to an index of images and their shards."""


include: "inputs/dataset.smk"


# What the config names by URL. Snakemake brings the file, by a storage plugin, and removes its copy after the job; a link
# to it costs no second one. Beside Snakemake on a cluster: nodes often reach no network.
rule fetch:
    input:
        remote_file,
    output:
        "results/fetched/{path}",
    log:
        "logs/fetch/{path}.log",
    wildcard_constraints:
        path=r".+",
    localrule: True
    conda:
        "../../environment.yml"
    message:
        "Fetching {wildcards.path}"
    shell:
        "(ln -f {input:q} {output:q} || (cp {input:q} {output:q}.part && mv {output:q}.part {output:q})"
        " && touch {output:q}) 2> {log:q}"


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
        **CALL,
        # A function, because braces in a text, images-{000..009}.tar, would be taken for wildcards.
        source=lambda wildcards: PLAN.config.dataset.source,
        shard_size=PLAN.config.dataset.shard_size,
        max_pixels=PLAN.config.dataset.max_pixels,
        listing=lambda wildcards: listing(),
    message:
        "Listing and checking the images of {params.source}"
    shell:
        "{params.maskgrid} index {params.options} 2> >(tee {log:q} >&2)"
