"""Events become stages, lines and bars."""

import re

import pytest

from maskgrid.cli.running.display import rate_text
from maskgrid.cli.running.ending import failure_lines, plain_error
from maskgrid.cli.running.stages import WORDS, Failure, RunState, duration, stage_line
from workflow import ROOT


def job(number, rule, **wildcards):
    return {"event": "job", "jobid": number, "rule_name": rule, "wildcards": wildcards, "log": []}


def finished(number):
    return {"event": "job_finished", "jobid": number}


def progress(pid, command, done, total, what="x", unit="images"):
    return {
        "event": "progress", "job": pid, "what": what, "command": command, "done": done, "total": total, "unit": unit
    }  # fmt: skip


def after(*events):
    """The state after events that come a second apart, and the stages that they end."""
    state = RunState()
    return state, [rule for now_s, event in enumerate(events) if (rule := state.take(event, float(now_s)))]


def test_every_rule_has_its_words():
    text = "".join(path.read_text() for path in [ROOT / "workflow/Snakefile", *ROOT.glob("workflow/rules/*.smk")])
    rules = re.findall(r"^(?:rule|checkpoint|use rule \w+ as) (\w+)", text, re.MULTILINE)
    assert len(rules) > 20
    assert set(rules) == set(WORDS)
    assert not re.findall(r'"(?:results|logs|benchmarks)/', text)


def test_a_stage_ends_with_its_last_expected_job():
    jobs = {"event": "jobs", "stats": {"generate": 2, "report": 1, "total": 3}}
    begin = [jobs, job(1, "generate"), finished(1)]
    assert after(*begin)[1] == []
    state, ended = after(*begin, job(2, "generate"), finished(2), job(3, "report"), finished(3))
    assert ended == ["generate", "report"]
    assert state.stages["generate"].ended_s - state.stages["generate"].began_s == 3


def test_a_failed_job_that_is_tried_again_ends_its_stage_once():
    error = {"event": "job_error", "jobid": 1, "rule_name": "merge", "wildcards": {"label": "b"}, "log": ["l"]}
    state, ended = after(job(1, "merge"), error, job(1, "merge"), finished(1))
    assert ended == ["merge"]
    assert state.failures == [Failure("merge", "b", "l")]


def test_items_add_up_over_jobs_and_the_rate_counts_from_the_first_item():
    state, _ = after(
        job(1, "generate"),
        job(2, "generate"),
        progress(10, "generate", 100, 200, unit="B"),  # the weights come first
        progress(10, "generate", 0, 8),
        progress(11, "generate", 0, 8),
        progress(10, "generate", 4, 8),
        progress(11, "generate", 4, 8),
    )
    stage = state.stages["generate"]
    assert (stage.n_done, stage.n_items) == (8, 16)
    assert rate_text(stage) == "8/16 images, 2.0 images/s, 4.0 s left"
    stage.n_items_expected = 24
    assert rate_text(stage) == "8/24 images, 2.0 images/s, 8.0 s left"


@pytest.mark.parametrize(
    ("rule", "command", "what"),
    [("prompt_merge", "prompt-merge", "x"), ("export_polygons", "export", "polygons"), ("index", "index", "archives")],
)
def test_a_command_s_progress_goes_to_its_rule(rule, command, what):
    state, _ = after(job(1, "prompt"), job(3, "export_sa1b"), job(2, rule), progress(9, command, 1, 2, what=what))
    assert state.stages[rule].n_done == 1
    assert state.stages["prompt"].n_done == state.stages["export_sa1b"].n_done == 0


def test_progress_of_a_job_that_is_not_known_is_left_out():
    assert after(progress(9, "generate", 1, 2))[0].stages == {}


def test_a_line_says_what_how_much_and_how_long():
    state, _ = after(job(1, "generate"), progress(9, "generate", 8, 8), finished(1))
    assert stage_line(state.stages["generate"]).split() == [
        "generate",
        "running",
        "the",
        "network",
        "8",
        "images",
        "2.0",
        "s",
    ]
    assert len(stage_line(state.stages["generate"])) <= 100


@pytest.mark.parametrize(("seconds", "text"), [(2.06, "2.1 s"), (59.94, "59.9 s"), (185, "3:05"), (3720.4, "1:02:00")])
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("INFO: x\nmaskgrid: accept: 1 of 8\n", "accept: 1 of 8"),
        ("Traceback\n  File\nValueError: bad\n", "ValueError: bad"),
        ("", "it wrote nothing"),
        (None, "it wrote no log"),
    ],
)
def test_a_failure_is_one_line_with_its_reason_and_log(tmp_path, content, reason):
    log = tmp_path / "a.log"
    if content is not None:
        log.write_text(content)
    failure = Failure("merge", "baseline", str(log))
    assert failure_lines([failure, failure]) == [f"merge baseline failed: {reason} (log: {log})"]


def test_many_failures_are_counted():
    lines = failure_lines([Failure("merge", str(number), "") for number in range(7)])
    assert len(lines) == 6
    assert lines[-1] == "and 2 more jobs"


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        (
            'WorkflowError in file "/a/common.smk", line 65:\nconfig: x\n  File "/a/common.smk", line 65, in <module>',
            "config: x",
        ),
        (
            'InputFunctionException in rule index in file "/a/d.smk", line 3:\nError:\n  WorkflowError:\n    '
            'no folder\nWildcards:\n\nTraceback:\n  File "/a/d.smk", line 3, in <lambda>',
            "no folder",
        ),
        ("MissingRuleException:\nNo rule to produce x", "No rule to produce x"),
        ("Error: profile not found", "profile not found"),
    ],
)
def test_snakemake_s_errors_lose_their_frame(text, plain):
    assert plain_error(text) == plain
