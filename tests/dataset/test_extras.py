"""An image that lacks an optional package is read once that is installed; other images notice nothing."""

import json
import os
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest
import tifffile

from corpus import scene
from maskgrid.dataset.extras import extra_named, refuse_missing_extra
from maskgrid.io.errors import UserError

# Indexes a folder in a process of its own, without some modules, and says what came of it.
INDEX = """
import json, sys
for name in json.loads(sys.argv[2]):
    sys.modules[name] = None
from pathlib import Path
from maskgrid.automatic.verify import check_source
from maskgrid.config.models import Config
from maskgrid.dataset.changes import source_changes
from maskgrid.dataset.extras import extras_that_decide
from maskgrid.dataset.index import index_dataset
from maskgrid.dataset.tables import read_images
from maskgrid.io.tables import read_origin
from maskgrid.plan.plan import make_plan
folder = Path(sys.argv[1])
dataset = {"source": "photos", "ground_truth": None, "max_pixels": 20_000}
config = Config.model_validate({"dataset": dataset, "generator": {"tile_size_px": 64}})
plan = make_plan(config, folder, folder / "results")
files = plan.layout.files
found = {"decide": extras_that_decide(files)}
if files.is_file():
    changes = source_changes(plan)
    found |= {"readable": changes.readable, "said": str(changes), "verify": [one.reason for one in check_source(plan)]}
index_dataset(plan)
rows = read_images(plan.layout.images.parent).to_pylist()
found |= {"status": {row["image_key"]: row["status"] for row in rows}, "noted": read_origin(files).get("extras")}
found["shards"] = plan.shard_digests()
print(json.dumps(found))
"""


def index(folder, *hidden):
    command = [sys.executable, "-c", INDEX, str(folder), json.dumps(hidden)]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def heic(path):
    pytest.importorskip("pillow_heif").from_pillow(PIL.Image.fromarray(scene(40, 50))).save(path)


def avif(path):
    PIL.Image.fromarray(scene(40, 50)).save(path, "AVIF")


def jpeg_xl_in_tiff(path):
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(path, scene(40, 50), photometric="rgb", compression="jpegxl")


def webp_in_tiff(path):
    pytest.importorskip("imagecodecs")
    tifffile.imwrite(path, scene(40, 50), photometric="rgb", compression="webp")


def large(path):
    pytest.importorskip("pyvips")
    PIL.Image.fromarray(scene(201, 211)).save(path)


EXTRAS = {
    "heic": ("a.heic", heic, "pillow_heif", "unsupported"),
    "avif": ("a.avif", avif, "PIL._avif", "unsupported"),
    "tiff": ("a.tif", jpeg_xl_in_tiff, "imagecodecs", "unsupported"),
    "tiff, WebP": ("a.tif", webp_in_tiff, "imagecodecs", "unsupported"),
    "large, JPEG": ("a.jpg", large, "pyvips", "too_large"),
    "large, PNG": ("a.png", large, "pyvips", "too_large"),
}


@pytest.fixture
def photos(tmp_path):
    (tmp_path / "photos").mkdir()
    PIL.Image.fromarray(scene(30, 40)).save(tmp_path / "photos/good.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("kind", EXTRAS)
def test_an_image_is_read_once_its_package_is_installed(tmp_path, photos, kind):
    name, write, module, status = EXTRAS[kind]
    extra = kind.partition(",")[0]
    write(photos / name)
    for _ in range(2):
        found = index(tmp_path, module)
        assert found["status"] == {name: status, "good.png": "ok"}
        assert (found["noted"], found["decide"]) == ({extra: False}, [])
    assert (found["readable"], found["verify"]) == ([], [])

    found = index(tmp_path)
    assert (found["decide"], found["readable"]) == ([extra], [name])
    assert f"1 image to be tried again, since maskgrid[{extra}] is installed now" in found["said"]
    assert found["verify"] == [f"1 image may be readable now ({name}): maskgrid[{extra}] is installed"]
    assert found["status"] == {name: "ok", "good.png": "ok"}

    again = index(tmp_path)
    assert (again["decide"], again["readable"], again["verify"]) == ([extra], [], [])
    assert again["shards"] == found["shards"]


def test_what_reads_without_a_package_does_not_ask_for_it(tmp_path, photos):
    """Neither a good image, nor one that no package could read."""
    tifffile.imwrite(photos / "deep.tif", scene(30, 40).astype(np.uint16), photometric="rgb")
    (photos / "raw.png").write_bytes(b"8BPS" + bytes(99))
    (photos / "cut.jpg").write_bytes(b"\xff\xd8\xff" + bytes(99))
    PIL.Image.fromarray(scene(201, 211)).save(photos / "large.webp")
    hidden = [module for _, _, module, _ in EXTRAS.values()]
    without, found = index(tmp_path, *hidden), index(tmp_path)
    assert set(found["status"].values()) == {"ok", "unsupported", "truncated", "too_large"}
    assert without["noted"] is found["noted"] is None
    assert (found["decide"], found["readable"], found["verify"]) == ([], [], [])
    assert (without["status"], without["shards"]) == (found["status"], found["shards"])


def test_what_a_package_does_not_help_is_tried_once(tmp_path, photos):
    pytest.importorskip("pyvips")
    PIL.Image.fromarray(scene(201, 211)).save(photos / "a.jpg", progressive=True)
    assert index(tmp_path, "pyvips")["noted"] == {"large": False}
    assert index(tmp_path)["readable"] == ["a.jpg"]
    found = index(tmp_path)
    assert (found["status"]["a.jpg"], found["readable"], found["decide"]) == ("too_large", [], ["large"])


@pytest.mark.parametrize(
    ("message", "extra"),
    [
        ("HEIC, which needs a further package: pip install 'maskgrid[heic]'", "heic"),
        ("pip install 'maskgrid[nothing]'", None),
        ("cut short or damaged", None),
        (None, None),
    ],
)
def test_the_extra_that_a_message_names(message, extra):
    assert extra_named(message) == extra


def test_a_job_stops_where_a_package_is_missing_that_the_index_had():
    message = "larger than max_pixels, and read in strips alone: pip install 'maskgrid[large]'"
    with pytest.raises(UserError, match=r"a\.jpg could be read when it was indexed.*maskgrid\[large\]"):
        refuse_missing_extra("a.jpg", message)
    refuse_missing_extra("a.jpg", "cut short or damaged")
