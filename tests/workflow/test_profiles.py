"""The profiles: options that Snakemake knows, rules that exist, and resources for each of these."""

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
ON_A_GPU = {name for name, block in RULES.items() if re.search(r"maskgrid\} (generate|prompt|track) ", block)}


def test_rules_are_found():
    assert {"index", "generate", "replay", "prompt"} <= SUBMITTED
    assert {"generate", "prompt"} <= ON_A_GPU
    assert "track_png" in SUBMITTED
    assert "accept" not in SUBMITTED


@pytest.mark.parametrize("folder", PROFILES, ids=lambda folder: folder.name)
def test_snakemake_knows_every_option(folder):
    values = yaml.safe_load((folder / "config.yaml").read_text())
    known = {option.lstrip("-") for action in get_argument_parser()._actions for option in action.option_strings}
    assert not set(values) - known


def test_snakemake_reads_the_profile_of_slurm():
    parsed = get_argument_parser(profiles=[str(ROOT / "workflow/profiles/slurm")]).parse_args([])
    assert parsed.executor == "slurm"
    assert parsed.retries == 3
    assert parsed.slurm_status_command == "squeue"
    assert parsed.slurm_requeue
    # With fewer jobs allowed than ready, arrays wait for ever.
    assert "slurm-array-jobs" not in SLURM


def test_each_rule_has_its_resources():
    resources = SLURM["set-resources"]
    assert set(resources) == SUBMITTED
    for name, values in resources.items():
        assert {"mem_mb", "runtime"} <= set(values), name
        assert all("attempt" in str(values[key]) for key in ("mem_mb", "runtime")), name


def test_gpus_go_to_the_rules_that_run_the_network_and_these_stay_single():
    assert {name for name, values in SLURM["set-resources"].items() if values.get("gpu")} == ON_A_GPU
    grouped = {entry.partition("=")[0] for entry in SLURM["groups"]}
    assert grouped <= SUBMITTED - ON_A_GPU
    # Members run one after the other; so much is asked for only if no two are counted at once.
    assert SLURM["cores"] == 1


def test_attempts_belong_to_the_profile():
    assert not [name for name, block in RULES.items() if " retries:" in block]


def test_the_default_profile_changes_nothing_of_slurms():
    """Snakemake loads it beside any other, and lets it win."""
    default = yaml.safe_load((ROOT / "profiles/default/config.yaml").read_text())
    assert {key: SLURM.get(key) for key in default} == default


def test_profiles_lie_where_both_entries_find_them():
    assert (ROOT / "workflow/profiles").resolve() == ROOT / "profiles"
