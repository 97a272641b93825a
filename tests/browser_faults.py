"""What axe-core finds wrong with a page, in a window as wide as a phone's and a desktop's, light and dark."""

import itertools
from importlib.metadata import files

WIDTHS = (390, 1400)
SERIOUS = """axe.run({ resultTypes: ["violations"] }).then((found) => found.violations
  .filter((one) => ["serious", "critical"].includes(one.impact))
  .map((one) => `${one.id}: ${one.nodes[0].html.slice(0, 200)} ${one.nodes[0].failureSummary}`))"""


def axe_source():
    """The script, from a package that holds it, and that is not imported: it wants a browser of its own."""
    (path,) = [one for one in files("axe-playwright-python") if one.name == "axe.min.js"]
    return path.locate().read_text(encoding="utf-8")


def faults(tab, page, ready="0"):
    """What axe calls serious or critical, with the window's width and colours; ``ready`` is a script to wait for."""
    found, axe = [], axe_source()
    for width, is_dark in itertools.product(WIDTHS, (False, True)):
        tab.send("Page.navigate", url="about:blank")
        tab.show(page, width, 900, is_dark)
        tab.run(ready)
        tab.run(f"{axe}; 0")
        found += [f"{width} {'dark' if is_dark else 'light'} {fault}" for fault in tab.run(SERIOUS)]
    return found
