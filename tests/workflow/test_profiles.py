"""The profiles have only options that Snakemake knows and rules that exist, and resources for every rule."""

import re
from pathlib import Path

import pytest
import yaml
from snakemake.cli import get_argument_parser

ROOT = Path(__file__).parents[2]
PROFILES = sorted((ROOT / "profiles").iterdir())
SLURM = yaml.safe_load((ROOT / "profiles/slurm/config.yaml").read_text())
TEXT = "\n".join(path.read_text() for path in [ROOT / "workflow/Snakefile", *ROOT.glob("workflow/rules/*.smk")])
RULES = dict(re.findall(r"^(?:rule|checkpoint) (\w+):\n(.*?)(?=^\S|\Z)", TEXT, re.DOTALL | re.MULTILINE))
VARIANTS = set(re.findall(r"^use rule \w+ as (\w+) with:", TEXT, re.MULTILINE))
SUBMITTED = {name for name, block in RULES.items() if " shell:" in block and "localrule: True" not in block} | VARIANTS
ON_A_GPU = {name for name, block in RULES.items() if re.search(r"maskgrid\} (tiles|generate|prompt|track) ", block)}


def test_rules_are_found():
    assert {"index", "generate", "replay", "prompt"} <= SUBMITTED
    assert {"tiles", "generate", "prompt"} <= ON_A_GPU
    assert "track_png" in SUBMITTED
    assert "accept" not in SUBMITTED


@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_snakemake_knows_every_option(folder):
    values = yaml.safe_load((folder / "config.yaml").read_text())
    known = {option.lstrip("-") for action in get_argument_parser()._actions for option in action.option_strings}
    assert not set(values) - known


def test_snakemake_reads_the_slurm_profile():
    parsed = get_argument_parser(profiles=[str(ROOT / "workflow/profiles/slurm")]).parse_args([])
    assert parsed.executor == "slurm"
    assert parsed.retries == 3
    assert parsed.slurm_status_command == "squeue"
    assert parsed.slurm_requeue
    # Job arrays wait forever if more jobs are ready than allowed.
    assert "slurm-array-jobs" not in SLURM


def test_each_rule_has_its_resources():
    resources = SLURM["set-resources"]
    assert set(resources) == SUBMITTED
    for name, values in resources.items():
        assert {"mem_mb", "runtime"} <= set(values), name
        assert all("attempt" in str(values[key]) for key in ("mem_mb", "runtime")), name


def test_only_rules_that_run_the_network_get_gpus_and_are_not_grouped():
    assert {name for name, values in SLURM["set-resources"].items() if values.get("gpu")} == ON_A_GPU
    grouped = {entry.partition("=")[0] for entry in SLURM["groups"]}
    assert grouped <= SUBMITTED - ON_A_GPU
    # Jobs in a group run one after another; with cores: 1, Snakemake does not add up their resources.
    assert SLURM["cores"] == 1


def test_attempts_belong_to_the_profile():
    assert not [name for name, block in RULES.items() if " retries:" in block]


def test_the_default_profile_agrees_with_slurms():
    """Snakemake loads the default profile on top of any other, and its values win."""
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert {key: SLURM.get(key) for key in default} == default


def test_both_entries_find_the_profiles():
    assert (ROOT / "workflow/profiles").resolve() == ROOT / "profiles"
