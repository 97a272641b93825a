import math
from pathlib import Path
from zlib import crc32

import numpy as np
import orjson
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskgrid.automatic.replay.selection import Selection
from maskgrid.automatic.replay.stage import image_counts
from maskgrid.automatic.tables import MASK_COUNTS
from maskgrid.config.models import Config
from maskgrid.config.settings import PARAMETERS, swept_parameters
from maskgrid.config.spaces import generator_space
from maskgrid.config.sweep import expand
from maskgrid.io.errors import UserError
from maskgrid.masks.rle import decode
from maskgrid.results.statistics import mask_counts as statistics
from maskgrid.results.statistics import summary
from maskgrid.results.statistics.effects import effects_table, interactions_table
from maskgrid.results.statistics.mask_counts import settings_table, write_mask_counts
from maskgrid.results.statistics.summary import summary_table
from maskgrid.results.statistics.text import summary_text
from synthetic import codes, grid, make_images, setting, write_dataset

BASELINE = setting("baseline")
SETTINGS = [
    BASELINE,
    *grid(pred_iou_thresh=[0.2, 0.5, 0.7], stability_score_thresh=[0.1, 0.6]),
    setting("clean", "tidy", min_mask_region_area=5),
    setting("none", pred_iou_thresh=1.0),
    setting("small", mask_threshold=1.5, stability_score_offset=0.5, crop_n_layers=0),
]
LABELS = [one.label for one in SETTINGS]
IMAGES = make_images(9)


def shards(layout) -> list[Path]:
    return sorted((layout.root / "selections").glob("*.counts.parquet"))


