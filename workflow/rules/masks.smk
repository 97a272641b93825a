"""The run of the network, and the replay of all settings."""


def shard_digest(wildcards):
    """What a shard's images are: the one thing about the dataset that its jobs depend on."""
    checkpoints.index.get()
    return shard_digests()[wildcards.shard]


def recording_json(wildcards):
    """What to record for a shard; as it is recorded already, where that is enough for the sweep."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return orjson.dumps(PLAN.recording(run, wildcards.shard).as_dict()).decode()


def checkpoint_file(wildcards):
    """A checkpoint that the user has as a file: a new one makes its passes run again."""
    run = PLAN.run(wildcards.checkpoint, wildcards.pass_name)
    return [run.checkpoint] if run.checkpoint.endswith(".pt") else []


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
    params:
        digest=shard_digest,
        recording=recording_json,
        dtype=PLAN.config.model.dtype,
        mode=PLAN.config.model.mode,
        apply_postprocessing=PLAN.config.model.apply_postprocessing,
        maskgrid=MASKGRID,
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
    params:
        settings=SETTINGS_DIGEST,
        maskgrid=MASKGRID,
        options=OPTIONS,
    message:
        f"Replaying {len(PLAN.settings)} settings over shard {{wildcards.shard}}"
    shell:
        "{params.maskgrid} replay {params.options} --shard {wildcards.shard:q} 2> >(tee {log:q} >&2)"
