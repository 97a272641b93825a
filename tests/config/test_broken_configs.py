"""Configs as people break them: each is one line, with the file, the key and what to write instead."""

import json

import numpy as np
import PIL.Image
import pytest

from maskgrid.cli.main import main

GOOD = {
    "dataset": {"source": "photos"},
    "model": {"checkpoint": "demo"},
    "generator": {"points_per_side": 8},
}


def with_values(**sections):
    return json.dumps({**GOOD, **sections})


# The text of the file; where the message says the mistake is; words of it.
BROKEN = {
    "a key mistyped": (
        "dataset: {source: photos}\nmodel: {checkpoint: demo}\ngenerator:\n  stability_score_tresh: 0.9\n",
        "config.yaml, line 4: generator.stability_score_tresh: ",
        "did you mean 'stability_score_thresh'?",
    ),
    "a section mistyped": (
        "datset: {source: photos}\n",
        "config.yaml, line 1: datset: ",
        "did you mean 'dataset'?",
    ),
    "indentation": (
        "generator:\n  points_per_side: 8\n pred_iou_thresh: 0.5\n",
        "config.yaml, line 3: ",
        "keys of one section need the same indentation",
    ),
    "a tab": ("generator:\n\tpoints_per_side: 8\n", "config.yaml, line 2: ", "indent with spaces, not with tabs"),
    "a colon missing": (
        "generator:\n  points_per_side 8\n  pred_iou_thresh: 0.5\n",
        "config.yaml, line 3: ",
        "this line and the one above: each key needs a colon",
    ),
    "the last colon missing": (
        "dataset: {source: photos}\ngenerator\n",
        "config.yaml, line 3: ",
        "a colon and a space are missing after a key",
    ),
    "a bracket open": (
        "sweep:\n  grid:\n    pred_iou_thresh: [0.6, 0.7\nbaseline: x\n",
        "config.yaml, line 4: ",
        "a bracket is open, here or above",
    ),
    "a quote open": ('dataset:\n  source: "photos\n', "config.yaml, line 3: ", "a quote or bracket is open"),
    "a key twice": (
        "generator:\n  pred_iou_thresh: 0.5\n  pred_iou_thresh: 0.6\n",
        "config.yaml: line 3: ",
        "the key 'pred_iou_thresh' is repeated",
    ),
    "no section": ("photos\n", "config.yaml: ", "a config is a mapping of sections"),
    "empty": ("# nothing yet\n", "config.yaml: ", "maskgrid init --source"),
    "a word for a number": (
        with_values(generator={"points_per_side": "eight"}),
        "config.yaml, line 1: generator.points_per_side: ",
        "valid integer (got 'eight')",
    ),
    "a number in quotes": (
        with_values(generator={"pred_iou_thresh": "0.6"}),
        "config.yaml, line 1: generator.pred_iou_thresh: ",
        "write 0.6",
    ),
    "per cent": (with_values(generator={"pred_iou_thresh": "60%"}), "generator.pred_iou_thresh: ", "write 0.6"),
    "a decimal comma": (with_values(generator={"pred_iou_thresh": "0,6"}), "generator.pred_iou_thresh: ", "write 0.6"),
    "a float for an integer": (with_values(generator={"points_per_side": 8.0}), "points_per_side: ", "write 8"),
    "above 1": (with_values(generator={"pred_iou_thresh": 1.2}), "pred_iou_thresh: ", "less than or equal to 1"),
    "below 1": (with_values(generator={"points_per_side": 0}), "points_per_side: ", "greater than or equal to 1"),
    "1 for true": (with_values(generator={"use_m2m": 1}), "generator.use_m2m: ", "(got 1); write true or false"),
    "a list under generator": (
        with_values(generator={"pred_iou_thresh": [0.6, 0.7]}),
        "config.yaml, line 1: generator.pred_iou_thresh: ",
        "sweep: {grid: {pred_iou_thresh: ...}}",
    ),
    "a parameter under sweep": (
        with_values(sweep={"pred_iou_thresh": [0.6, 0.7]}),
        "config.yaml, line 1: sweep.pred_iou_thresh: ",
        "sweep: {grid: {pred_iou_thresh: ...}}",
    ),
    "a parameter of the prompts under their sweep": (
        with_values(prompts={"source": "p.csv", "sweep": {"refine_rounds": [0, 1]}}),
        "config.yaml, line 1: prompts.sweep.refine_rounds: ",
        "sweep: {grid: {refine_rounds: ...}}",
    ),
    "a value out of range in a sweep": (
        with_values(sweep={"grid": {"pred_iou_thresh": [0.6, 7]}}),
        "config.yaml, line 1: sweep.grid.pred_iou_thresh: ",
        "less than or equal to 1 (got 7)",
    ),
    "a parameter mistyped in a sweep": (
        with_values(sweep={"grid": {"pred_iou_tresh": [0.6]}}),
        "config.yaml, line 1: sweep.grid.pred_iou_tresh: ",
        "did you mean 'pred_iou_thresh'?",
    ),
    "an empty sweep": (with_values(sweep={}), "config.yaml, line 1: sweep: ", "give it a grid, zip or points"),
    "a folder that is not there": (
        "dataset:\n  source: fotos\nmodel: {checkpoint: demo}\n",
        "config.yaml, line 2: dataset.source: ",
        "there is no file or folder",
    ),
    "an empty folder": (
        "dataset:\n  source: empty\nmodel: {checkpoint: demo}\n",
        "config.yaml, line 2: dataset.source: ",
        ".jpg",
    ),
    "two folders": (
        "dataset:\n  source: [a, b]\n",
        "config.yaml, line 2: dataset.source: ",
        "one path a line",
    ),
    "a folder for the section": ("dataset: photos\n", "config.yaml, line 1: dataset: ", "dataset: {source: photos}"),
    "a network for the section": (
        "dataset: {source: photos}\nmodel: demo\n",
        "config.yaml, line 2: model: ",
        "did you mean model: {checkpoint: demo}?",
    ),
    "no network": (
        "dataset: {source: photos}\n",
        "config.yaml: model.checkpoint: ",
        "sam2.1_hiera_tiny (156 MB, about 45 s",
    ),
    "no network, but the section": (
        "dataset: {source: photos}\nmodel:\n  device: cpu\n",
        "config.yaml, line 2: model.checkpoint: ",
        "or demo (",
    ),
    "a network mistyped": (
        with_values(model={"checkpoint": "sam2.1_hiera_tinny"}),
        "config.yaml, line 1: model.checkpoint: ",
        "Did you mean 'sam2.1_hiera_tiny'?",
    ),
    "a network by its name at Hugging Face": (
        with_values(model={"checkpoint": "facebook/sam2.1-hiera-tiny"}),
        "config.yaml, line 1: model.checkpoint: ",
        "Did you mean 'sam2.1_hiera_tiny'?",
    ),
    "weights that are not there": (
        with_values(model={"checkpoint": "/nowhere/sam2.pt"}),
        "config.yaml, line 1: model.checkpoint: ",
        "there is no file /nowhere/sam2.pt",
    ),
    "device gpu": (
        with_values(model={"checkpoint": "demo", "device": "gpu"}),
        "config.yaml, line 1: model.device: ",
        "did you mean 'cuda'?",
    ),
    "another dtype": (
        with_values(model={"checkpoint": "demo", "dtype": "fp16"}),
        "config.yaml, line 1: model.dtype: ",
        "'float32', 'bfloat16' or 'float16'",
    ),
    "an unknown setting": (
        with_values(sweep={"points": [{"name": "sa1b", "pred_iou_thresh": 0.88}]}, annotations=["sab1"]),
        "config.yaml, line 1: annotations[0]: ",
        "did you mean 'sa1b'?",
    ),
    "prompts in another format": (
        with_values(prompts={"source": "boxes.xlsx"}),
        "config.yaml, line 1: prompts.source: ",
        ".csv, .parquet, .jsonl",
    ),
}


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    (tmp_path / "empty").mkdir()
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


# Sources are listed by Snakemake's own process (tests/workflow/test_mistakes.py).
OF_LISTING = ("a folder that is not there", "an empty folder")
CASES = [
    (command, *case)
    for command in ("plan", "run")
    for name, case in BROKEN.items()
    if command == "plan" or name not in OF_LISTING
]


@pytest.mark.parametrize(("command", "text", "where", "words"), CASES)
def test_a_broken_config_is_one_line_that_mends_it(folder, capsys, command, text, where, words):
    (folder / "config.yaml").write_text(text)
    assert main([command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("maskgrid: config.yaml")
    assert where in line
    assert words in line


@pytest.mark.parametrize(
    "text",
    [
        with_values(),
        with_values(generator=None, record=None),
        with_values(sweep={"points": [{"name": "my best one", "pred_iou_thresh": 0.5}]}, annotations=["my best one"]),
        "dataset: {source: demo}\n",
    ],
)
def test_configs_that_are_right(folder, text):
    (folder / "config.yaml").write_text(text)
    assert main(["plan"]) == 0
