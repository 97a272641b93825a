"""A journal says whether anything is left to do."""

import pyarrow as pa
import pytest

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


def test_kept_outputs_are_restored(outputs):
    write(outputs)
    content = [output.read_bytes() for output in outputs]
    Journal(outputs[1], "f").keep(outputs)
    for output in outputs:
        output.unlink()
    assert Journal(outputs[1], "f").finished(outputs)
    assert [output.read_bytes() for output in outputs] == content
