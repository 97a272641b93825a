"""The automatic job: run the network, replay all settings, write COCO."""


include: "inputs/automatic.smk"


# Each shard has a digest, so a new index alone is no reason to run again. update() keeps the old tables while the job
# runs, so that images which are in them already do not go through the network again.
rule generate:
    input:
        index=ancient("<results>/dataset/files.parquet"),
        checkpoint=checkpoint_file,
        tiles=tile_jobs,
    output:
        candidates=update(
            "<results>/candidates/{checkpoint}/{pass_name}/{shard}.parquet"
        ),
        images=update(
            "<results>/candidates/{checkpoint}/{pass_name}/{shard}.images.parquet"
        ),
    log:
        "<logs>/generate/{checkpoint}/{pass_name}/{shard}.log",
    benchmark:
        "<benchmarks>/generate/{checkpoint}/{pass_name}/{shard}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        **CALL,
        **PASS_WEIGHTS,
        digest=shard_digest,
        recording=recording_json,
        dtype=PLAN.config.model.arithmetic,
        mode=PLAN.config.model.mode,
        apply_postprocessing=PLAN.config.model.apply_postprocessing,
    message:
        "Running pass {wildcards.checkpoint}/{wildcards.pass_name} over shard {wildcards.shard}"
    shell:
        "{params.maskgrid} generate {params.options} --checkpoint {wildcards.checkpoint:q}"
        " --pass {wildcards.pass_name:q} --shard {wildcards.shard:q} --recording {params.recording:q}"
        " 2> >(tee {log:q} >&2)"


# With dataset.tiles_per_job, several jobs run the tiles of a shard's large images. Their results lie in the journal of
# the candidates, where `generate` finds them.
rule tiles:
    input:
        index=ancient("<results>/dataset/files.parquet"),
        checkpoint=checkpoint_file,
    output:
        temp("<results>/candidates/{checkpoint}/{pass_name}/{shard}.tiles{job}"),
    log:
        "<logs>/tiles/{checkpoint}/{pass_name}/{shard}-{job}.log",
    benchmark:
        "<benchmarks>/tiles/{checkpoint}/{pass_name}/{shard}-{job}.tsv"
    wildcard_constraints:
        job=r"\d+",
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        **CALL,
        **PASS_WEIGHTS,
        digest=shard_digest,
        recording=recording_json,
        dtype=PLAN.config.model.arithmetic,
        mode=PLAN.config.model.mode,
        apply_postprocessing=PLAN.config.model.apply_postprocessing,
    message:
        "Running tiles, job {wildcards.job}, of pass {wildcards.checkpoint}/{wildcards.pass_name} over shard {wildcards.shard}"
    shell:
        "{params.maskgrid} tiles {params.options} --checkpoint {wildcards.checkpoint:q}"
        " --pass {wildcards.pass_name:q} --shard {wildcards.shard:q} --job {wildcards.job}"
        " --recording {params.recording:q} 2> >(tee {log:q} >&2)"


rule replay:
    input:
        candidate_files,
        REGION_FILES,
    output:
        selections="<results>/selections/{shard}.parquet",
        counts="<results>/selections/{shard}.counts.parquet",
    log:
        "<logs>/replay/{shard}.log",
    benchmark:
        "<benchmarks>/replay/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        **CALL,
        **REGIONS,
        settings=SETTINGS_DIGEST,
    message:
        f"Replaying {len(PLAN.settings)} settings over shard {{wildcards.shard}}"
    shell:
        "{params.maskgrid} replay {params.options} --shard {wildcards.shard:q} 2> >(tee {log:q} >&2)"


# One small file stands for all shards: with a hundred settings to export, listing each shard in each merge would be
# more than Snakemake can plan. On a cluster it runs beside Snakemake, since it takes seconds.
rule gather:
    input:
        selection_files,
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/selections.json",
    log:
        "<logs>/gather.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
        settings=SETTINGS_DIGEST,
    message:
        "Checking that the selections of all shards belong together"
    shell:
        "{params.maskgrid} gather {params.options} 2> >(tee {log:q} >&2)"


rule merge:
    input:
        gathered_file,
        CATEGORIES_FILE,
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/annotations/{label}.json",
    log:
        "<logs>/merge/{label}.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        **CATEGORIES,
        images=images_fingerprint,
        setting=lambda wildcards: find(PLAN.settings, wildcards.label, "annotations").id,
        output_mode=PLAN.config.generator.output_mode,
    message:
        "Writing the masks of {wildcards.label} as COCO"
    shell:
        "{params.maskgrid} merge {params.options} --setting {wildcards.label:q} 2> >(tee {log:q} >&2)"
