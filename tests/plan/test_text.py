"""What `maskgrid plan` says about the remaining work, estimated from measured shards."""

import re

import pytest

from made_results import make_results, two_shards
from maskgrid.io.tables import read_origin, read_table, write_table
from maskgrid.plan.text import estimate, estimate_lines, plan_text

HEADER = "s\th:m:s\tmax_rss\tmax_vms\tmax_uss\tmax_pss\tio_in\tio_out\tmean_load\tcpu_time\n"
SIZES = {"d1-0": 40, "d1-1": 10, "d1-2": 100}


@pytest.fixture
def plan(tmp_path):
    """A run of two passes with two finished shards of 40 and 10 images, and a missing one of 100."""
    plan = make_results(tmp_path, two_shards, n_images=4)
    shards = read_table(plan.layout.shards)
    rows = [{"shard": shard, "digest": shard, "n_images": n_images} for shard, n_images in SIZES.items()]
    write_table(plan.layout.shards, type(shards).from_pylist(rows), {})
    for run in plan.runs:
        for shard in ("d1-0", "d1-1"):
            path = plan.layout.candidates(run, shard)
            write_table(path, read_table(path), {**read_origin(path), "device": "cuda"})
    return plan


def benchmark(plan, run, shard, seconds):
    path = plan.layout.root.parent / "benchmarks/generate/demo" / run.pass_.name / f"{shard}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"{HEADER}{seconds}\t0:01:00\t1\t1\t1\t1\t1\t1\t1\t1\n")


def test_hours_and_bytes_are_scaled_by_image_from_measured_shards(plan):
    run = plan.runs[0]
    benchmark(plan, run, "d1-0", 400.0)
    found = estimate(plan.layout, run, ["d1-2"])
    assert (found.n_images, found.n_measured, found.seconds_per_image) == (100, 1, 10.0)
    assert found.hours == 1000 / 3600
    files = [
        where(run, shard) for shard in ("d1-0", "d1-1") for where in (plan.layout.candidates, plan.layout.pass_images)
    ]
    assert found.n_bytes == pytest.approx(100 / 50 * sum(path.stat().st_size for path in files))
    assert found.devices == ("cuda",)


def test_a_resumed_shard_does_not_distort_the_estimate(plan):
    run = plan.runs[0]
    rows = [{"shard": f"d1-{number}", "digest": "", "n_images": 10} for number in range(4)]
    table = read_table(plan.layout.shards)
    write_table(plan.layout.shards, type(table).from_pylist(rows), {})
    for where in (plan.layout.candidates, plan.layout.pass_images):
        path = where(run, "d1-0")
        where(run, "d1-2").write_bytes(path.read_bytes())
    for shard, seconds in {"d1-0": 100.0, "d1-1": 120.0, "d1-2": 1.0}.items():
        benchmark(plan, run, shard, seconds)
    assert estimate(plan.layout, run, ["d1-3"]).seconds_per_image == 10.0


def test_the_plan_says_how_long_and_from_how_many_shards(plan):
    for run in plan.runs:
        benchmark(plan, run, "d1-0", 400.0)
        benchmark(plan, run, "d1-1", 120.0)
    text = plan_text(plan)
    assert re.search(r"network   demo/crop0-grid4: about 18.3 minutes on cuda and .* for 100 images", text)
    assert "(11 s each, from 2 measured shards)" in text
    assert "total 36.7 minutes\n" in text


def test_without_a_measured_shard_the_plan_says_how_to_measure_one(plan):
    benchmark(plan, plan.runs[0], "d1-0", 36_000.0)
    text = plan_text(plan)
    target = plan.layout.candidates(plan.runs[1], "d1-2")
    assert f"100 images, no shard measured yet: run snakemake ... {target}" in text
    assert "about 25.0 hours on cuda" in text


def test_empty_or_broken_benchmark_files_are_ignored(plan):
    run = plan.runs[0]
    path = plan.layout.root.parent / "benchmarks/generate/demo" / run.pass_.name / "d1-0.tsv"
    path.parent.mkdir(parents=True)
    for content in ("", HEADER, f"{HEADER}-\n", "x\ty\n1\t2\n"):
        path.write_text(content)
        assert estimate(plan.layout, run, ["d1-2"]).hours is None


def test_complete_runs_need_no_estimate(tmp_path):
    assert estimate_lines([]) == []
    assert "\n  network" not in plan_text(make_results(tmp_path, two_shards))
