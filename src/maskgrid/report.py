"""The stage ``report``: pages for people, each one file that needs no network."""

import logging

from maskgrid.explorer import explorer_page
from maskgrid.files import write_bytes
from maskgrid.lineage import report_fingerprint
from maskgrid.overlays import write_contact_sheet
from maskgrid.plan import Plan
from maskgrid.progress import track
from maskgrid.report_data import read_report_data
from maskgrid.report_pages import report_page

log = logging.getLogger(__name__)


def write_report(plan: Plan) -> None:
    """Write the report, the explorer, and a contact sheet for each exported setting.

    The same data give the same bytes, however images are spread over shards.

    Raises:
        maskgrid.errors.UserError: a table is missing or cut off.
    """
    data = read_report_data(plan)
    folder = plan.layout.root / "report"
    made_from = report_fingerprint(plan)
    exported = plan.exported()
    for setting in track(exported, len(exported), "contact sheets", "settings"):
        write_contact_sheet(folder / "overlays" / f"{setting.label}.jpg", data.samples, setting, made_from)
    write_bytes(folder / "index.html", report_page(data))
    write_bytes(folder / "explorer.html", explorer_page(plan, data.samples))
    log.info("report: %s", folder / "index.html")
