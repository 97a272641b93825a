"""Fetch the source if it is remote, and index its images and their shards."""


include: "inputs/dataset.smk"


# Fetch a file that the config names by URL. Snakemake downloads it with a storage plugin and removes its copy after the
# job; a hard link avoids a second copy. On a cluster it runs beside Snakemake, because nodes often have no network.
rule fetch:
    input:
        remote_file,
    output:
        "<results>/fetched/{path}",
    log:
        "<logs>/fetch/{path}.log",
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


# update() keeps the old tables while the job runs, so that unchanged files are not read again. Snakemake identifies the
# checkpoint by its first output: rules whose params wait for it have this file as an input.
checkpoint index:
    input:
        source_inputs(),
    output:
        files=update("<results>/dataset/files.parquet"),
        images=update("<results>/dataset/images.parquet"),
        shards=update("<results>/dataset/shards.parquet"),
        archives=update("<results>/dataset/archives.parquet"),
    log:
        "<logs>/index.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        # A function, because the braces of images-{000..009}.tar would be read as wildcards.
        **PIXELS,
        **GEOREFERENCE,
        **WINDOWS,
        **EXTRAS,
        source=lambda wildcards: PLAN.config.dataset.source,
        shard_size=PLAN.config.dataset.shard_size,
        max_pixels=PLAN.config.dataset.max_pixels,
        listing=lambda wildcards: listing(),
    message:
        "Listing and checking the images of {params.source}"
    shell:
        "{params.maskgrid} index {params.options} 2> >(tee {log:q} >&2)"