@pytest.fixture(scope="module")
def counts_path(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("results")
    layout = write_dataset(root, IMAGES, SETTINGS, lambda key: f"s{len(key) % 3}")
    path = layout.statistics("mask_counts")
    write_mask_counts(path, SETTINGS, shards(layout), {"fingerprint": "f"})
    return path


@pytest.fixture(scope="module")
def summarised(counts_path) -> pa.Table:
    return summary_table(SETTINGS, counts_path, BASELINE)


@pytest.mark.parametrize("wanted", SETTINGS, ids=lambda setting: setting.label)
@pytest.mark.parametrize("image", IMAGES[:3], ids=lambda image: image.key)
def test_counts_of_an_image_match_its_masks(image, wanted):
    selection = image.select(wanted)
    masks = np.array([decode(code, image.size_hw) for code in codes(selection)]).reshape(-1, *image.size_hw)
    row = image_counts(wanted, image.key, selection, 30, 7)
    assert list(row) == MASK_COUNTS.names
    assert row["n_masks"] == len(masks)
    assert row["n_proposed"] - sum(row[name] for name in row if "dropped" in name) == len(masks)
    n_pixels = image.size_hw[0] * image.size_hw[1]
    assert (row["coverage_frac"], row["overlap_frac"]) == (30 / n_pixels, 7 / n_pixels)
    areas = masks.sum(axis=(1, 2))
    assert row["n_small"] == (areas < 1024).sum()
    assert row["n_small"] + row["n_medium"] + row["n_large"] == len(masks)
    if len(masks):
        assert row["area_frac_p50"] == pytest.approx(np.median(areas) / n_pixels)
        assert 0 < row["predicted_iou_mean"] <= 1
    else:
        assert row["area_frac_p50"] is row["predicted_iou_mean"] is row["stability_score_mean"] is None


def test_size_classes_are_cocos(monkeypatch):
    areas = np.array([1023, 1024, 9216, 9217], float)
    monkeypatch.setattr(Selection, "area_px", lambda selection: areas)
    row = image_counts(BASELINE, "a", IMAGES[0].select(BASELINE), 0, 0)
    assert (row["n_small"], row["n_medium"], row["n_large"]) == (1, 2, 1)


def test_settings_have_a_column_for_each_parameter():
    explicit = setting(points_per_side=None, point_grids=[[[0.5, 0.25]], [[0.1, 0.2]]])
    table = settings_table([*SETTINGS, explicit])
    rows = table.to_pylist()
    assert set(PARAMETERS) < set(table.column_names)
    assert table.schema.field("pred_iou_thresh").type == pa.float64()
    assert table.schema.field("use_m2m").type == pa.bool_()
    assert table.schema.field("crop_n_layers").type == pa.int64()
    assert (rows[0]["setting"], rows[0]["in_grid"], rows[1]["in_grid"]) == ("baseline", False, True)
    assert [row["names"] for row in rows if row["setting"] == "clean"] == [["clean", "tidy"]]
    assert rows[-1]["points_per_side"] is None
    assert orjson.loads(rows[-1]["point_grids"]) == [[[0.5, 0.25]], [[0.1, 0.2]]]


def test_a_pivot_needs_no_join(counts_path):
    frame = pd.read_parquet(counts_path).query("setting not in ('baseline', 'clean', 'none', 'small')")
    pivot = frame.pivot_table(index="pred_iou_thresh", columns="stability_score_thresh", values="n_masks")
    assert pivot.shape == (3, 2)
    expected = np.mean([len(image.select(SETTINGS[3])) for image in IMAGES if image.status == "ok"])
    assert pivot.loc[0.5, 0.1] == pytest.approx(expected)


def test_rows_are_ordered_by_setting_and_key(counts_path):
    frame = pd.read_parquet(counts_path, columns=["setting_id", "image_key"])
    keys = sorted(image.key for image in IMAGES if image.status == "ok")
    assert frame["setting_id"].tolist() == [wanted.id for wanted in SETTINGS for _ in keys]
    assert frame["image_key"].tolist() == keys * len(SETTINGS)


@pytest.mark.parametrize("rows_at_once", [1, 20, 1_000_000])
def test_neither_shards_nor_memory_change_the_file(tmp_path, monkeypatch, counts_path, rows_at_once):
    monkeypatch.setattr(statistics, "_ROWS_AT_ONCE", rows_at_once)
    layout = write_dataset(tmp_path, IMAGES, SETTINGS, lambda key: f"s{crc32(key.encode()) % 5}")
    path = layout.statistics("mask_counts")
    write_mask_counts(path, SETTINGS, shards(layout)[::-1], {"fingerprint": "f"})
    assert path.read_bytes() == counts_path.read_bytes()


def test_small_groups_of_rows_hold_the_same_rows(tmp_path, monkeypatch, counts_path):
    monkeypatch.setattr(statistics, "_ROWS_IN_GROUP", 15)
    layout = write_dataset(tmp_path, IMAGES, SETTINGS, lambda key: "s")
    path = layout.statistics("mask_counts")
    write_mask_counts(path, SETTINGS, shards(layout), {"fingerprint": "f"})
    assert pq.read_metadata(path).num_row_groups > 1
    assert pq.read_table(path).equals(pq.read_table(counts_path))


def test_only_requested_settings_are_written(tmp_path):
    layout = write_dataset(tmp_path, IMAGES[:2], SETTINGS, lambda key: key[0])
    path = layout.statistics("mask_counts")
    write_mask_counts(path, SETTINGS[2:4], shards(layout), {})
    assert set(pd.read_parquet(path)["setting_id"]) == {SETTINGS[2].id, SETTINGS[3].id}


def test_a_missing_shard_is_named(tmp_path):
    with pytest.raises(UserError, match=r"nowhere\.parquet: there is no such file"):
        write_mask_counts(tmp_path / "counts.parquet", SETTINGS, [tmp_path / "nowhere.parquet"], {})


def test_the_summary_agrees_with_pandas(counts_path, summarised):
    frame = pd.read_parquet(counts_path)
    for row in summarised.to_pylist():
        rows = frame[frame["setting_id"] == row["setting_id"]]
        assert row["n_images"] == len(rows) == row["n_images_common"]
        assert row["n_masks_total"] == rows["n_masks"].sum()
        assert row["n_masks_mean"] == pytest.approx(rows["n_masks"].mean())
        assert row["n_masks_median"] == rows["n_masks"].median()
        assert row["n_masks_p90"] == pytest.approx(rows["n_masks"].quantile(0.9))
        assert row["coverage_frac_mean"] == pytest.approx(rows["coverage_frac"].mean())
        assert row["n_masks_low"] <= row["n_masks_mean"] <= row["n_masks_high"]
        shares = [row["kept_frac"], *(row[name] for name in row if name.startswith("dropped_"))]
        assert sum(shares) == pytest.approx(1)
        base = frame[frame["setting_id"] == BASELINE.id].set_index("image_key")
        difference = rows.set_index("image_key")["n_masks"] - base["n_masks"]
        assert row["n_masks_diff_mean"] == pytest.approx(difference.mean())
        weighted = (rows["predicted_iou_mean"].fillna(0) * rows["n_masks"]).sum()
        if row["n_masks_total"]:
            assert row["predicted_iou_mean"] == pytest.approx(weighted / row["n_masks_total"])
        else:
            assert row["predicted_iou_mean"] is None


def test_the_baseline_does_not_differ_from_itself(summarised):
    row = summarised.to_pylist()[0]
    assert row["is_baseline"]
    assert [row[f"n_masks_diff_{end}"] for end in ("mean", "low", "high")] == [0, 0, 0]
    assert sum(summarised["is_baseline"].to_pylist()) == 1


@pytest.mark.parametrize("rows_at_once", [1, 35])
def test_memory_does_not_change_the_summary(monkeypatch, counts_path, summarised, rows_at_once):
    monkeypatch.setattr(summary, "_ROWS_AT_ONCE", rows_at_once)
    again = summary_table(SETTINGS, counts_path, BASELINE)
    for name in summarised.column_names:
        ours, theirs = again[name].to_pylist(), summarised[name].to_pylist()
        assert ours == (pytest.approx(theirs) if pa.types.is_floating(again[name].type) else theirs), name


def test_images_of_only_one_setting_do_not_count_in_differences(tmp_path, counts_path):
    first = IMAGES[0].key
    rows = pq.read_table(counts_path).to_pylist()
    rows = [row for row in rows if row["setting"] != "small" or row["image_key"] != first]
    schema = pq.read_schema(counts_path)
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path := tmp_path / "counts.parquet")
    row = summary_table(SETTINGS, path, BASELINE).to_pylist()[-1]
    assert row["n_images"] == row["n_images_common"] == len([i for i in IMAGES if i.status == "ok"]) - 1
    left = [image for image in IMAGES if image.status == "ok" and image.key != first]
    expected = np.mean([len(image.select(SETTINGS[-1])) - len(image.select(BASELINE)) for image in left])
    assert row["n_masks_diff_mean"] == pytest.approx(expected)
    assert row["n_masks_diff_low"] <= expected <= row["n_masks_diff_high"]


