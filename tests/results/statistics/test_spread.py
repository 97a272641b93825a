"""Mask counts of a few images, as the report draws them."""

import pyarrow as pa

from maskgrid.io.tables import write_table
from maskgrid.results.statistics.spread import read_image_counts


def test_images_are_ordered_by_key(tmp_path):
    """The order of a set of names would differ from process to process."""
    keys = [f"{number:02d}.png" for number in range(40)]
    rows = [
        {"image_key": key, "setting_id": setting, "n_masks": number * factor}
        for number, key in enumerate(keys)
        for setting, factor in (("a", 1), ("b", 2))
    ]
    path = tmp_path / "mask_counts.parquet"
    write_table(path, pa.Table.from_pylist(rows), {"fingerprint": "x"})
    counts = read_image_counts(path, 5, 20)
    assert len(counts.n_masks) >= 20
    assert list(counts.n_masks) == sorted(counts.n_masks)
    assert counts.n_masks["39.png"] == {"a": 39, "b": 78}
