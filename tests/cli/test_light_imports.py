"""What must not wait for torch: ``import maskgrid``, ``maskgrid plan`` and ``verify``, and parsing the workflow."""

import json
import re
import subprocess
import sys

import numpy as np
import PIL.Image
import pytest

from maskgrid.cli.main import main
from workflow import ROOT

CODE = {
    "package": "import maskgrid",
    "help": "from maskgrid.cli.main import make_parser; make_parser()",
    "plan": "from maskgrid.cli.main import main; assert main(['plan']) == 0",
    "verify": "import maskgrid.results.verify",
    **{
        module: f"import maskgrid.{module}"
        for module in (
            *("automatic.replay.stage", "automatic.merge", "dataset.index", "cli.running.ending"),
            *("results.exports.stage", "results.statistics.stage", "results.report.stage", "results.accuracy.stage"),
            *("results.accept", "results.leftovers", "results.advice.text", "results.agreement"),
            *("prompted.prompts", "prompted.merge"),
            *("tracked.videos.stage", "tracked.masklets", "tracked.exports.stage", "tracked.merge"),
        )
    },
    "workflow": f"from snakemake.cli import main; main(['-s', {str(ROOT / 'Snakefile')!r}, '-n', '--cores', '1'])",
}
# Snakemake ends by sys.exit.
CHECK = """
import sys
try:
    {code}
except SystemExit as end:
    assert not end.code, end.code
print([name for name in ("torch", "sam2", "maskgrid") if name in sys.modules])
"""


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder with a config of all three jobs, and the tables that these start from."""
    for path in ("photos/a.png", "clips/v/0.png"):
        (tmp_path / path).parent.mkdir(parents=True)
        PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / path)
    (tmp_path / "prompts.csv").write_text("image,x0,y0,x1,y1\na.png,0,0,4,4\n")
    config = {
        "dataset": {"source": "photos"},
        "model": {"checkpoint": "demo"},
        "prompts": {"source": "prompts.csv"},
        "tracking": {"source": "clips"},
        "annotations": ["all"],
        "generator": {"points_per_side": 1},
    }
    (tmp_path / "config.yaml").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    assert main(["index"]) == main(["videos"]) == 0
    return tmp_path


@pytest.mark.parametrize("code", CODE.values(), ids=CODE)
def test_torch_is_not_loaded(folder, code):
    done = subprocess.run(
        [sys.executable, "-c", CHECK.format(code=code)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['maskgrid']"
    if "snakemake" in code:  # what the rules look up for their jobs has been looked up
        planned = re.findall(r"^(\w+) +\d+$", done.stdout, re.MULTILINE)
        assert {"generate", "replay", "prompt", "track"} <= set(planned)