def test_no_images_give_a_summary_without_numbers(tmp_path):
    write_mask_counts(tmp_path / "counts.parquet", SETTINGS, [], {})
    table = summary_table(SETTINGS, tmp_path / "counts.parquet", BASELINE)
    assert table["n_images"].to_pylist() == [0] * len(SETTINGS)
    assert table["n_masks_mean"].null_count == len(SETTINGS)
    assert effects_table(SETTINGS, table).num_rows == interactions_table(SETTINGS, table).num_rows == 0
    assert "0 images" in summary_text(SETTINGS, table)


def test_effects_of_a_grid_are_exact(summarised):
    effects = effects_table(SETTINGS, summarised).to_pandas()
    means = summarised.to_pandas().query("in_grid")
    assert set(effects["parameter"]) == {"pred_iou_thresh", "stability_score_thresh"}
    for row in effects.itertuples():
        chosen = means[means[row.parameter] == row.value_number]
        assert row.n_settings == len(chosen) == {"pred_iou_thresh": 2, "stability_score_thresh": 3}[row.parameter]
        effect = chosen["n_masks_mean"].mean() - means["n_masks_mean"].mean()
        assert row.n_masks_effect == pytest.approx(effect)
    assert effects.groupby("parameter")["n_masks_effect"].sum().abs().max() < 1e-12


def test_effects_of_an_additive_table_are_its_centred_terms():
    """If every cell is a + b, the effects must be the centred a and b."""
    settings = grid(use_m2m=[False, True], crop_n_layers=[0, 1, 2])
    additive = [
        {"setting_id": one.id, "n_masks_mean": 100.0 * one.generator.use_m2m + one.generator.crop_n_layers**2}
        for one in settings
    ]
    rows = [row | {"coverage_frac_mean": 0.5} for row in additive]
    table = pa.Table.from_pylist(rows)
    effects = {(row["parameter"], row["value"]): row for row in effects_table(settings, table).to_pylist()}
    assert effects["use_m2m", "true"]["n_masks_effect"] == pytest.approx(50)
    assert effects["use_m2m", "true"]["value_number"] is None
    assert effects["crop_n_layers", "2"]["n_masks_effect"] == pytest.approx(4 - 5 / 3)
    assert effects["crop_n_layers", "2"]["value_number"] == 2
    assert effects["crop_n_layers", "0"]["coverage_frac_effect"] == 0


