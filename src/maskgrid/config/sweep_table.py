"""A table of settings instead of a sweep: one row per setting, one column per parameter."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from maskgrid.io.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

# Columns that are text whatever stands in them.
_TEXTS = ("name", "checkpoint", "region")


def read_rows(path: Path, key: str) -> list[dict[str, Any]]:
    """Read the rows as plain values, without empty cells; whole numbers become integers.

    A column's type depends on all its cells: integers beside an empty cell are read as floats.

    Args:
        path: a .csv, .tsv or .parquet file.
        key: where the config names the table, for messages.

    Raises:
        UserError: the table does not exist, cannot be read, or is empty.
    """
    import pandas as pd  # here: most sweeps need no table, and the workflow imports this often

    if path.suffix not in (".csv", ".tsv", ".parquet"):
        raise UserError(f"{key}: a table must be a .csv, .tsv or .parquet file")
    if not path.is_file():
        raise UserError(f"{key}: no such file ({path})")
    try:
        table = _with_index(pd.read_parquet(path)) if path.suffix == ".parquet" else _text_table(path)
        found = table.to_dict("records")
    except (ValueError, OSError, NotImplementedError, LookupError) as error:  # pandas' and pyarrow's
        raise UserError(f"{key}: cannot be read as a table: {' '.join(str(error).split())}") from None
    if not found:
        raise UserError(f"{key}: the sweep is empty; the table has no rows")
    rows = ({str(name): _plain(cell) for name, cell in row.items()} for row in found)
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _text_table(path: Path) -> "pd.DataFrame":
    """The table in a text file, with its names as they are: ``NA`` is no missing name, and ``007`` no number."""
    import pandas as pd  # as above

    separator = "\t" if path.suffix == ".tsv" else ","
    table = pd.read_csv(path, sep=separator)
    texts = pd.read_csv(path, sep=separator, usecols=lambda name: name in _TEXTS, dtype=str, keep_default_na=False)
    for name in texts:
        table[name] = pd.Series([cell if cell.strip() else None for cell in texts[name]], table.index, "object")
    return table


def _with_index(table: "pd.DataFrame") -> "pd.DataFrame":
    """The table with an index that says something, such as the names, as a column; not with numbers of rows."""
    index = table.index
    if all(name is not None for name in index.names):
        return table.reset_index()
    if "name" not in table and len(table) and all(isinstance(label, str) for label in index):
        return table.rename_axis("name").reset_index()
    return table


def _plain(cell: Any) -> Any:  # noqa: ANN401
    if getattr(cell, "ndim", 0) or isinstance(cell, list):  # point_grids
        return [_plain(part) for part in cell]
    plain = cell.item() if hasattr(cell, "item") else cell
    if not isinstance(plain, float):
        return plain
    return None if plain != plain else int(plain) if plain.is_integer() else plain
