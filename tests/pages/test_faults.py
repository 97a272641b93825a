"""axe-core calls nothing serious on the report and the explorer, at 390 and 1400 px, light and dark."""

import pytest

from browser_faults import WIDTHS, faults

# The explorer's picture is there.
IS_OPEN = """new Promise((done) => {
  const look = () => (typeof current === "undefined" || (current && selection) ? done() : setTimeout(look, 20));
  look();
})"""
FAULTY = """<!doctype html><html lang="en"><title>faults</title>
<meta name="viewport" content="width=device-width">
<style>
  @media (max-width: 500px) { p { color: #aaa; background: #fff; } }
  @media (prefers-color-scheme: dark) { button { color: #333; background: #222; } }
</style>
<main><h1>Faults</h1><p>Grey on white</p><button>Dark on dark</button></main></html>"""


@pytest.fixture
def report(plan):
    return plan.layout.root / "report"


@pytest.mark.parametrize("name", ["index.html", "explorer.html"])
def test_nothing_serious(tab, report, name):
    assert faults(tab, report / name, IS_OPEN) == []


@pytest.mark.parametrize("name", ["index.html", "explorer.html"])
def test_nothing_is_wider_than_the_window(tab, report, name):
    for width in WIDTHS:
        tab.show(report / name, width, 900)
        tab.run(IS_OPEN)
        assert tab.run("document.documentElement.scrollWidth") <= width


def test_faults_are_found_at_each_width_and_in_dark(tab, tmp_path):
    page = tmp_path / "faulty.html"
    page.write_text(FAULTY)
    assert [(fault.split(":")[0], ">Grey" in fault) for fault in faults(tab, page)] == [
        ("390 light color-contrast", True),
        ("390 dark color-contrast", True),
        ("1400 dark color-contrast", False),
    ]
