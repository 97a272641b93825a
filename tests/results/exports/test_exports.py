"""Other annotation formats and dataset descriptions: any loss is reported, and other tools can read them."""

import json
import re
import shutil
import tarfile
from html import unescape
from urllib.parse import unquote

import numpy as np
import pyarrow.parquet as pq
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO
from scipy import ndimage

from made_results import HOSTILE, make_config
from made_truth import make_plan_with_truth, masks_as_objects
from maskgrid.automatic.merge import merge_setting
from maskgrid.config.exports import PolygonsOptions
from maskgrid.config.models import Config
from maskgrid.io.errors import UserError
from maskgrid.io.json_lines import write_document
from maskgrid.io.tables import read_table, write_table
from maskgrid.io.wording import size
from maskgrid.masks import rle
from maskgrid.masks.coco_reading import read_head, read_images, read_masks
from maskgrid.results.accuracy.stage import evaluate_shard, write_accuracies, write_truth
from maskgrid.results.exports.polygons import outlines, write_polygons
from maskgrid.results.exports.stage import export_setting, write_card
from maskgrid.results.report.stage import write_report
from maskgrid.results.verify import verify_results

EXPORTS = ("card", "sa1b", "polygons", "labels", "yolo")


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    config = make_config(annotations=["baseline", "<b>loose"]).model_copy(update={"exports": EXPORTS})
    made = make_plan_with_truth(tmp_path_factory.mktemp("exports"), masks_as_objects, config)
    for run in made.runs:
        path = made.layout.candidates(run, "d0")
        write_table(path, read_table(path), {"recording": run.recording.as_dict(), "checkpoint_sha256": "c" * 64})
    write_truth(made)
    evaluate_shard(made, "d0")
    write_accuracies(made)
    for setting in made.exported():
        merge_setting(made, setting.label)
        for form in made.config.setting_forms():
            export_setting(made, setting.label, form)
    write_card(made)
    return made


def load(path):
    return json.loads(path.read_bytes())


@pytest.mark.parametrize("label", ["baseline", "<b>loose"])
def test_a_coco_file_is_read_image_by_image(plan, label):
    path = plan.layout.annotations(label)
    whole = load(path)
    assert read_head(path) == {name: whole[name] for name in ("info", "licenses", "categories")}
    read = list(read_images(path))
    assert [image for image, _ in read] == whole["images"]
    assert [entry for _, entries in read for entry in entries] == whole["annotations"]
    assert all(entry["image_id"] == image["id"] for image, entries in read for entry in entries)
    assert any(not entries for _, entries in read)


