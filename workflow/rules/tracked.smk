"""The tracking job, if the config has a section tracking: follow objects through videos."""


include: "inputs/tracked.smk"


wildcard_constraints:
    run=r"[A-Za-z0-9._~@-]+",
    group=r"\d{4}",


# update() keeps the old tables while the job runs, so that unchanged videos are not decoded again.
checkpoint videos:
    input:
        video_files(),
    output:
        videos=update("<results>/tracked/videos.parquet"),
        files=update("<results>/tracked/files.parquet"),
        prompts=update("<results>/tracked/prompts.parquet"),
        jobs=update("<results>/tracked/jobs.parquet"),
    log:
        "<logs>/tracked/videos.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        **TRACKED_EXTRAS,
        planning=video_planning,
        max_pixels=PLAN.config.dataset.max_pixels,
        listing=lambda wildcards: video_listing(),
        prompts=lambda wildcards: content_of(TRACKED_PROMPTS),
    message:
        "Listing and checking the videos and their prompts"
    shell:
        "{params.maskgrid} videos {params.options} 2> >(tee {log:q} >&2)"


# Each job has a digest, so new tables alone are no reason to run again. update() keeps the old masklets while the job
# runs, so that those of the same video and prompts are not made again.
rule track:
    input:
        jobs=ancient("<results>/tracked/jobs.parquet"),
        checkpoint=missing(CHECKPOINT_FILES),
    output:
        update("<results>/tracked/parts/{run}/{group}.parquet"),
    log:
        "<logs>/tracked/{run}/{group}.log",
    benchmark:
        "<benchmarks>/tracked/{run}/{group}.tsv"
    conda:
        "../../environment.yml"
    resources:
        gpu=1,
    params:
        **CALL,
        **WEIGHTS,
        digest=track_digest,
        tracking=tracking_parameters,
        checkpoint=PLAN.config.model.checkpoint,
        dtype=PLAN.config.model.arithmetic,
        apply_postprocessing=PLAN.config.model.apply_postprocessing,
    message:
        "Following the objects of {wildcards.run}, group {wildcards.group}"
    shell:
        "{params.maskgrid} track {params.options} --run {wildcards.run:q} --group {wildcards.group:q}"
        " 2> >(tee {log:q} >&2)"


rule masklets:
    input:
        track_parts,
    output:
        "<results>/tracked/masklets/{run}.parquet",
    log:
        "<logs>/tracked/{run}/masklets.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
    message:
        "Joining the masklets of {wildcards.run}"
    shell:
        "{params.maskgrid} masklets {params.options} --run {wildcards.run:q} 2> >(tee {log:q} >&2)"


rule track_overlay:
    input:
        "<results>/tracked/masklets/{run}.parquet",
    output:
        report(
            "<results>/tracked/overlay/{run}.webp",
            category="Videos",
            labels={"video": "{run}", "picture": "moving"},
            caption="../report/masklets.rst",
        ),
        report(
            "<results>/tracked/overlay/{run}.jpg",
            category="Videos",
            labels={"video": "{run}", "picture": "side by side"},
            caption="../report/masklets.rst",
        ),
    log:
        "<logs>/tracked/{run}/overlay.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        form="overlay",
    message:
        "Writing the masklets of {wildcards.run} as {params.form}"
    shell:
        "{params.maskgrid} track-export {params.options} --run {wildcards.run:q} --form {params.form:q}"
        " 2> >(tee {log:q} >&2)"


use rule track_overlay as track_sa_v with:
    output:
        "<results>/tracked/sa_v/{run}.json",
    log:
        "<logs>/tracked/{run}/sa_v.log",
    params:
        **CALL,
        form="sa_v",


use rule track_overlay as track_png with:
    output:
        directory("<results>/tracked/png/{run}"),
    log:
        "<logs>/tracked/{run}/png.log",
    params:
        **CALL,
        form="png",


use rule track_overlay as track_palette with:
    output:
        directory("<results>/tracked/palette/{run}"),
    log:
        "<logs>/tracked/{run}/palette.log",
    params:
        **CALL,
        form="palette",


use rule track_overlay as track_mots with:
    output:
        "<results>/tracked/mots/{run}.txt",
    log:
        "<logs>/tracked/{run}/mots.log",
    params:
        **CALL,
        form="mots",


use rule track_overlay as track_mp4 with:
    output:
        "<results>/tracked/overlay_mp4/{run}.mp4",
    log:
        "<logs>/tracked/{run}/overlay_mp4.log",
    params:
        **CALL,
        form="overlay_mp4",


use rule track_overlay as track_player with:
    output:
        directory("<results>/tracked/player/{run}"),
    log:
        "<logs>/tracked/{run}/player.log",
    params:
        **CALL,
        form="player",


rule track_truth:
    input:
        true_objects_source(),
        files=ancient("<results>/tracked/files.parquet"),
    output:
        "<results>/tracked/ground_truth/videos.parquet",
        "<results>/tracked/ground_truth/masks.parquet",
    log:
        "<logs>/tracked/truth.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        videos=videos_fingerprint,
        stop=TRACKING.get("stop"),
        content=lambda wildcards: true_objects_content(),
    message:
        "Reading the true objects of the videos"
    shell:
        "{params.maskgrid} track-truth {params.options} 2> >(tee {log:q} >&2)"


rule track_evaluate:
    input:
        "<results>/tracked/masklets/{run}.parquet",
        "<results>/tracked/ground_truth/videos.parquet",
        "<results>/tracked/ground_truth/masks.parquet",
    output:
        "<results>/tracked/ground_truth/runs/{run}.parquet",
    log:
        "<logs>/tracked/{run}/evaluate.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
        measuring=measuring_parameters,
    message:
        "Measuring the masklets of {wildcards.run} against the true objects"
    shell:
        "{params.maskgrid} track-evaluate {params.options} --run {wildcards.run:q} 2> >(tee {log:q} >&2)"


rule track_merge:
    input:
        masklet_files,
        track_exports,
        run_accuracies,
        prompts="<results>/tracked/prompts.parquet",
        videos="<results>/tracked/videos.parquet",
    output:
        tracked_documents(),
        tracked_accuracies(),
        "<results>/tracked/objects.parquet",
        "<results>/tracked/summary.parquet",
        "<results>/tracked/settings.parquet",
        "<results>/tracked/index.html",
        "<results>/tracked/provenance.json",
    log:
        "<logs>/tracked/merge.log",
    conda:
        "../../environment.yml"
    params:
        **CALL,
    message:
        "Writing the statistics and the page of all videos"
    shell:
        "{params.maskgrid} track-merge {params.options} 2> >(tee {log:q} >&2)"


# Only the tracking job: snakemake tracked
rule tracked:
    input:
        tracked_results(),
