"""Measure masks against annotated objects, if the config or the source has annotations."""


include: "inputs/accuracy.smk"


rule truth:
    input:
        ground_truth_source(),
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/ground_truth/images.parquet",
        "<results>/ground_truth/objects.parquet",
    log:
        "<logs>/ground_truth/truth.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
        ground_truth=lambda wildcards: PLAN.config.dataset.ground_truth,
        content=lambda wildcards: ground_truth_content(),
    message:
        "Reading the annotated objects"
    shell:
        "{params.maskgrid} truth {params.options} 2> >(tee {log:q} >&2)"


rule evaluate:
    input:
        candidate_files,
        objects="<results>/ground_truth/objects.parquet",
        selections="<results>/selections/{shard}.parquet",
    output:
        "<results>/ground_truth/shards/{shard}.parquet",
    log:
        "<logs>/ground_truth/{shard}.log",
    benchmark:
        "<benchmarks>/ground_truth/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        **CALL,
        settings=SETTINGS_DIGEST,
    message:
        "Measuring the masks of shard {wildcards.shard} against the annotated objects"
    shell:
        "{params.maskgrid} evaluate {params.options} --shard {wildcards.shard:q} 2> >(tee {log:q} >&2)"


rule accuracy:
    input:
        accuracy_files,
        "<results>/statistics/summary.parquet",
    output:
        "<results>/statistics/accuracy.parquet",
        "<results>/statistics/accuracy_summary.parquet",
    log:
        "<logs>/ground_truth/accuracy.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        settings=SETTINGS_DIGEST,
    message:
        "Writing the accuracy of all settings"
    shell:
        "{params.maskgrid} accuracy {params.options} 2> >(tee {log:q} >&2)"
