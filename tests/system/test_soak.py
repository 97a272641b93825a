"""The soak itself: it finds faults, crashes and hangs, goes on where it stopped, and its fast kinds run."""

import os
import signal
import time

import pytest

from soak import configs, images, tables, videos
from soak.record import Record
from soak.trials import Failure, Kind, Outcome, WrongError, run_trials

N_TRIALS = 60
SECONDS = 1.0


def trial_of(chance):
    """Every tenth trial or so fails in one of four ways."""
    match chance.randrange(40):
        case 0:
            raise WrongError("lost")
        case 1:
            raise {}["bug"]
        case 2:
            os.kill(os.getpid(), signal.SIGKILL)
        case 3:
            time.sleep(100 * SECONDS)
    yield "fine"


def test_faults_crashes_and_hangs_are_failures_of_their_trial_alone():
    kind = Kind("any", lambda folder: trial_of, 1000, 10, SECONDS, None, "trials")
    outcome = run_trials(kind, trial_of, 0, range(60))
    ends = [failure.what.strip().splitlines()[-1] for failure in outcome.failures]
    assert {"lost", "KeyError: 'bug'", "the process ended (signal 9)", "no answer in 1 s (signal 9)"} == set(ends)
    assert outcome.results["fine"] + len(outcome.failures) == 60
    numbers = [failure.trial for failure in outcome.failures]
    again = run_trials(kind, trial_of, 0, numbers)
    assert [failure.trial for failure in again.failures] == numbers
    assert not again.results


def test_a_record_goes_on_after_a_kill_and_forgets_failures_that_are_mended(tmp_path):
    record = Record(tmp_path, 7)
    assert record.done("tables") == 0
    record.add("tables", range(10), Outcome(failures=[Failure(3, "x"), Failure(8, "a\ny")]), 1.0)
    record.add("images", range(5), Outcome(), 1.0)
    with record.path.open("a") as stream:
        stream.write('{"kind": "tables", "first": 10, "st')  # killed while writing
    assert (record.done("tables"), record.done("images")) == (10, 5)
    record.add("tables", range(10, 30), Outcome(), 2.0)
    record.add("tables", [3, 8], Outcome(failures=[Failure(8, "y")]), 1.0, again=True)
    assert record.done("tables") == 30
    assert record.failed("tables") == [Failure(8, "y")]
    assert "30 in 4 s" in record.summary("tables")


@pytest.mark.timeout(1200)
@pytest.mark.parametrize("module", [images, configs, tables, videos], ids=lambda module: module.KIND.name)
def test_some_trials(module, tmp_path):
    outcome = run_trials(module.KIND, in_child(module, tmp_path), 1, range(N_TRIALS))
    assert outcome.failures == []
    assert outcome.results


def in_child(module, folder):
    """The trial, prepared in the process that runs it: some kinds silence warnings and logs."""
    prepared = []

    def trial(chance):
        if not prepared:
            prepared.append(module.prepare(folder))
        return prepared[0](chance)

    return trial
