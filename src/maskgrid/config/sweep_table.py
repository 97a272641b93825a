"""A table of settings instead of a sweep: one row per setting, one column per parameter."""

from pathlib import Path
from typing import Any

from maskgrid.io.errors import UserError


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
        separator = "\t" if path.suffix == ".tsv" else ","
        table = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path, sep=separator)
    except (ValueError, OSError) as error:
        raise UserError(f"{key}: cannot be read as a table: {error}") from None
    if table.empty:
        raise UserError(f"{key}: the sweep is empty; the table has no rows")
    rows = ({str(name): _plain(cell) for name, cell in row.items()} for row in table.to_dict("records"))
    return [{name: value for name, value in row.items() if value is not None} for row in rows]


def _plain(cell: Any) -> Any:  # noqa: ANN401
    plain = cell.item() if hasattr(cell, "item") else cell.tolist() if hasattr(cell, "tolist") else cell
    if not isinstance(plain, float):
        return plain
    return None if plain != plain else int(plain) if plain.is_integer() else plain
