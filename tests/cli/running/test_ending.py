"""What a run says at its end about what it could not use."""

import pyarrow as pa
import pytest

from maskgrid.cli.running.ending import unused_lines
from maskgrid.config.models import Config
from maskgrid.io.tables import write_table
from maskgrid.plan.plan import make_plan

PROMPTS = {"dataset": {"source": "photos"}, "model": {"checkpoint": "demo"}, "prompts": {"source": "boxes.json"}}
VIDEOS = {"model": {"checkpoint": "demo"}, "tracking": {"source": "clips", "prompts": "prompts.jsonl"}}


@pytest.mark.parametrize(
    ("config", "table", "names", "line"),
    [
        (PROMPTS, "dataset/images.parquet", ["image_key"], "2 of 6 images: a0 (bad), a1 (bad)"),
        (PROMPTS, "prompted/prompts.parquet", ["image_key", "source_id"], "2 of 6 prompts: a0, b0 (bad), a1, b1 (bad)"),
        (VIDEOS, "tracked/videos.parquet", ["video_key"], "2 of 6 videos: a0 (bad), a1 (bad)"),
        (VIDEOS, "tracked/prompts.parquet", ["video_key", "source_id"], "2 of 6 prompts: a0, b0 (bad), a1, b1 (bad)"),
    ],
)
@pytest.mark.parametrize("n_bad", [0, 2])
def test_each_kind_of_input_is_named_with_its_table(tmp_path, config, table, names, line, n_bad):
    columns = {name: [f"{letter}{number}" for number in range(6)] for name, letter in zip(names, "ab", strict=False)}
    status, message = ["bad"] * n_bad + ["ok"] * (6 - n_bad), ["broken"] * n_bad + [None] * (6 - n_bad)
    path = tmp_path / "results" / table
    path.parent.mkdir(parents=True)
    content = pa.table({**columns, "status": status, "message": pa.array(message, pa.string())})
    write_table(path, content, {"fingerprint": "0" * 64})
    plan = make_plan(Config.model_validate(config), tmp_path, tmp_path / "results")
    assert unused_lines(plan) == ([f"not used         {line}; reasons in {path}"] if n_bad else [])


def test_a_damaged_table_is_said_and_the_end_goes_on(tmp_path):
    path = tmp_path / "results/dataset/images.parquet"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"PAR1")
    (line,) = unused_lines(make_plan(Config.model_validate(PROMPTS), tmp_path, tmp_path / "results"))
    assert line.startswith("not used ")
    assert str(path) in line


@pytest.mark.parametrize(
    ("of_images", "of_videos", "line"),
    [
        ({}, {}, None),
        ({"large": False, "heic": True}, {}, "to read more     pip install 'maskgrid[large]', then run again"),
        ({"large": False}, {"heic": False}, "to read more     pip install 'maskgrid[heic,large]', then run again"),
    ],
)
def test_the_extras_that_inputs_lack_are_named(tmp_path, of_images, of_videos, line):
    for folder, extras in (("dataset", of_images), ("tracked", of_videos)):
        (tmp_path / "results" / folder).mkdir(parents=True)
        origin = {"fingerprint": "0" * 64, **({"extras": extras} if extras else {})}
        write_table(tmp_path / "results" / folder / "files.parquet", pa.table({"a": [1]}), origin)
    plan = make_plan(Config.model_validate(VIDEOS), tmp_path, tmp_path / "results")
    assert unused_lines(plan) == ([line] if line else [])
