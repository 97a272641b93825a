"""The stage ``report``: the table of settings as one page without a network."""

import html

from maskgrid.counting import summary_of
from maskgrid.files import write_bytes
from maskgrid.plan import Plan, plan_text

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>maskgrid: {source}</title>
<style>
:root {{ color-scheme: light dark }}
body {{ font: 16px sans-serif; margin: 2em }}
pre {{ overflow: auto }}
</style>
<h1>Masks of {source}</h1>
<pre>{summary}</pre>
<h2>Plan</h2>
<pre>{plan}</pre>
</html>
"""


def write_report(plan: Plan) -> None:
    """Write ``report/index.html``.

    Raises:
        maskgrid.errors.UserError: the statistics are not there yet.
    """
    page = _PAGE.format(
        source=html.escape(plan.config.dataset.source),
        summary=html.escape(summary_of(plan)),
        plan=html.escape(plan_text(plan)),
    )
    write_bytes(plan.layout.root / "report" / "index.html", page.encode())
