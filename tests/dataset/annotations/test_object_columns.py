"""Tables of prompts with the columns of other tools, and messages for cells that cannot be read."""

import json
from pathlib import Path

import pytest

from maskgrid.dataset.annotations.names import NearestNames
from maskgrid.dataset.annotations.object_sources import read_source
from maskgrid.io.errors import UserError


def first_entry(tmp_path, text, name="boxes.csv"):
    path = Path(tmp_path / name)
    path.write_text(text)
    return read_source(path, "box").entries[0]


@pytest.mark.parametrize(
    ("header", "cells", "box", "form"),
    [
        ("image,box_xyxy", 'a.png,"[1, 2, 3, 4]"', [1, 2, 3, 4], "xyxy"),
        ("image,x1,y1,x2,y2", "a.png,1,2,3,4.5", [1, 2, 3, 4.5], "xyxy"),
        ("image,x0,y0,x1,y1", "a.png,1,2,3,4", [1, 2, 3, 4], "xyxy"),
        ("image,xmin,ymin,xmax,ymax", "a.png,1,2,3,4", [1, 2, 3, 4], "xyxy"),
        ("image,x,y,width,height", "a.png,1,2,3,4", [1, 2, 3, 4], "xywh"),
        ("file_name,bbox", 'a.png,"[1, 2, 3, 4]"', [1, 2, 3, 4], "xywh"),
        ("file_name,x,y,w,h", "a.png,1,2,3,4", [1, 2, 3, 4], "xywh"),
        # Our own names come first.
        ("image,file_name,box_xyxy,x1,y1,x2,y2", 'a.png,b.png,"[1, 2, 3, 4]",5,6,7,8', [1, 2, 3, 4], "xyxy"),
    ],
)
def test_columns_of_other_tools_are_read(tmp_path, header, cells, box, form):
    entry = first_entry(tmp_path, f"{header}\n{cells}\n")
    assert (entry.broken, entry.image_key, entry.box, entry.box_form) == (None, "a.png", box, form)
    row = dict(zip(header.split(","), json.loads(f"[{_as_json(cells)}]"), strict=True))
    entry = first_entry(tmp_path, json.dumps(row), "boxes.jsonl")
    assert (entry.broken, entry.image_key, entry.box, entry.box_form) == (None, "a.png", box, form)


def _as_json(cells):
    """A line of CSV as items of a JSON list."""
    names = {name: f'"{name}"' for name in ("a.png", "b.png")}
    for name, quoted in names.items():
        cells = cells.replace(name, quoted)
    return cells.replace('"[', "[").replace(']"', "]")


def test_an_object_beside_boxes_may_have_a_mask_alone(tmp_path):
    entry = first_entry(tmp_path, "image,x1,y1,x2,y2,mask\na.png,,,,,m.png\n")
    assert (entry.broken, entry.box, entry.mask) == (None, None, "m.png")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("image,box_xyxy\na.png,[1\n", '"[10, 20, 110, 220]"; or use four columns: x1, y1, x2, y2'),
        ("image,point_coords\na.png,50 60\n", '"[[50, 60], [70, 80]]"'),
        ("image,x1,y1,x2,y2\na.png,1,2,3,many\n", "the columns x1, y1, x2, y2 need a number each"),
        ("image,x1,y1,x2,y2\na.png,1,2,3,\n", "the columns x1, y1, x2, y2 need a number each"),
    ],
)
def test_a_cell_that_cannot_be_read_says_how_it_looks(tmp_path, text, words):
    assert words in first_entry(tmp_path, text).broken


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ("image;x1;y1;x2;y2", "separate them by commas"),
        ("image,x1,y1", "or the four x1, y1, x2, y2"),
        ("x1,y1,x2,y2", "needs a column 'image'"),
    ],
)
def test_columns_that_are_missing(tmp_path, header, words):
    with pytest.raises(UserError, match=words):
        first_entry(tmp_path, f"{header}\n")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("photos/truck.jpg", "; did you mean 'a/Truck.JPG'?"),
        ("truck", "; did you mean 'a/Truck.JPG'?"),
        ("truck.png", "; did you mean 'a/Truck.JPG'?"),
        ("trucks.jpg", "; did you mean 'a/Truck.JPG'?"),
        ("zebra.png", ""),
    ],
)
def test_the_nearest_image_is_offered(name, hint):
    assert NearestNames.of(["a/Truck.JPG", "coins.png"]).hint(name) == hint
