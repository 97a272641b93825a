"""The results for people: exports, the dataset card, statistics, the report, the verdict."""


include: "inputs/results.smk"


rule export_sa1b:
    input:
        annotation_file,
    output:
        "<results>/exports/sa1b/{label}.tar",
    log:
        "<logs>/exports/sa1b/{label}.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
    message:
        "Writing the masks of {wildcards.label} as SA-1B's JSON"
    shell:
        "{params.maskgrid} export {params.options} --setting {wildcards.label:q} --form sa1b 2> >(tee {log:q} >&2)"


rule export_polygons:
    input:
        annotation_file,
    output:
        "<results>/exports/polygons/{label}.json",
    log:
        "<logs>/exports/polygons/{label}.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        **POLYGONS_OPTIONS,
    message:
        "Writing the masks of {wildcards.label} as polygons"
    shell:
        "{params.maskgrid} export {params.options} --setting {wildcards.label:q} --form polygons"
        " 2> >(tee {log:q} >&2)"


rule export:
    input:
        annotation_file,
    output:
        directory("<results>/exports/{form}/{label}"),
    log:
        "<logs>/exports/{form}/{label}.log",
    wildcard_constraints:
        form="|".join(FOLDER_FORMS),
    conda:
        "../../environment.yml"
    params:
        **CALL,
        form_options=form_options,
    message:
        "Writing the masks of {wildcards.label} as {wildcards.form}"
    shell:
        "{params.maskgrid} export {params.options} --setting {wildcards.label:q} --form {wildcards.form}"
        " 2> >(tee {log:q} >&2)"


rule export_prompted:
    input:
        prompted_annotation_file,
    output:
        directory("<results>/prompted/exports/{form}"),
    log:
        "<logs>/prompted/exports/{form}.log",
    wildcard_constraints:
        form="|".join(FOLDER_FORMS),
    conda:
        "../../environment.yml"
    params:
        **CALL,
        form_options=form_options,
    message:
        "Writing the masks of the prompts as {wildcards.form}"
    shell:
        "{params.maskgrid} export {params.options} --prompted --form {wildcards.form}"
        " 2> >(tee {log:q} >&2)"


rule export_prompted_polygons:
    input:
        prompted_annotation_file,
    output:
        "<results>/prompted/exports/polygons.json",
    log:
        "<logs>/prompted/exports/polygons.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        **POLYGONS_OPTIONS,
    message:
        "Writing the masks of the prompts as polygons"
    shell:
        "{params.maskgrid} export {params.options} --prompted --form polygons"
        " 2> >(tee {log:q} >&2)"


rule card:
    input:
        annotation_files(),
        export_files(),
        prompted_export_files(),
        accuracy_results(),
        "<results>/statistics/summary.parquet",
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/README.md",
        "<results>/croissant.json",
    log:
        "<logs>/card.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
    message:
        "Writing the dataset card"
    shell:
        "{params.maskgrid} card {params.options} 2> >(tee {log:q} >&2)"


rule statistics:
    input:
        count_files,
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/statistics/settings.parquet",
        "<results>/statistics/mask_counts.parquet",
        "<results>/statistics/summary.parquet",
        "<results>/statistics/effects.parquet",
        "<results>/statistics/interactions.parquet",
    log:
        "<logs>/statistics.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
        settings=SETTINGS_DIGEST,
        baseline=PLAN.baseline.id,
    message:
        "Writing the mask counts of all settings"
    shell:
        "{params.maskgrid} statistics {params.options} 2> >(tee {log:q} >&2)"


# Off without a section tune: then nothing asks for its outputs.
rule tune:
    input:
        all_candidate_files,
        truth_tables(),
        "<results>/statistics/summary.parquet",
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/tuning/settings.parquet",
        "<results>/tuning/outcome.parquet",
    log:
        "<logs>/tune.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
        settings=SETTINGS_DIGEST,
        baseline=PLAN.baseline.id,
        tune=lambda wildcards: tuning_asked_for(),
    message:
        "Searching for the best setting"
    shell:
        "{params.maskgrid} tune --write {params.options} 2> >(tee {log:q} >&2)"


