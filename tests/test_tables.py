"""Tables are read back as they were written, or not at all."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskgrid.errors import UserError
from maskgrid.tables import column, open_table, read_origin, read_table, write_table

SCHEMA = pa.schema(
    [
        column("setting_id", pa.dictionary(pa.int32(), pa.string()), "the setting"),
        column("number", pa.int32(), "its row"),
    ]
)


def settings_table(names, n_rows):
    rows = [{"setting_id": name, "number": number} for name in names for number in range(n_rows)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def read_batches(path):
    _, batches = open_table(path, SCHEMA.names)
    return pa.Table.from_batches(batches, SCHEMA)


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "table.parquet"
    write_table(path, settings_table("abc", 4), {"fingerprint": "f"}, rows_in_group=4)
    return path


def test_columns_come_in_the_order_asked_for(path):
    assert read_table(path, ["number", "setting_id"]).column_names == ["number", "setting_id"]
    assert read_table(path).equals(settings_table("abc", 4))
    assert read_table(path, ["number"], [("setting_id", "=", "b")])["number"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize("filters", [None, [("number", ">", 1)]])
def test_a_column_that_is_not_there_is_refused(path, filters):
    with pytest.raises(UserError, match=r"table.parquet: .*area_px"):
        read_table(path, ["number", "area_px"], filters)


@pytest.mark.parametrize("n_rows", [1, 3, 5, 100])
def test_rows_are_given_part_by_part(path, n_rows):
    origin, batches = open_table(path, ["setting_id", "number"], n_rows)
    parts = list(batches)
    assert origin == read_origin(path)
    assert origin["fingerprint"] == "f"
    assert max(map(len, parts)) <= n_rows
    assert [row for part in parts for row in part.to_pylist()] == settings_table("abc", 4).to_pylist()


@pytest.mark.parametrize(("wanted", "read"), [("a", "a"), ("b", "b"), ("c", "c"), ("d", ""), ("bb", "")])
def test_groups_of_other_settings_are_not_read(path, wanted, read):
    _, batches = open_table(path, ["setting_id"], where=("setting_id", wanted))
    assert {row["setting_id"] for part in batches for row in part.to_pylist()} == set(read)


def test_damaged_pages_are_never_read_as_other_rows(tmp_path):
    path, table = tmp_path / "table.parquet", settings_table("abc", 50)
    write_table(path, table, {})
    whole, group = path.read_bytes(), pq.read_metadata(path).row_group(0)
    last = group.column(1)
    start, end = group.column(0).dictionary_page_offset, last.dictionary_page_offset + last.total_compressed_size
    n_told = 0
    for at in range(start, end):
        damaged = bytearray(whole)
        damaged[at] ^= 1 << (at % 8)
        path.write_bytes(damaged)
        for read in (read_table, read_batches):
            try:
                assert read(path).to_pylist() == table.to_pylist()
            except UserError:
                n_told += 1
            except pa.ArrowIndexError:
                pass  # the checksum does not cover a page's own head, where the number of rows stands
    assert n_told > 1.9 * (end - start)


@pytest.mark.parametrize("read", [read_table, read_origin, lambda path: open_table(path, ["number"])])
def test_a_table_that_is_missing_or_cut_off_is_told(path, read):
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is not a complete Parquet file"):
        read(path)
    path.unlink()
    with pytest.raises(UserError, match="there is no such file"):
        read(path)
