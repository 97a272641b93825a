"""What the workflow catalog expects: use as a module, environments for all rules, benchmarks, the catalog's file."""

import json
import re

import numpy as np
import PIL.Image
import pytest
import yaml

from workflow import ROOT, snakemake

RULES = {
    name: block
    for path in sorted(ROOT.glob("workflow/rules/*.smk"))
    for name, block in re.findall(
        r"^(?:rule|checkpoint) (\w+):\n(.*?)(?=^\S|\Z)", path.read_text(), re.DOTALL | re.MULTILINE
    )
}
RUN = [name for name, block in RULES.items() if " shell:" in block]
MODULE = """
configfile: "own.yaml"

module maskgrid:
    snakefile: "{root}/workflow/Snakefile"
    config: config["masks"]

use rule * from maskgrid as masks_*

rule everything:
    default_target: True
    input: rules.masks_all.input
"""


def test_the_catalogs_file_is_valid():
    usage = yaml.safe_load((ROOT / ".snakemake-workflow-catalog.yml").read_text())["usage"]
    assert usage["software-stack-deployment"]["conda"] is True
    assert usage["report"] is True
    readme = (ROOT / "README.md").read_text()
    assert "Snakemake" in readme
    assert "workflow" in readme
    for path in ("workflow/Snakefile", "config/README.md", "config/config.yaml"):
        assert (ROOT / path).is_file()


@pytest.mark.parametrize("name", RUN)
def test_every_job_has_an_environment_a_log_and_a_message(name):
    assert {"log:", "conda:", "message:"} <= set(RULES[name].split())
    (environment,) = re.findall(r'conda:\n +"(.*?)"', RULES[name])
    content = yaml.safe_load((ROOT / "workflow/rules" / environment).read_text())
    assert {"channels", "dependencies"} <= content.keys()


@pytest.mark.parametrize("name", ["generate", "replay", "prompt", "track"])
def test_heavy_rules_are_measured(name):
    assert "benchmark:" in RULES[name]


def test_the_workflow_can_be_a_module_of_another(tmp_path):
    (tmp_path / "images").mkdir()
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "Snakefile").write_text(MODULE.replace("{root}", str(ROOT)))
    config = {"dataset": {"source": "images", "shard_size": 3}, "model": {"checkpoint": "demo"}}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump({"masks": config}))
    run = snakemake(tmp_path, None, "-s", "Snakefile", "-n")
    assert run.code == 0, run.output
    assert {"masks_index", "masks_merge", "masks_statistics", "masks_report", "masks_accept"} <= run.planned.keys()
    # The config that the jobs will read must exist, although the hooks of a module do not run.
    assert json.loads((tmp_path / "results/config.json").read_text())["dataset"]["shard_size"] == 3
    run = snakemake(tmp_path, None, "-s", "Snakefile", "--until", "masks_index")
    assert run.finished == {"masks_index": 1}, run.output
    run = snakemake(tmp_path, None, "-s", "Snakefile", "-n")
    assert run.planned["masks_generate"] == run.planned["masks_replay"] == 1


PREFIXED = """
module {name}:
    snakefile: "{root}/workflow/Snakefile"
    config: config["{name}"]
    prefix: "{prefix}"

use rule * from {name} as {name}_*
"""


def test_two_modules_with_prefixes_work_beside_each_other(tmp_path):
    (tmp_path / "images").mkdir()
    PIL.Image.fromarray(np.zeros((8, 8, 3), np.uint8)).save(tmp_path / "images" / "a.png")
    (tmp_path / "list.txt").write_text("images/a.png\n")
    thresholds = {"points_per_side": 1, "pred_iou_thresh": 0.0, "stability_score_thresh": 0.0}
    demo = {"checkpoint": "demo"}
    config = {
        "one": {"dataset": {"source": "images"}, "model": demo, "generator": thresholds, "exports": ["polygons"]},
        "two": {
            "dataset": {"source": "list.txt"},
            "model": demo,
            "generator": {**thresholds, "multimask_output": False},
            "exports": [],
        },
    }
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(config))
    modules = [
        PREFIXED.format(name=name, prefix=prefix, root=ROOT) for name, prefix in (("one", "one"), ("two", "deep/two 2"))
    ]
    last = "rule everything:\n    default_target: True\n    input: rules.one_all.input, rules.two_all.input\n"
    (tmp_path / "Snakefile").write_text("\n".join(['configfile: "own.yaml"', *modules, last]))
    run = snakemake(tmp_path, None, "-s", "Snakefile")
    assert run.code == 0, run.output
    for name, of_name in (("one", "one"), ("deep/two 2", "two")):
        coco = json.loads((tmp_path / name / "results/annotations/baseline.json").read_text())
        assert coco["info"]["parameters"].items() >= config[of_name]["generator"].items()
        assert coco["annotations"]
    assert (tmp_path / "one/results/exports/polygons/baseline.json").is_file()
    assert (tmp_path / "one/logs/index.log").is_file()
    assert not (tmp_path / "results").exists()
    assert not (tmp_path / "logs").exists()
    assert "Nothing to be done" in snakemake(tmp_path, None, "-s", "Snakefile", "-n").output