# What the explorer shows of each image, beside its page. The data are the same whatever the settings are.
rule explorer:
    input:
        candidate_files,
        REGION_FILES,
        truth_tables(),
    output:
        directory("<results>/report/explorer/{shard}"),
    log:
        "<logs>/explorer/{shard}.log",
    benchmark:
        "<benchmarks>/explorer/{shard}.tsv"
    conda:
        "../../environment.yml"
    params:
        **CALL,
        **REGIONS,
    message:
        "Writing what the explorer shows of shard {wildcards.shard}"
    shell:
        "{params.maskgrid} explorer {params.options} --shard {wildcards.shard:q} 2> >(tee {log:q} >&2)"


rule report:
    input:
        annotation_files(),
        export_files(),
        prompted_export_files(),
        accuracy_results(),
        tuning_results(),
        "<results>/statistics/summary.parquet",
    output:
        page=report(
            "<results>/report/index.html",
            category="Pages",
            caption="../report/page.rst",
        ),
        explorer=report(
            "<results>/report/explorer.html",
            category="Pages",
            caption="../report/explorer.rst",
        ),
        images="<results>/report/explorer/images.js",
        overlays=report(
            overlay_files(), category="Masks", caption="../report/overlays.rst"
        ),
    log:
        "<logs>/report.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        explorer=PLAN.config.explorer,
    message:
        "Writing the report"
    shell:
        "{params.maskgrid} report {params.options} 2> >(tee {log:q} >&2)"


# Remove what an earlier run wrote and this config does not ask for, and name the rest. Its own outputs are what the config
# asks for, so another config alone is a reason to run. update() keeps the list of the last run.
rule tidy:
    input:
        annotation_files(),
        export_files(),
        card_files(),
        accuracy_results(),
        tuning_results(),
        prompted_results(),
        prompted_export_files(),
        tracked_results(),
        explorer_folders,
        "<results>/report/index.html",
        index=ancient("<results>/dataset/files.parquet"),
    output:
        update("<results>/outputs.json"),
    log:
        "<logs>/tidy.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        **CALL,
        # So that it waits for the index, as the card does: see the pitfalls in CONTRIBUTING.md.
        images=images_fingerprint,
        asked_for=lambda wildcards: asked_for(),
    message:
        "Looking for results of another config"
    shell:
        "{params.maskgrid} tidy {params.options} 2> >(tee {log:q} >&2)"


# A rule of its own, so that its file stays where the next one fails.
rule provenance:
    input:
        annotation_files(),
        "<results>/report/index.html",
        "<results>/statistics/summary.parquet",
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/provenance.json",
        "<results>/report/provenance.js",
    log:
        "<logs>/provenance.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
        max_failed_fraction=PLAN.config.dataset.max_failed_fraction,
    message:
        "Writing how the results came about"
    shell:
        "{params.maskgrid} provenance {params.options} 2> >(tee {log:q} >&2)"


# Fail if too many images were unusable, after everything else is written. On a cluster it runs beside Snakemake: it
# takes seconds, and a profile's retries would not change its verdict.
rule accept:
    input:
        annotation_files(),
        "<results>/report/index.html",
        "<results>/statistics/summary.parquet",
        index=ancient("<results>/dataset/files.parquet"),
    output:
        "<results>/accepted.json",
    log:
        "<logs>/accept.log",
    localrule: True
    conda:
        "../../environment.yml"
    params:
        **CALL,
        images=images_fingerprint,
        max_failed_fraction=PLAN.config.dataset.max_failed_fraction,
    message:
        "Checking that not too many images failed"
    shell:
        "{params.maskgrid} accept {params.options} 2> >(tee {log:q} >&2)"
