"""Damaged tables and documents that ended in a traceback: each is one line, or rows with a status."""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from maskgrid.config.tracking import TrackingConfig
from maskgrid.dataset.annotations.object_sources import read_prompt, read_source, table_entry
from maskgrid.dataset.annotations.objects import BadPromptError, PromptStatus
from maskgrid.dataset.sources.list_files import read_list
from maskgrid.io.errors import UserError
from maskgrid.io.wording import named_reasons
from maskgrid.masks.coco_reading import read_json
from maskgrid.masks.segmentations import code_of, whole_number
from maskgrid.tracked.prompts.sources import read_video_prompts

TRACKING = TrackingConfig(source="clips", prompts="p.parquet")
READERS = {
    "prompts.source": lambda path: read_source(path, "box"),
    "tracking.prompts": lambda path: read_video_prompts(path, TRACKING),
    "dataset.source": lambda path: read_list(path, "dataset.source"),
}


@pytest.mark.parametrize("key", READERS)
def test_a_parquet_file_with_any_byte_damaged(tmp_path, key):
    """The reader's columns are read, and damage to what is read is one line; most of it pyarrow does not see."""
    path, refused = tmp_path / "p.parquet", []
    pq.write_table(
        pa.table({"image": ["0.png"], "video": ["a"], "path": ["é"], "frame": [0], "box_xyxy": [[1.0]]}), path
    )
    content = path.read_bytes()
    for place in range(0, len(content), 3):
        path.write_bytes(content[:place] + bytes([content[place] ^ 0xFF]) + content[place + 1 :])
        try:
            READERS[key](path)
        except UserError as error:
            refused.append(str(error))
    assert len(refused) > 10
    assert not [text for text in refused if "\n" in text or not text.startswith(f"{key}: ")]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (7.0, 7),
        (7, 7),
        (-(2**63), -(2**63)),
        (2**63, 2.0**63),
        (10**30, 1e30),
        (2.0**63, 2.0**63),
        (0.5, 0.5),
        ("7", "7"),
    ],
)
def test_whole_numbers_fit_64_bits(value, expected):
    found = whole_number(value)
    assert (found, type(found)) == (expected, type(expected))


def test_a_document_with_nan_and_an_endless_number(tmp_path):
    (tmp_path / "a.json").write_text('{"a": [NaN, 7, 18446744073709551616, -3]}')
    (_, *numbers) = read_json(tmp_path / "a.json", "key")["a"]
    assert [(each, type(each)) for each in numbers] == [(7, int), (2.0**64, float), (-3, int)]


def test_an_endless_category_is_no_category(tmp_path):
    coco = {
        "images": [{"id": 0, "file_name": "0.png"}],
        "annotations": [{"id": 1, "image_id": 0, "category_id": 2**63, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 2**63, "name": "a"}, {"id": 1, "name": "b"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(coco))
    source = read_source(tmp_path / "a.json", "box")
    assert [category["id"] for category in source.categories] == [1]
    assert source.entries[0].category_id is None


@pytest.mark.parametrize("number", [2**63, 2**64, 1e30])
def test_an_endless_category_of_a_video_is_no_category(tmp_path, number):
    document = {
        "videos": [{"id": 1, "file_names": ["a/0.png"], "height": 40, "width": 56}],
        "annotations": [{"id": 1, "video_id": 1, "category_id": number, "bboxes": [[1, 2, 3, 4]]}],
        "categories": [{"id": number, "name": "a"}, {"id": 1, "name": "b"}],
    }
    (tmp_path / "a.json").write_text(json.dumps(document))
    prompts = read_video_prompts(tmp_path / "a.json", TrackingConfig(source="clips", prompts="a.json", use="box"))
    assert prompts.entries[0].entry.category_id is None
    assert [category["id"] for category in prompts.categories] == [1]


@pytest.mark.parametrize("number", [1e39, -1e39, float("nan"), float("inf"), 10**40])
def test_a_number_that_the_network_cannot_hold(tmp_path, number):
    entry = table_entry(1, {"image": "0.png", "box_xyxy": [0, 0, 5, number], "object_id": None})
    with pytest.raises(BadPromptError, match="no finite number") as caught:
        read_prompt(entry, (40, 56), False, tmp_path)
    assert caught.value.status == PromptStatus.MALFORMED
    fits = table_entry(1, {"image": "0.png", "box_xyxy": [0, 0, 5, 1e38]})
    assert np.isfinite(np.float32(read_prompt(fits, (40, 56), False, tmp_path).box_xyxy)).all()


def test_reasons_stand_on_one_line_each():
    assert named_reasons([("a\nb", "it is 'x'"), ("写真", "no")]) == "\n  a\\nb: it is 'x'\n  写真: no"


@pytest.mark.parametrize("name", ["x" * 5000, "a/" * 3000 + "b.png", "a\0b.png", "é" * 200])
def test_a_coco_file_with_names_that_no_file_system_takes(tmp_path, name):
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps({"images": [{"id": 1, "file_name": name}, {"id": 2, "file_name": "0.png"}]}))
    (tmp_path / "images").mkdir()
    (tmp_path / "images" / "0.png").touch()
    assert read_list(path, "dataset.source") == ([name, "0.png"], tmp_path / "images")


@pytest.mark.parametrize("size", ["a\nb", None, [1, "\n"], {"\n": 1}])
def test_a_mask_of_another_size_is_refused_in_a_line(size):
    with pytest.raises(ValueError, match="the mask's size is") as caught:
        code_of({"counts": [10], "size": size}, (2, 5))
    assert "\n" not in str(caught.value)
