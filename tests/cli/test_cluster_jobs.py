"""Jobs that a killed driver left in the queue; tests/workflow/slurm uses a real SLURM."""

import os

import pytest

from maskgrid.cli.cluster_jobs import ClusterJob, jobs_in_queue, parse_queue, refuse_second_writers
from maskgrid.io.errors import UserError

RUN = "0b2b6aa4-ad0a-4bb2-aa53-8d4d601a1fc2"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "run/logs/slurm").mkdir(parents=True)
    return tmp_path / "run"


def queue(monkeypatch, tmp_path, script):
    """Put a squeue on the path that runs this shell script."""
    (tmp_path / "bin").mkdir()
    program = tmp_path / "bin/squeue"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}{os.pathsep}{os.environ['PATH']}")


@pytest.mark.parametrize(
    ("line", "is_ours"),
    [
        ("7|RUNNING|maskgrid_{run}|rule_generate_wildcards_demo|{folder}", True),
        ("7|PENDING|{run}|rule_index|{folder}", True),  # without a prefix
        ("7|COMPLETING|my_own_prefix_{run}|rule_index|{folder}", True),
        ("7|RUNNING|maskgrid_{run}|rule_index|{folder}/../run", True),
        ("7|RUNNING|maskgrid_{run}|rule_index|{folder}/other", False),
        ("7|RUNNING|maskgrid|(null)|{folder}", False),  # the driver itself, as users may name it
        ("7|RUNNING|{run}_after|rule_index|{folder}", False),
    ],
)
def test_a_job_is_recognised_by_its_name_and_folder(line, is_ours, folder):
    jobs = parse_queue(line.format(run=RUN, folder=folder) + "\n", folder)
    assert bool(jobs) == is_ours
    assert all(job.job_id == "7" for job in jobs)


def test_fields_may_hold_the_separator(tmp_path):
    folder = tmp_path / "a|b"
    assert parse_queue(f"1_2|PENDING|{RUN}|rule_merge|{folder}\n", folder) == [
        ClusterJob("1_2", "PENDING", RUN, "rule_merge")
    ]


def test_a_second_start_is_refused_with_advice(monkeypatch, tmp_path, folder):
    lines = f"{{}}|RUNNING|maskgrid_{RUN}|rule_replay|{folder}"
    queue(monkeypatch, tmp_path, "; ".join(f"echo '{lines.format(number)}'" for number in range(1, 7)))
    with pytest.raises(UserError) as refusal:
        refuse_second_writers(folder)
    text = str(refusal.value)
    assert text.startswith("6 jobs of an earlier run")
    assert "5 RUNNING rule_replay\n  and 1 more" in text
    assert f"scancel --name=maskgrid_{RUN}" in text


def test_an_empty_queue_lets_a_run_start(monkeypatch, tmp_path, folder):
    queue(monkeypatch, tmp_path, "true")
    refuse_second_writers(folder)


def test_squeue_is_not_called_for_a_folder_without_slurm_jobs(monkeypatch, tmp_path):
    queue(monkeypatch, tmp_path, f'echo "1|RUNNING|{RUN}|rule_index|{tmp_path}"')
    assert jobs_in_queue(tmp_path) == []


def test_a_failing_squeue_is_logged(monkeypatch, tmp_path, folder, caplog):
    queue(monkeypatch, tmp_path, "echo 'slurm_load_jobs error: Unable to contact slurm controller' >&2; exit 1")
    assert jobs_in_queue(folder) == []
    assert "Unable to contact slurm controller" in caplog.text
