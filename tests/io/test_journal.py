"""A journal says whether anything is left to do."""

import errno
import itertools
import os

import pyarrow as pa
import pytest

from maskgrid.io.files import observed, remove_tree
from maskgrid.io.journal import Journal
from maskgrid.io.tables import write_table

TABLE = pa.table({"x": [1, 2]})


@pytest.fixture
def outputs(tmp_path):
    return tmp_path / "a.parquet", tmp_path / "b.parquet"


def write(outputs, fingerprint="f"):
    for output in outputs:
        write_table(output, TABLE, {"fingerprint": fingerprint})


def test_current_outputs_stay(outputs):
    write(outputs)
    inodes = [output.stat().st_ino for output in outputs]
    assert Journal(outputs[1], "f").finished(outputs)
    assert [output.stat().st_ino for output in outputs] == inodes
    # They are kept, for a workflow that removes them before it has noted that the job is done.
    outputs[0].unlink()
    assert Journal(outputs[1], "f").finished(outputs)
    assert outputs[0].is_file()


def test_outputs_of_another_fingerprint_or_none_are_made(outputs):
    assert not Journal(outputs[1], "f").finished(outputs)
    write(outputs)
    assert not Journal(outputs[1], "other").finished(outputs)
    outputs[1].write_bytes(outputs[1].read_bytes()[:-1])
    assert not Journal(outputs[1], "f").finished(outputs)


def finish(journal, outputs):
    """As a stage does: a part, then the outputs made of it."""
    journal.write(0, [TABLE])
    for place in journal.places(outputs):
        write_table(place, TABLE, {"fingerprint": journal.fingerprint})
    journal.publish(outputs)


def test_outputs_that_vanish_are_published_again(outputs):
    finish(Journal(outputs[1], "f"), outputs)
    content = [output.read_bytes() for output in outputs]
    assert Journal(outputs[1], "f").read(0, 1) is None
    for output in outputs:
        output.unlink()
    assert Journal(outputs[1], "f").finished(outputs)
    assert [output.read_bytes() for output in outputs] == content


def test_outputs_that_vanish_at_any_step_cost_no_work(outputs):
    """A workflow that is told to stop removes the outputs while the job is still running."""
    steps = []
    with observed(lambda step, path: steps.append(step)):
        finish(Journal(outputs[1], "f"), outputs)
    assert len(steps) > 20
    for number in range(len(steps)):
        remove_tree(outputs[1].parent / ".b.parquet.journal")
        vanish(outputs)
        count = itertools.count()
        with observed(lambda step, path, number=number, count=count: next(count) == number and vanish(outputs)):
            finish(Journal(outputs[1], "f"), outputs)
        vanish(outputs)
        journal = Journal(outputs[1], "f")
        assert journal.finished(outputs) or journal.read(0, 1) is not None, f"lost at step {number}"


def vanish(outputs):
    for output in outputs:
        output.unlink(missing_ok=True)


def test_without_links_outputs_are_copied(outputs, monkeypatch):
    def refuse(source, target):
        raise OSError(errno.EOPNOTSUPP, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    finish(Journal(outputs[1], "f"), outputs)
    content = [output.read_bytes() for output in outputs]
    vanish(outputs)
    assert Journal(outputs[1], "f").finished(outputs)
    assert [output.read_bytes() for output in outputs] == content
    # Outputs of an earlier process cannot be taken into the journal; the parts stay then.
    remove_tree(outputs[1].parent / ".b.parquet.journal")
    journal = Journal(outputs[1], "f")
    journal.write(0, [TABLE])
    assert journal.finished(outputs)
    assert journal.read(0, 1) == [TABLE]
