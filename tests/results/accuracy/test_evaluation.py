"""From annotations and selections to accuracy tables: every object and image has a row, and settings are compared."""

from html import escape

import numpy as np
import pytest
from pycocotools import mask as coco_mask

from made_results import HOSTILE
from made_truth import make_plan_with_truth, masks_as_objects, sizes
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.results.accuracy.annotations import read_annotations
from maskgrid.results.accuracy.image_truth import ImageTruth, TrueObjects
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.accuracy.tables import ACCURACY, ACCURACY_SUMMARY, MEASURED
from maskgrid.results.advice.evidence import gather
from maskgrid.results.advice.goals import Goal
from maskgrid.results.report.stage import write_report
from synthetic import kept_by_image


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    made = make_plan_with_truth(tmp_path_factory.mktemp("truth"), masks_as_objects)
    write_truth(made)
    for shard in made.shards():
        evaluate_shard(made, shard)
    write_accuracies(made)
    return made


def test_every_object_has_a_row_with_a_status(plan):
    statuses = [row["status"] for row in read_table(plan.layout.ground_truth("objects")).to_pylist()]
    assert {name: statuses.count(name) for name in set(statuses) - {"ok"}} == {
        "malformed_mask": 2,
        "no_mask": 1,
        "bad_image": 1,
        "unknown_image": 2,  # an image that the dataset lacks, and an id that the file lacks
    }
    images = {row["image_key"]: row for row in read_table(plan.layout.ground_truth("images")).to_pylist()}
    assert images["broken.jpg"]["status"] == "truncated"
    assert images["elsewhere.jpg"]["status"] == "unknown_image"
    assert sum(row["n_unusable"] for row in images.values()) == 5
    assert set(sizes(plan)) < set(images)


def test_every_setting_has_a_row_for_each_annotated_image(plan):
    table = read_table(plan.layout.statistics("accuracy"), schema=ACCURACY)
    expected = [(setting.id, key) for setting in plan.settings for key in sorted(sizes(plan))]
    assert list(zip(table["setting_id"].to_pylist(), table["image_key"].to_pylist(), strict=True)) == expected


def test_rows_match_the_exported_masks(plan):
    """Here each image is measured alone from the masks that ``merge`` would write, not for all settings at once."""
    table = read_table(plan.layout.statistics("accuracy")).to_pylist()
    rows = {(row["setting_id"], row["image_key"]): row for row in table}
    objects = read_table(plan.layout.ground_truth("objects"), filters=[("status", "=", "ok")]).to_pylist()
    n_compared = 0
    for setting in plan.settings:
        for part in kept_by_image(setting, plan.layout, "d0"):
            listed = [row for row in objects if row["image_key"] == part.image_key]
            truth = TrueObjects(tuple(row["counts"] for row in listed), np.zeros(len(listed), bool))
            alone = ImageTruth.of(truth, part.counts, sizes(plan)[part.image_key])
            measured = alone.measure(np.arange(len(part.counts)), part.predicted_iou)
            assert measured == {name: rows[setting.id, part.image_key][name] for name in MEASURED}
            n_compared += 1
    assert n_compared > len(plan.settings)


def test_the_baseline_finds_its_own_masks(plan):
    summary = read_table(plan.layout.statistics("accuracy_summary"), schema=ACCURACY_SUMMARY).to_pylist()
    rows = {row["setting_id"]: row for row in summary}
    base = rows[plan.baseline.id]
    assert base["precision_50"] == 1.0
    assert base["recall_50"] == (base["n_truth"] - 2) / base["n_truth"]  # two objects are not its masks
    assert min(row["f1_50"] for row in summary) < base["f1_50"]


def test_the_report_has_a_section(plan):
    write_report(plan)
    page = (plan.layout.root / "report" / "index.html").read_text()
    part = page.split('id="accuracy"')[1].split("</section>")[0]
    table = part.split("<table")[1]
    labels = {setting.id: escape(setting.label) for setting in plan.settings}
    for row in read_table(plan.layout.statistics("accuracy_summary")).to_pylist():
        line = next(line for line in table.split("<tr") if f">{labels[row['setting_id']]}<" in line)
        assert f">{row['f1_50']:.3f}<" in line
        assert f">{row['n_over_segmented']}<" in line


