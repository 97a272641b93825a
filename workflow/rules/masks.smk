"""The run of the network, and the replay of all settings."""


# The index is needed but not a reason to run again: each shard has its digest for that.
rule generate:
    input:
        index=ancient("results/dataset/files.parquet"),
        checkpoint=checkpoint_file,
    output:
        candidates="results/candidates/{checkpoint}/{pass_name}/{shard}.parquet",
        images="results/candidates/{checkpoint}/{pass_name}/{shard}.images.parquet",
    log:
        "logs/generate/{checkpoint}/{pass_name}/{shard}.log",
    benchmark:
        "benchmarks/generate/{checkpoint}/{pass_name}/{shard}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        digest=shard_digest,
        recording=recording_json,
        dtype=PLAN.config.model.dtype,
        mode=PLAN.config.model.mode,
        apply_postprocessing=PLAN.config.model.apply_postprocessing,
        maskgrid=command,
        options=OPTIONS,
    message:
        "{wildcards.checkpoint}: {wildcards.pass_name} over shard {wildcards.shard}"
    shell:
        "{params.maskgrid} generate {params.options} --checkpoint {wildcards.checkpoint:q}"
        " --pass {wildcards.pass_name:q} --shard {wildcards.shard:q} --recording {params.recording:q}"
        " 2> >(tee {log:q} >&2)"


rule replay:
    input:
        candidate_files,
    output:
        selections="results/selections/{shard}.parquet",
        counts="results/selections/{shard}.counts.parquet",
    log:
        "logs/replay/{shard}.log",
    benchmark:
        "benchmarks/replay/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        settings=SETTINGS_DIGEST,
        maskgrid=command,
        options=OPTIONS,
    message:
        f"Replaying {len(PLAN.settings)} settings over shard {{wildcards.shard}}"
    shell:
        "{params.maskgrid} replay {params.options} --shard {wildcards.shard:q} 2> >(tee {log:q} >&2)"
