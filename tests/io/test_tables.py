"""Tables are read back exactly as written, or refused."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskgrid.io.checks import check_pages
from maskgrid.io.errors import UserError
from maskgrid.io.tables import column, open_table, read_origin, read_table, write_table

SCHEMA = pa.schema(
    [
        column("setting_id", pa.dictionary(pa.int32(), pa.string()), "the setting"),
        column("number", pa.int32(), "its row"),
    ]
)


def settings_table(names, n_rows):
    rows = [{"setting_id": name, "number": number} for name in names for number in range(n_rows)]
    return pa.Table.from_pylist(rows, schema=SCHEMA)


def read_batches(path, names=SCHEMA.names):
    _, batches = open_table(path, names)
    return pa.Table.from_batches(batches, pa.schema([SCHEMA.field(name) for name in names]))


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "table.parquet"
    write_table(path, settings_table("abc", 4), {"fingerprint": "f"}, rows_in_group=4)
    return path


def test_columns_come_in_the_requested_order(path):
    assert read_table(path, ["number", "setting_id"]).column_names == ["number", "setting_id"]
    assert read_table(path).equals(settings_table("abc", 4))
    assert read_table(path, ["number"], [("setting_id", "=", "b")])["number"].to_pylist() == [0, 1, 2, 3]


@pytest.mark.parametrize("filters", [None, [("number", "=", 1)]])
def test_a_missing_column_is_refused(path, filters):
    with pytest.raises(UserError, match=r"table.parquet: .*area_px"):
        read_table(path, ["number", "area_px"], filters)


@pytest.mark.parametrize("n_rows", [1, 3, 5, 100])
def test_rows_are_read_in_parts(path, n_rows):
    origin, batches = open_table(path, ["setting_id", "number"], n_rows)
    parts = list(batches)
    assert origin == read_origin(path)
    assert origin["fingerprint"] == "f"
    assert max(map(len, parts)) <= n_rows
    assert [row for part in parts for row in part.to_pylist()] == settings_table("abc", 4).to_pylist()


@pytest.mark.parametrize(("wanted", "read"), [("a", "a"), ("b", "b"), ("c", "c"), ("d", ""), ("bb", "")])
def test_groups_of_other_settings_are_not_read(path, wanted, read):
    _, batches = open_table(path, ["setting_id"], filters=[("setting_id", "=", wanted)])
    assert {row["setting_id"] for part in batches for row in part.to_pylist()} == set(read)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([("setting_id", "=", "b")], [("b", number) for number in range(4)]),
        ([("setting_id", "!=", "b"), ("number", "=", 2)], [("a", 2), ("c", 2)]),
        ([("setting_id", "in", ["a", "x"]), ("number", "in", [3, 9])], [("a", 3)]),
        ([("setting_id", "in", [])], []),
        ([("setting_id", "=", "bb")], []),
    ],
)
def test_conditions_choose_rows(path, filters, expected):
    rows = read_table(path, filters=filters).to_pylist()
    assert [(row["setting_id"], row["number"]) for row in rows] == expected
    assert read_table(path, ["number"], filters)["number"].to_pylist() == [number for _, number in expected]


def test_null_values_match_no_condition(tmp_path):
    path = tmp_path / "table.parquet"
    write_table(path, pa.table({"text": ["a", None, "b"]}), {})
    assert read_table(path, filters=[("text", "!=", "a")])["text"].to_pylist() == ["b"]
    assert read_table(path, filters=[("text", "in", ["a"])])["text"].to_pylist() == ["a"]


READERS = [
    read_table,
    lambda path: read_table(path, ["setting_id"]),
    lambda path: read_table(path, ["number"]),
    lambda path: read_table(path, filters=[("number", "in", list(range(50)))]),
    read_batches,
    lambda path: read_batches(path, ["number"]),
]


@pytest.mark.parametrize("read", READERS)
@pytest.mark.parametrize("rows_in_group", [None, 60])
def test_damaged_pages_are_refused(tmp_path, read, rows_in_group):
    """All but a few bytes of each page's header, which no checksum covers."""
    path, table = tmp_path / "table.parquet", settings_table("abc", 50)
    write_table(path, table, {"fingerprint": "f"}, rows_in_group)
    whole, rows = path.read_bytes(), read(path).to_pylist()
    n_flips = n_told = n_found = n_wrong = 0
    for start, end in pages(path):
        for at in range(start, end):
            damaged = bytearray(whole)
            damaged[at] ^= 1 << (at % 8)
            path.write_bytes(damaged)
            n_flips += 1
            n_found += bool(check_pages(path))
            try:
                n_wrong += read(path).to_pylist() != rows
            except (UserError, pa.ArrowIndexError):
                n_told += 1
    assert n_wrong < 0.01 * n_flips
    assert n_found > 0.9 * n_flips
    assert n_told > 0.2 * n_flips  # few if only one column is read: damage in the other's pages does not show


def pages(path):
    """Yield start and end of each column's pages."""
    footer = pq.read_metadata(path)
    for group in range(footer.num_row_groups):
        for number in range(footer.num_columns):
            column = footer.row_group(group).column(number)
            yield column.dictionary_page_offset, column.dictionary_page_offset + column.total_compressed_size


def test_a_damaged_footer_is_refused(path):
    whole = path.read_bytes()
    length = int.from_bytes(whole[-8:-4], "little")
    text = whole.index(b'{"fingerprint"', len(whole) - 8 - length)
    for at in range(text, text + 20):
        path.write_bytes(whole[:at] + b"\xff" + whole[at + 1 :])
        with pytest.raises(UserError, match="is not a complete Parquet file"):
            open_table(path, ["number"])


@pytest.mark.parametrize("read", [read_table, read_origin, lambda path: open_table(path, ["number"])])
def test_a_missing_or_truncated_table_is_refused(path, read):
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match="is not a complete Parquet file"):
        read(path)
    path.unlink()
    with pytest.raises(UserError, match="there is no such file"):
        read(path)
