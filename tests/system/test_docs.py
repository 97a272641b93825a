"""Check the documentation: every command is documented, every example runs."""

import re
from pathlib import Path

import pytest

from maskgrid.cli.main import main, make_parser

ROOT = Path(__file__).parents[2]


def commands():
    (subparsers,) = (action for action in make_parser()._actions if hasattr(action, "choices") and action.choices)
    return subparsers.choices


def test_every_command_is_documented():
    text = (ROOT / "docs/commands.md").read_text()
    assert not [name for name in commands() if f"`maskgrid {name}" not in text]


@pytest.mark.parametrize("name", [None, *commands()])
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*([name] if name else []), "--help"])
    assert stop.value.code == 0
    assert "usage: maskgrid" in capsys.readouterr().out


def test_every_make_target_in_the_readme_exists():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert not [target for target in named if f"\n{target}:" not in makefile]


def test_links_have_targets():
    for page in [ROOT / "README.md", ROOT / "config/README.md", *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


def test_the_library_examples_run():
    text = (ROOT / "docs/library.md").read_text()
    scope = {}
    for example in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(example, scope)
    assert len(scope["masks"]) == len(scope["by_threshold"][0.5])
    counts = [len(masks) for masks in scope["by_threshold"].values()]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]
