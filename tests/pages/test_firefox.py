"""The pages in Firefox: the same masks as in Python, links, the date, narrow windows, nothing serious for axe-core."""

from urllib.parse import quote

import pytest

from browser_faults import SERIOUS, axe_source
from firefox import firefox
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.pages.scripts import script
from maskgrid.results.notes import report_fingerprint
from maskgrid.results.report.samples import read_samples

IS_DRAWN = """new Promise((done) => {
  const look = () => (current?.at === wantedAt && scene && rasters.length && !isAsked ? done() : setTimeout(look, 20));
  look();
})"""

MADE = """new Promise((done) => {
  const made = document.getElementById("made");
  const look = () => (made.textContent ? done(made.textContent) : setTimeout(look, 20));
  look();
})"""


@pytest.fixture(scope="module")
def tab():
    with firefox() as opened:
        yield opened


def test_every_image_at_several_settings_has_pythons_masks(tab, plan):
    keys = read_table(plan.layout.images, ["image_key"], [("status", "=", "ok")])["image_key"].to_pylist()
    n_compared = 0
    for sample in read_samples(plan, keys):
        for setting in plan.settings[::5]:
            tab.show(plan.layout.explorer, f"image={quote(sample.image_key)}&setting={quote(setting.label)}")
            tab.run(IS_DRAWN)
            assert tab.run("current.key") == sample.image_key
            selection = sample.replays[setting.checkpoint].select(setting.generator, setting.filters)
            found = {(one["segmentation"]["counts"], tuple(one["bbox"])) for one in tab.run("cocoOf()")["annotations"]}
            expected = {(code.decode(), tuple(rle.true_box_xywh(code, sample.size_hw))) for code in selection.counts()}
            assert found == expected
            n_compared += len(found)
    assert n_compared > 20


def test_sliders_zoom_and_address(tab, plan):
    tab.show(plan.layout.explorer)
    tab.run(IS_DRAWN)
    first = tab.run("[selection.kept.length, canvas.width > 100]")
    tab.run("change('pred_iou_thresh', 0.99)")
    tab.run(IS_DRAWN)
    assert tab.run("selection.kept.length") < first[0]
    tab.run("zoomBy(4)")
    tab.run(IS_DRAWN)
    tab.run("remember(false)")
    address = tab.run("location.hash.slice(1)")
    assert "pred_iou_thresh=0.99" in address
    assert "zoom=4" in address
    tab.show(plan.layout.explorer, address)
    tab.run(IS_DRAWN)
    assert tab.run("[values.pred_iou_thresh, view.zoom]") == [0.99, 4]


def test_a_picture_of_the_report_opens_the_explorer_there(tab, plan):
    page = plan.layout.root / "report" / "index.html"
    made = {"network": ["2026-03-01T12:00:00Z"] * 2, "results": "2026-03-04T12:00:00Z", "version": "7"}
    (page.parent / "provenance.js").write_bytes(script("run", report_fingerprint(plan), made))
    tab.show(page)
    assert tab.run(MADE) == " · 4 Mar 2026"
    tab.run("document.querySelector('#settings th button').click()")
    assert tab.run("document.querySelectorAll('[aria-sort=ascending]').length") == 1
    href = tab.run("document.querySelector('#disagreement figure a').href")
    name = tab.run("document.querySelector('#disagreement h3').textContent")
    tab.send("WebDriver:Navigate", url=href)
    tab.run(IS_DRAWN)
    assert name.startswith(tab.run("current.key"))


@pytest.mark.parametrize("name", ["index.html", "explorer.html"])
def test_narrow_and_accessible(tab, plan, name, tmp_path):
    page = plan.layout.root / "report" / name
    tab.show_narrow(page, 390, tmp_path)
    assert tab.run("[innerWidth, document.documentElement.scrollWidth <= 390]") == [390, True]
    tab.show(page)
    assert tab.run("innerWidth") > 1200
    tab.add_script(axe_source())
    assert tab.run(SERIOUS) == []