def test_interactions_are_what_the_effects_do_not_explain():
    settings = grid(use_m2m=[False, True], crop_n_layers=[0, 1, 2])
    product = {one.id: float(one.generator.use_m2m * one.generator.crop_n_layers) for one in settings}
    total = {one.id: product[one.id] + 10.0 * one.generator.use_m2m for one in settings}
    rows = [{"setting_id": one.id, "n_masks_mean": total[one.id], "coverage_frac_mean": 0.1} for one in settings]
    table = interactions_table(settings, pa.Table.from_pylist(rows)).to_pandas()
    assert len(table) == 6
    # The product of the centred factors, (m2m - 1/2) (layers - 1); the additive term drops out.
    expected = (np.where(table["value_b"] == "true", 0.5, -0.5)) * (table["value_a_number"] - 1)
    assert table["parameter_a"].eq("crop_n_layers").all()
    assert np.allclose(table["n_masks_interaction"], expected)
    assert np.allclose(table["coverage_frac_interaction"], 0)


def test_swept_values_are_sorted():
    found = swept_parameters([setting(pred_iou_thresh=value) for value in (0.9, 0.05, 0.7)])
    assert found == {"pred_iou_thresh": [0.05, 0.7, 0.9]}


def test_settings_know_whether_they_lie_on_the_grid():
    sweep = {
        "grid": {"pred_iou_thresh": [0.8, 0.9]},
        "points": [{"name": "a", "pred_iou_thresh": 0.9}, {"name": "b", "pred_iou_thresh": 0.5}],
    }
    settings = expand(generator_space(Config.model_validate({"sweep": sweep})), Path())
    found = {one.label: one.in_grid for one in settings}
    # The baseline has 0.8 and a has 0.9, which are both values of the grid.
    assert found == {"baseline": True, "a": True, "b": False}


def test_the_text_has_a_line_for_each_setting(summarised):
    text = summary_text(SETTINGS, summarised)
    assert max(map(len, text.splitlines())) <= 110
    lines = text.partition("\n\n")[0].splitlines()
    body = [line for line in lines if any(line[2:].startswith(one.label) for one in SETTINGS)]
    assert len(body) == len(SETTINGS)
    assert [line for line in body if line.startswith(">")] == [body[0]]
    none = next(line for line in body if "none" in line)
    row = summarised.to_pylist()[0]
    assert f"{row['n_masks_mean']:.1f}" in body[0]
    assert "0.0 to 0.0" in none
    assert f"{-row['n_masks_mean']:+.1f}*" in none
    headings = "\n".join(lines[: lines.index(body[0])])
    assert "pred" in headings
    assert "points" not in headings


def test_long_text_is_cut_with_a_note(summarised):
    last = summarised.to_pylist()
    for row in last:
        row["is_baseline"] = row["setting"] == "small"
    table = pa.Table.from_pylist(last, schema=summarised.schema)
    lines = summary_text(SETTINGS, table, max_rows=4).splitlines()
    assert sum(line.startswith("> small") for line in lines) == 1
    assert sum(line.startswith("  ") and line.split()[0] in LABELS for line in lines) == 3
    assert f"{len(SETTINGS) - 4} more settings lie between them: maskgrid summary, statistics/summary.parquet." in lines
    others = {row["n_masks_mean"]: row["setting"] for row in last if not row["is_baseline"]}
    for most in (min(others), max(others)):
        assert any(line.split()[:1] == [others[most]] for line in lines)


def test_text_with_many_parameters_fits_the_terminal(summarised):
    changes = [{name: value} for name, value in CHANGED.items()]
    settings = [setting(f"a-setting-with-a-very-long-name-{number}", **change) for number, change in enumerate(changes)]
    rows = summarised.to_pylist()[:1] * len(settings)
    rows = [row | {"setting_id": one.id, "setting": one.label} for row, one in zip(rows, settings, strict=True)]
    text = summary_text(settings, pa.Table.from_pylist(rows, schema=summarised.schema))
    assert max(map(len, text.splitlines())) <= 110
    assert "more of the swept parameters are in" in text


CHANGED = {
    "points_per_side": 16,
    "pred_iou_thresh": 0.123456,
    "stability_score_thresh": 0.92,
    "stability_score_offset": 0.5,
    "mask_threshold": math.pi,
    "box_nms_thresh": 0.5,
    "crop_n_layers": 2,
    "crop_nms_thresh": 0.9,
    "crop_overlap_ratio": 0.25,
    "min_mask_region_area": 100,
    "use_m2m": True,
    "multimask_output": False,
    "checkpoint": "a/checkpoint/with/a/long/path.pt",
}