@pytest.mark.parametrize("name", ["f1", "recall"])
def test_the_report_and_recommend_name_the_same_setting_and_figures(plan, name):
    write_report(plan)
    page = (plan.layout.root / "report" / "index.html").read_text()
    part = page.split('id="accuracy"')[1].split("</section>")[0]
    best = gather(plan, Goal(name)).contenders[0]
    (line,) = [each for each in part.split("<p>") if f"maskgrid recommend --{name}</code>" in each]
    row = {one["setting_id"]: one for one in read_table(plan.layout.statistics("accuracy_summary")).to_pylist()}[
        best.result.setting.id
    ]
    assert f">{escape(best.result.setting.label)}</a>" in line
    assert f": {best.value:.3f} (95 % interval" in line
    of_annotated, of_all = f"{row['n_masks'] / row['n_images']:.1f}", f"{best.result.n_masks:.1f}"
    assert f"with {of_annotated} masks per " in line
    assert (f"{of_all} over all images" in line) == (of_annotated != of_all)


def test_annotations_without_segmentations_are_not_used(tmp_path):
    plan = make_plan_with_truth(
        tmp_path, lambda _: {"images": [{"id": 1, "file_name": HOSTILE}], "annotations": [{"id": 1, "image_id": 1}]}
    )
    write_truth(plan)
    evaluate_shard(plan, "d0")
    write_accuracies(plan)
    assert read_table(plan.layout.statistics("accuracy_summary")).num_rows == 0
    write_report(plan)
    assert 'id="accuracy"' not in (plan.layout.root / "report" / "index.html").read_text()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not valid JSON"),
        ("[]", "no list 'images'"),
        ('{"images": [], "annotations": 3}', "no list 'annotations'"),
    ],
)
def test_a_file_that_is_not_coco_is_an_error(tmp_path, content, message):
    plan = make_plan_with_truth(tmp_path, masks_as_objects)
    (tmp_path / "truth.json").write_text(content)
    with pytest.raises(UserError, match=message):
        write_truth(plan)
    (tmp_path / "truth.json").unlink()
    with pytest.raises(UserError, match=r"truth.json cannot be read"):
        write_truth(plan)


@pytest.mark.parametrize(
    ("source", "given", "expected"),
    [
        ("demo", "auto", "results/demo/ground_truth.json"),
        ("a/instances.JSON", "auto", "a/instances.JSON"),
        ("photos", "auto", None),
        ("photos", "truth.json", "truth.json"),
        ("demo", None, None),
    ],
)
def test_where_the_ground_truth_is(tmp_path, source, given, expected):
    from maskgrid.config.models import Config
    from maskgrid.plan.plan import make_plan

    config = Config.model_validate({"dataset": {"source": source, "ground_truth": given}})
    found = make_plan(config, tmp_path, tmp_path / "results").ground_truth()
    assert found == (None if expected is None else tmp_path / expected)


def test_polygons_are_read_as_pycocotools_draws_them(plan):
    row = read_table(plan.layout.ground_truth("objects"), filters=[("status", "=", "ok")]).to_pylist()
    size_hw = sizes(plan)[row[0]["image_key"]]
    whole = [one for one in row if one["area_px"] == size_hw[0] * size_hw[1]]
    assert len(whole) >= 2
    assert coco_mask.area({"size": list(size_hw), "counts": whole[0]["counts"]}) == size_hw[0] * size_hw[1]


def test_a_byte_order_mark_is_ignored(tmp_path):
    plan = make_plan_with_truth(tmp_path, masks_as_objects)
    path = tmp_path / "truth.json"
    plain = read_annotations(path)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert plan.ground_truth() == path
    assert read_annotations(path) == plain


@pytest.mark.parametrize(("folder", "side"), [("train2017/", None), ("", 1000)])
def test_annotations_without_a_usable_object_are_an_error(tmp_path, folder, side):
    def elsewhere(plan):
        made = masks_as_objects(plan)
        for image in made["images"]:
            image["file_name"] = folder + image["file_name"]
            image |= {"height": side, "width": side} if side else {}
        return made

    plan = make_plan_with_truth(tmp_path, elsewhere)
    with pytest.raises(
        UserError, match=r"none of the \d+ objects of .*truth\.json can be used; the first, of "
    ) as caught:
        write_truth(plan)
    assert ("no such image" if folder else "1000 x 1000 pixels") in str(caught.value)
    assert "Images are named as in the dataset, for instance" in str(caught.value)