def test_a_truncated_or_foreign_coco_file_is_an_error(plan, tmp_path):
    content = plan.layout.annotations("baseline").read_bytes()
    for part in (b"", b"{}", content[: len(content) // 2], content[:-5]):
        (tmp_path / "cut.json").write_bytes(part)
        with pytest.raises(UserError, match="is not a complete COCO file"):
            list(read_images(tmp_path / "cut.json"))
    with pytest.raises(UserError, match="run maskgrid merge"):
        read_head(tmp_path / "missing.json")


@pytest.mark.parametrize("label", ["baseline", "<b>loose"])
def test_sa1b_has_all_masks(plan, label):
    whole = load(plan.layout.annotations(label))
    with tarfile.open(plan.layout.export("sa1b", label)) as archive:
        files = {member.name: json.load(archive.extractfile(member)) for member in archive}
        assert {member.mtime for member in archive} == {0}
    assert list(files) == [f"sa_{image['id']}.json" for image in whole["images"]]
    for image in whole["images"]:
        record = files[f"sa_{image['id']}.json"]
        assert record["image"]["file_name"] == image["file_name"]
        expected = [entry for entry in whole["annotations"] if entry["image_id"] == image["id"]]
        assert [entry["segmentation"] for entry in record["annotations"]] == [one["segmentation"] for one in expected]
        for entry in record["annotations"]:
            assert {"predicted_iou", "stability_score", "point_coords", "crop_box", "bbox", "area"} < set(entry)


@pytest.mark.parametrize("label", ["baseline", "<b>loose"])
def test_polygons_report_what_they_lose(plan, label):
    """The IoU in the file is that of the polygon as pycocotools draws it, and only holes are lost."""
    path = plan.layout.export("polygons", label)
    masks, polygons = COCO(plan.layout.annotations(label)), COCO(path)
    ious = []
    for annotation_id, entry in polygons.anns.items():
        mask, drawn = masks.annToMask(masks.anns[annotation_id]), polygons.annToMask(entry)
        filled = np.array_equal(drawn, ndimage.binary_fill_holes(mask))
        assert filled
        iou = mask.sum() / drawn.sum()
        assert entry["iou_with_mask"] == pytest.approx(iou, abs=1e-6)
        assert entry["area"] == drawn.sum()
        assert entry["bbox"] == masks.anns[annotation_id]["bbox"]
        ious.append(iou)
    about = load(path)["info"]["polygons"]
    assert len(ious) == about["n_masks"] == len(masks.anns)
    assert about["iou_mean"] == pytest.approx(np.mean(ious))
    assert about["iou_min"] == pytest.approx(min(ious))
    assert about["n_changed"] == sum(iou < 1 for iou in ious)


@settings(max_examples=150, deadline=None)
@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
def test_outlines_draw_the_mask_without_its_holes(mask):
    drawn = coco_mask.merge(coco_mask.frPyObjects(outlines(mask), *mask.shape)) if mask.any() else None
    pixels = rle.decode(drawn["counts"], mask.shape) if drawn else mask
    # A hole is background that is not 4-connected with the outside.
    assert np.array_equal(pixels, ndimage.binary_fill_holes(mask))


def test_a_tolerance_drops_corners(plan):
    path = plan.layout.export("polygons", "baseline")
    before = path.read_bytes()
    export_setting(plan, "baseline", "polygons", options=PolygonsOptions(tolerance_px=2.0))
    simple = load(path)
    path.write_bytes(before)
    n_numbers = [
        sum(len(part) for entry in content["annotations"] for part in entry["segmentation"])
        for content in (simple, json.loads(before))
    ]
    assert n_numbers[0] < n_numbers[1]
    assert simple["info"]["polygons"]["iou_mean"] < json.loads(before)["info"]["polygons"]["iou_mean"]


def test_writing_again_gives_the_same_bytes(plan):
    paths = [plan.layout.card, plan.layout.croissant, plan.layout.export("sa1b", "baseline")]
    before = [path.read_bytes() for path in paths]
    export_setting(plan, "baseline", "sa1b")
    write_card(plan)
    assert [path.read_bytes() for path in paths] == before


def test_the_card_has_numbers_and_says_what_is_unknown(plan):
    text = plan.layout.card.read_text()
    front = yaml.safe_load(text.split("---")[1])
    assert front["license"] == "unknown"
    for config in front["configs"]:
        assert (plan.layout.root / config["data_files"][0]["path"]).is_file()
    summary = {row["setting_id"]: row for row in read_table(plan.layout.statistics("summary")).to_pylist()}
    for setting in plan.exported():
        row = summary[setting.id]
        assert f"| `{setting.label}` | {row['n_masks_total']:,} | {row['n_masks_mean']:.1f} |" in text
    assert "1 truncated" in text
    assert "are unknown to the program" in text
    assert "cccccccc" in text
    assert str(plan.layout.root.parent) not in text + plan.layout.croissant.read_text()


def files_and_bytes(path):
    """Files and links of an export, and the bytes of its files."""
    files = [one for one in path.rglob("[!.]*") if one.is_file()] if path.is_dir() else [path]
    return len(files), sum(one.stat().st_size for one in files if not one.is_symlink())


def exports_of(plan):
    return [
        (form, setting.label, plan.layout.export(form, setting.label))
        for form in plan.config.setting_forms()
        for setting in plan.exported()
    ]


def test_the_card_names_the_exports_with_sizes(plan):
    lines = plan.layout.card.read_text().splitlines()
    for form, _, path in exports_of(plan):
        n_files, n_bytes = files_and_bytes(path)
        name, shown = path.relative_to(plan.layout.root).as_posix(), size(n_bytes)
        if path.is_dir():
            name, shown = f"{name}/", f"{n_files} files, {shown}"
        assert [line for line in lines if line.startswith(f"| `{name}` | ") and line.endswith(f"; {shown} |")], form
    metadata = plan.layout.croissant.read_text()
    assert "exports/polygons/" in metadata
    assert "exports/labels/" not in metadata


def test_the_report_links_the_exports_with_sizes(plan):
    write_report(plan)
    page = plan.layout.root / "report/index.html"
    found = page.read_text().split('<section id="exports"')[1].split("</section>")[0]
    rows = {}
    for row in re.findall(r"<tr><th.*?</tr>", found.split("<tbody>")[1]):
        cells = [unescape(re.sub("<.*?>", "", cell)) for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        rows[(page.parent / unquote(unescape(re.search('href="(.*?)"', row)[1]))).resolve()] = cells
    assert len(rows) == len(exports_of(plan))
    for form, label, path in exports_of(plan):
        n_files, n_bytes = files_and_bytes(path)
        assert rows[path.resolve()][:4] == [form, label, str(n_files), size(n_bytes)]


def test_the_report_of_other_exports_is_stale(plan):
    write_report(plan)
    content = (plan.layout.root / "report/index.html").read_bytes()
    shutil.move(plan.layout.export("labels", "baseline"), plan.layout.root / "away")
    write_report(plan)
    assert b"labels/baseline" not in (plan.layout.root / "report/index.html").read_bytes()
    shutil.move(plan.layout.root / "away", plan.layout.export("labels", "baseline"))
    write_report(plan)
    assert (plan.layout.root / "report/index.html").read_bytes() == content
    for exports, is_stale in (
        (EXPORTS, False),
        ([*EXPORTS[:-1], {"yolo": {"tolerance_px": 1.0}}], True),
        (["card"], True),
    ):
        values = plan.config.model_dump(mode="json") | {"exports": list(exports)}
        other = type(plan)(Config.model_validate(values), plan.base_dir, plan.layout, plan.settings, plan.runs)
        kinds = {one.kind for one in verify_results(other) if one.path.name == "index.html"}
        assert kinds == ({"stale"} if is_stale else set()), exports


def test_croissant_names_every_file_and_column(plan):
    metadata = load(plan.layout.croissant)
    files = {one["@id"]: one for one in metadata["distribution"]}
    assert {"annotations/baseline.json", "exports/sa1b/baseline.tar", "statistics/accuracy.parquet"} < set(files)
    sets = {one["name"]: one for one in metadata["recordSet"]}
    schema = pq.read_schema(plan.layout.statistics("mask_counts"))
    assert [field["name"] for field in sets["mask_counts"]["field"]] == schema.names
    for field in sets["mask_counts"]["field"]:
        assert field["description"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_mlcroissant_reads_the_croissant_file(plan):
    mlcroissant = pytest.importorskip("mlcroissant")
    dataset = mlcroissant.Dataset(jsonld=plan.layout.croissant)
    assert not list(dataset.metadata.ctx.issues.errors)
    first = next(iter(dataset.records("mask_counts")))
    assert first["mask_counts/n_masks"] == read_table(plan.layout.statistics("mask_counts"))["n_masks"][0].as_py()
    records = list(dataset.records("annotations_baseline"))
    annotations = load(plan.layout.annotations("baseline"))["annotations"]
    assert [record["annotations_baseline/id"] for record in records] == [entry["id"] for entry in annotations]


def test_verify_checks_exports(plan):
    def found():
        names = {"README.md", "croissant.json"}
        problems = [(one.kind, one.path.relative_to(plan.layout.root).as_posix()) for one in verify_results(plan)]
        return [(kind, name) for kind, name in problems if name in names or name.startswith("exports/")]

    assert found() == []
    for path in (plan.layout.card, plan.layout.croissant, plan.layout.export("sa1b", "baseline")):
        content, name = path.read_bytes(), path.relative_to(plan.layout.root).as_posix()
        path.write_bytes(content[: len(content) // 2])
        assert found() == [("truncated", name)]
        path.unlink()
        assert found() == [("missing", name)]
        path.write_bytes(content)
    content = plan.layout.card.read_text()
    plan.layout.card.write_text(content.replace(content[-70:-6], "0" * 64))
    assert found() == [("stale", "README.md")]
    plan.layout.card.write_text(content)


def test_hostile_names_are_kept_in_exports(plan):
    assert HOSTILE in {image["file_name"] for image in load(plan.layout.export("polygons", "baseline"))["images"]}


def test_an_empty_mask_is_exported_and_read_again(tmp_path):
    size_hw = (6, 9)
    codes = [rle.encode(np.zeros(size_hw, bool)), rle.encode(np.ones(size_hw, bool))]
    image = {"id": 1, "file_name": "a.png", "height": 6, "width": 9}
    entries = [
        {"id": at, "image_id": 1, "segmentation": rle.compressed(code, size_hw)} for at, code in enumerate(codes, 1)
    ]
    lists = {"images": [json.dumps(image).encode()], "annotations": [json.dumps(entry).encode() for entry in entries]}
    write_document(tmp_path / "masks.json", {"info": {}}, lists)
    fidelity = write_polygons(tmp_path / "masks.json", tmp_path / "polygons.json", 1)
    assert (fidelity.n_masks, fidelity.n_changed, fidelity.least_iou) == (2, 0, 1.0)
    assert read_masks(tmp_path / "polygons.json", "file")["a.png"].codes == codes
