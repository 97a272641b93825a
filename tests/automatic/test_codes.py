"""A column of codes is indexed like an array of objects, wherever the codes are."""

import numpy as np
import pyarrow as pa
import pytest

from maskgrid.automatic.codes import Codes, FileCodes
from maskgrid.io.tables import write_batches

ORIGIN = {"fingerprint": "x"}


def written(path, n=50):
    values = [None if number % 7 == 3 else bytes([65 + number % 20]) * number for number in range(n)]
    parts = [pa.table({"counts": pa.array(values[start : start + 13], pa.binary())}) for start in range(0, n, 13)]
    write_batches(path, parts[0].schema, parts, ORIGIN)
    return values


@pytest.mark.parametrize("in_file", [False, True])
def test_codes_are_indexed_like_an_array(tmp_path, in_file):
    values = written(tmp_path / "codes.parquet")[5:47]
    column = pa.chunked_array([pa.array(values[:9], pa.binary()), pa.array(values[9:], pa.binary())])
    found = FileCodes(tmp_path / "codes.parquet", 5, 42) if in_file else Codes(column)
    array = np.empty(len(values), np.object_)
    array[:] = values
    assert (len(found), found.shape, found.dtype, list(found)) == (42, (42,), array.dtype, values)
    rng = np.random.default_rng(0)
    for choice in (rng.integers(0, 42, 100), rng.random(42) < 0.3, slice(3, 30, 2), np.array([], np.int64), [-1, 4]):
        assert found[choice].tolist() == array[choice].tolist()
    assert (found[7], found[np.int64(-1)]) == (array[7], array[-1])
    assert found.tolist() == values
