"""How numbers and tables are put into words."""

import pytest

from maskgrid.io.wording import difference, named_reasons, size, table_lines, tally


def test_a_table_has_its_first_column_to_the_left_and_the_others_to_the_right():
    rows = [("setting", "masks", "area"), ("baseline", "7", "1.5"), ("b", "12", "")]
    assert table_lines(rows) == ["setting   masks  area", "baseline      7   1.5", "b            12"]
    assert table_lines([row[:2] for row in rows], to_right=False) == ["setting   masks", "baseline  7", "b         12"]


def test_kinds_are_counted_by_name():
    assert tally({"truncated": 1, "ok": 2}) == "2 ok, 1 truncated"
    assert tally({}) == ""


@pytest.mark.parametrize(
    ("interval", "words"),
    [((0.1, 2), "+1.0*"), ((-0.1, 2), "+1.0"), ((0, 2), "+1.0"), ((None, None), "-")],
)
def test_a_difference_has_a_star_where_its_interval_excludes_0(interval, words):
    assert difference(1, *interval) == words


@pytest.mark.parametrize(
    ("n", "n_lines", "last"),
    [(0, 0, ""), (1, 1, "  0: bad"), (10, 10, "  9: bad"), (1011, 11, "  and 1,001 more, in t")],
)
def test_the_first_reasons_are_named(n, n_lines, last):
    text = named_reasons([(str(number), "bad") for number in range(n)], "t")
    assert text.count("\n") == n_lines
    assert text.endswith(last)


@pytest.mark.parametrize(
    ("n_bytes", "words"),
    [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_499, "999 kB"), (999_500, "1 MB"), (2.149e9, "2.15 GB")],
)
def test_bytes_have_a_unit(n_bytes, words):
    assert size(n_bytes) == words
