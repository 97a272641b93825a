"""The prompted job, if the config has a section prompts: segment prompts."""


include: "inputs/prompted.smk"


rule prompts:
    input:
        prompt_source(),
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/prompted/prompts.parquet",
    log:
        "<logs>/prompted/prompts.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
        shard_size=PLAN.config.dataset.shard_size,
        source=lambda wildcards: PROMPTS.get("source"),
        content=lambda wildcards: content_of(PROMPTS_FILE),
        use=PROMPTS.get("use"),
        normalized=PROMPTS.get("normalized"),
        pictures=lambda wildcards: prompt_pictures(),
    message:
        "Reading and checking the prompts of {params.source}"
    shell:
        "{params.maskgrid} prompts {params.options} 2> >(tee {log:q} >&2)"


# update() keeps the old table while the job runs, so that a shard with the same prompts is not segmented again.
rule prompt:
    input:
        prompts="<results>/prompted/prompts.parquet",
        index=ancient("<results>/dataset/files.parquet"),
        checkpoint=missing(CHECKPOINT_FILES),
    output:
        update("<results>/prompted/{shard}.parquet"),
    log:
        "<logs>/prompted/{shard}.log",
    benchmark:
        "<benchmarks>/prompted/{shard}.tsv"
    wildcard_constraints:
        shard=r"all|d\d+-[0-9a-f]+",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        **CALL,
        **WEIGHTS,
        digest=shard_digest,
        prediction=prediction,
        settings=[setting_id for setting_id, _ in PROMPT_SETTINGS],
        checkpoint=PLAN.config.model.checkpoint,
        dtype=PLAN.config.model.arithmetic,
        apply_postprocessing=PLAN.config.model.apply_postprocessing,
    message:
        "Segmenting the prompts of shard {wildcards.shard}"
    shell:
        "{params.maskgrid} prompt {params.options} --shard {wildcards.shard:q} 2> >(tee {log:q} >&2)"


rule prompt_merge:
    input:
        prompted_files,
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/prompted/annotations.json",
        "<results>/prompted/statistics.parquet",
        "<results>/prompted/settings.parquet",
        report(
            "<results>/prompted/worst.jpg",
            category="Masks",
            caption="../report/worst.rst",
        ),
    log:
        "<logs>/prompted/merge.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        settings=PROMPT_SETTINGS,
        images=images_fingerprint,
    message:
        "Writing the masks of all prompts as COCO"
    shell:
        "{params.maskgrid} prompt-merge {params.options} 2> >(tee {log:q} >&2)"


# Only the prompted job: snakemake prompted
rule prompted:
    input:
        index_files() if PROMPTS else [],
        prompted_results(),
        prompted_export_files(),
