"""The report is self-contained, shows names as text, and has the same bytes for the same data."""

import json
import re
import shutil
from dataclasses import replace
from html.parser import HTMLParser
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pytest

from browser import shown_document
from made_results import HOSTILE, make_config, make_results, one_shard, two_shards
from maskgrid.automatic.replay.curves import CountCurve
from maskgrid.config.spaces import generator_space
from maskgrid.config.sweep import expand
from maskgrid.masks import rle
from maskgrid.masks.pictures import Thumbnail
from maskgrid.pages.markup import element, text
from maskgrid.pages.scripts import script
from maskgrid.plan.layout import Layout
from maskgrid.results.explorer.page import images_inside
from maskgrid.results.notes import report_fingerprint
from maskgrid.results.report import stage
from maskgrid.results.report.charts import stepped
from maskgrid.results.report.data import read_report_data
from maskgrid.results.report.stage import write_report
from maskgrid.results.statistics.curves import (
    Curve,
    Point,
    answered,
    flat_ranges,
    not_dominated,
    pair_maps,
    response_curves,
)

PAGES = ("index.html", "explorer.html")
PARTS = (
    *("pictures", "summary", "settings", "filters", "responses", "maps", "trade-off", "effects", "disagreement"),
    *("overlays", "failures", "provenance", "scores", "sizes"),
)


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    made = make_results(tmp_path_factory.mktemp("run"))
    write_report(made)
    return made


def read(plan, name):
    return (plan.layout.root / "report" / name).read_text()


class _Tags(HTMLParser):
    """Collect a page's tags with attributes, and its text outside scripts and styles."""

    def __init__(self, page):
        super().__init__()
        self.tags, self.text, self._silent = [], [], 0
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._silent += tag in ("script", "style")

    def handle_endtag(self, tag):
        self._silent -= tag in ("script", "style")

    def handle_data(self, data):
        if not self._silent:
            self.text.append(data)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_loads_nothing_else(plan, name):
    page = read(plan, name)
    for tag, attributes in _Tags(page).tags:
        assert tag not in ("link", "iframe", "object", "embed", "base"), tag
        if "src" in attributes:
            assert attributes["src"].startswith("data:image/"), attributes["src"][:60]
        if "href" in attributes:
            assert re.match(r"#|index\.html$|explorer\.html(#|$)", attributes["href"]), attributes["href"]
    style = "".join(re.findall(r"<style>(.*?)</style>", page, re.DOTALL))
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("name", PAGES)
def test_a_name_cannot_become_a_tag(plan, name):
    page = read(plan, name)
    tags = _Tags(page).tags
    assert "alert('x')&" not in page.replace("\\u003c", "<").split('id="data"')[0]
    scripts = [attributes for tag, attributes in tags if tag == "script"]
    assert len([one for one in scripts if "data-image" not in one]) == (2 if name == "explorer.html" else 1)
    assert not [tag for tag, attributes in tags if tag == "i" and "class" not in attributes]
    assert "<b>loose" not in page.split('id="data"')[0]


def test_names_and_reasons_are_shown(plan):
    shown = "".join(_Tags(read(plan, "index.html")).text)
    for words in (HOSTILE, "broken.jpg", "truncated", "cut short <i>", "<b>loose"):
        assert words in shown, words


def test_every_setting_has_a_row(plan):
    table = read(plan, "index.html").split('id="settings"')[1].split("</table>")[0]
    for setting in plan.settings:
        assert table.count(f"<code>{setting.id}</code>") == 1
    assert table.count("<tr") == 1 + len(plan.settings)


def test_numbers_match_the_summary(plan):
    from maskgrid.io.tables import read_table

    table = read(plan, "index.html").split('id="settings"')[1].split("</table>")[0]
    for row in read_table(plan.layout.statistics("summary")).to_pylist():
        line = next(part for part in table.split("<tr") if row["setting_id"] in part)
        cells = re.findall(r"<td[^>]*>(.*?)</td>", line)
        assert f"{row['n_masks_mean']:.1f}" == cells[3]
        assert f"{100 * row['coverage_frac_mean']:.1f}%" == cells[6]


CLICKS = """
<script>
const heads = [...document.querySelectorAll("#settings th button")];
const masks = heads.find((head) => head.textContent === "masks");
masks.click();
masks.click();
</script>
"""


def test_a_click_on_a_heading_sorts(plan, tmp_path):
    from maskgrid.io.tables import read_table

    page = tmp_path / "report.html"
    page.write_text(read(plan, "index.html").replace("</body>", f"{CLICKS}</body>"))
    table = shown_document(page).split('id="settings"')[1].split("</table>")[0]
    rows = read_table(plan.layout.statistics("summary")).to_pylist()
    shown = {row["setting_id"]: float(f"{row['n_masks_mean']:.1f}") for row in rows}
    order = [shown[name] for name in re.findall(r"<code>(.*?)</code>", table)]
    assert len(set(order)) > 3
    assert order == sorted(order, reverse=True)


def test_the_top_says_of_what_and_when(plan):
    page = read(plan, "index.html")
    assert "<title>images, demo network - maskgrid report</title>" in page
    first = page.split("<main")[1].split("<section")[0]
    assert "<h1>images</h1>" in first
    assert f"demo network · {len(read_image_keys(plan))} images · {len(plan.settings)} settings" in first
    assert "the demo network is a toy" in first
    assert page.index('<section id="pictures"') < page.index('<section id="summary"')


def read_image_keys(plan):
    return read_report_data(plan).images.keys


@pytest.mark.parametrize(("fingerprint", "says"), [(None, True), ("0" * 64, False)], ids=["these", "other results"])
def test_the_date_is_that_of_the_results(plan, tmp_path, fingerprint, says):
    page = tmp_path / "index.html"
    page.write_text(read(plan, "index.html"))
    made = {"network": ["2026-03-01T12:00:00+00:00", "2026-03-02T12:00:00+00:00"], "version": "7"}
    made["results"] = "2026-03-04T12:00:00+00:00"
    (tmp_path / "provenance.js").write_bytes(script("run", fingerprint or report_fingerprint(plan), made))
    shown = "".join(_Tags(shown_document(page)).text)
    assert ("settings · 4 Mar 2026" in shown) == says
    assert ("ran from 1 Mar 2026 to 2 Mar 2026; masks were selected on 4 Mar 2026, with maskgrid 7." in shown) == says


def links_of(page):
    hrefs = [attributes["href"] for tag, attributes in _Tags(page).tags if tag == "a"]
    return [urlsplit(href) for href in hrefs if href.startswith("explorer.html#")]


def test_pictures_and_rows_open_the_explorer_there(plan):
    page = read(plan, "index.html")
    states = [dict(parse_qsl(link.fragment, strict_parsing=True)) for link in links_of(page) if link.fragment]
    keys = set(read_image_keys(plan))
    assert {state["image"] for state in states if "image" in state} == keys
    assert HOSTILE in keys
    labels = {setting.label for setting in plan.settings} - {plan.baseline.label}
    assert {state["setting"] for state in states if "setting" in state and "image" not in state} == labels
    table = page.split('id="settings"')[1].split("</table>")[0]
    assert len(links_of(table)) == len(plan.settings)
    pictures = page.split('<section id="pictures"')[1].split("</section>")[0]
    assert re.findall(r"<figure[^>]*>(<\w+)", pictures) == ["<a"] * len(keys)


def test_nothing_links_where_the_explorer_has_nothing(plan, tmp_path, monkeypatch):
    """With chosen images, of which only the first fits into the page."""
    config = plan.config.model_copy(update={"explorer": "chosen"})
    chosen = replace(plan, config=config, layout=Layout(tmp_path))
    shutil.copytree(plan.layout.root, tmp_path, dirs_exist_ok=True)
    monkeypatch.setattr(stage, "images_inside", lambda plan, samples: images_inside(plan, samples)[:1])
    write_report(chosen)
    states = [dict(parse_qsl(link.fragment)) for link in links_of(read(chosen, "index.html"))]
    (key,) = {state["image"] for state in states if "image" in state}
    assert (
        json.loads(read(chosen, "explorer.html").split('id="data">')[1].split("</script>")[0])["images"][0]["key"]
        == key
    )
    monkeypatch.setattr(stage, "images_inside", lambda plan, samples: [])
    write_report(chosen)
    assert links_of(read(chosen, "index.html")) == []


def test_the_parameter_that_matters_most(plan):
    """Its figures are those of the table of effects, and it is first in nearly all resamples only if images agree."""
    data = read_report_data(plan)
    means = {}
    for row in data.effects:
        means.setdefault(row["parameter"], []).append(row["n_masks_mean"])
    ranges = {name: max(found) - min(found) for name, found in means.items()}
    assert {move.parameter: move.range for move in data.moves} == pytest.approx(ranges)
    assert [move.range for move in data.moves] == pytest.approx(sorted(ranges.values(), reverse=True))
    assert sum(move.first_frac for move in data.moves) == pytest.approx(1)
    for move in data.moves:
        assert move.low <= move.range <= move.high
    first = data.moves[0]
    words = "".join(_Tags(read(plan, "index.html").split("<main")[1].split("<section")[0]).text)
    assert f"{first.parameter} matters most: from {first.fewest_at:g} to {first.most_at:g} the mean count goes" in words
    assert f"from {first.fewest:.1f} to {first.most:.1f} masks per image" in words
    assert "other images may differ, as these are few" in words


def test_all_sections_are_present(plan):
    page = read(plan, "index.html")
    for name in PARTS:
        assert f'<section id="{name}"' in page, name
        assert f'href="#{name}"' in page, name
    for svg in re.findall(r"<svg[^>]*>", page):
        assert 'role="img"' in svg
        assert re.search(r'aria-label="[^"]{10,}"', svg)
    for image in re.findall(r"<img[^>]*>", page):
        assert re.search(r'alt="[^"]+"', image)


def test_headings_are_explained_without_hovering(plan):
    page = read(plan, "index.html")
    hints = set(re.findall(r'<th [^>]*title="([^"]+)"', page))
    assert len(hints) > 5
    assert hints <= set(re.findall(r"<dd>(.*?)</dd>", page))


def test_pages_are_small(plan):
    assert len(read(plan, "index.html")) < 10_000_000
    assert len(read(plan, "explorer.html")) < 10_000_000


def test_the_same_data_gives_the_same_bytes(plan, tmp_path):
    """In other shards, in another folder, and when written again."""
    other = make_results(tmp_path / "elsewhere", two_shards, make_config(shard_size=2))
    assert other.shards() != plan.shards()
    write_report(other)
    first = {path.name: path.read_bytes() for path in sorted((plan.layout.root / "report").rglob("*.*"))}
    second = {path.name: path.read_bytes() for path in sorted((other.layout.root / "report").rglob("*.*"))}
    assert len(first) == len(PAGES) + 1 + len(plan.exported())
    del second["images.js"]  # says in which shard's folder each image is
    assert {name: first[name] for name in second} == second
    write_report(plan)
    assert first == {path.name: path.read_bytes() for path in sorted((plan.layout.root / "report").rglob("*.*"))}


def test_a_single_setting_and_no_sweep(tmp_path):
    plan = make_results(tmp_path, one_shard, make_config(sweep=None, annotations=["baseline"]), n_images=1)
    write_report(plan)
    page = read(plan, "index.html")
    assert "There is one setting" in page
    assert 'id="maps"' not in page


def test_missing_images_are_mentioned(tmp_path):
    plan = make_results(tmp_path, n_images=1)
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    write_report(plan)
    assert "has gone or changed" in read(plan, "index.html")


def test_text_is_escaped_everywhere():
    assert text("<a href='x'>\"&") == "&lt;a href=&#x27;x&#x27;&gt;&quot;&amp;"
    assert element("p", {"title": '"><script>'}, text("<b>")) == ('<p title="&quot;&gt;&lt;script&gt;">&lt;b&gt;</p>')


def make_answered(counts, **grid):
    settings = expand(generator_space(make_config(sweep={"grid": grid}, annotations=["baseline"])), None)
    rows = [
        {
            "setting_id": setting.id,
            "n_masks_mean": counts(setting.generator),
            "n_masks_low": None,
            "n_masks_high": None,
            "coverage_frac_mean": 0.5,
        }
        for setting in settings
    ]
    return settings[0], answered(settings, rows)


def test_a_response_curve_keeps_other_parameters_at_the_baseline():
    baseline, results = make_answered(
        lambda generator: 100 * generator.pred_iou_thresh + 1000 * generator.box_nms_thresh,
        pred_iou_thresh=[0.2, 0.3, 0.4],
        box_nms_thresh=[0.5, 0.7],
    )
    curves = {curve.parameter: curve for curve in response_curves(results, baseline)}
    assert [round(point.n_masks) for point in curves["pred_iou_thresh"].points] == [720, 730, 740]
    assert curves["pred_iou_thresh"].at_baseline
    assert [round(point.n_masks) for point in curves["box_nms_thresh"].points] == [530, 730]


def test_exact_curves_go_through_the_points_of_the_sweep(plan):
    data = read_report_data(plan)
    curves = [curve for curve in response_curves(data.results, plan.baseline) if curve.at_baseline]
    assert {curve.parameter for curve in curves} == set(data.exact.curves)
    assert data.exact.of_all
    for curve in curves:
        exact = data.exact.curves[curve.parameter]
        assert [exact.at(point.value) for point in curve.points] == [point.n_masks for point in curve.points]
        corners = stepped(exact, curve.points[0].value, curve.points[-1].value)
        assert len(corners) > 2
        assert exact.at(np.array([x for x, _ in corners[::2]])).tolist() == [y for _, y in corners[::2]]
    assert "The steps are exact at every value" in read(plan, "index.html")


@pytest.mark.parametrize(("first", "last"), [(0.0, 1.0), (0.3, 0.6), (0.0, 0.3), (0.7, 1.0)])
def test_too_many_steps_for_a_chart_are_drawn_by_their_extremes(first, last):
    random = np.random.default_rng(0)
    starts = np.concatenate([[-np.inf], np.sort(random.uniform(first, last, 20_000))])
    exact = CountCurve(starts, random.random(20_001) * 100)
    corners = stepped(exact, 0.25, 0.75)
    assert len(corners) <= 2100
    assert (corners[0], corners[-1]) == ((0.25, exact.at(0.25)), (0.75, exact.at(0.75)))
    inside = [exact.at(0.25), *exact.counts[(starts > 0.25) & (starts <= 0.75)]]
    assert {min(y for _, y in corners), max(y for _, y in corners)} == {min(inside), max(inside)}
    assert all(0.25 <= x <= 0.75 for x, _ in corners)


def test_a_response_curve_off_the_grid_is_a_mean():
    baseline, results = make_answered(
        lambda generator: 100 * generator.pred_iou_thresh + 1000 * generator.box_nms_thresh,
        pred_iou_thresh=[0.2, 0.4],
        box_nms_thresh=[0.4, 0.6],
    )
    curve = next(curve for curve in response_curves(results, baseline) if curve.parameter == "pred_iou_thresh")
    assert not curve.at_baseline
    assert [round(point.n_masks) for point in curve.points] == [520, 730, 540]


def test_a_pair_map_is_the_mean_over_the_rest():
    baseline, results = make_answered(
        lambda generator: 10 * generator.pred_iou_thresh + generator.stability_score_thresh,
        pred_iou_thresh=[0.3, 0.5],
        box_nms_thresh=[0.5, 0.7],
        stability_score_thresh=[0.3, 0.5],
    )
    maps, n_left_out = pair_maps(results, baseline)
    assert (len(maps), n_left_out) == (3, 0)
    pair = next(one for one in maps if one.names == ("pred_iou_thresh", "box_nms_thresh"))
    assert {place: round(mean, 9) for place, mean in pair.means.items()} == {
        (0, 0): 3.4,
        (0, 1): 3.4,
        (1, 0): 5.4,
        (1, 1): 5.4,
    }
    assert pair.baseline == (0, 1)


def test_flat_ranges_are_as_wide_as_possible():
    counts = [100, 97, 99, 80, 79, 60]
    curve = Curve("p", tuple(Point(index, count, None, None) for index, count in enumerate(counts)), True, 0.0)
    assert [(flat.start, flat.stop, flat.low, flat.high) for flat in flat_ranges(curve, 100)] == [
        (0, 2, 97, 100),
        (3, 4, 79, 80),
    ]


def test_settings_not_dominated():
    _, results = make_answered(lambda generator: 0.0, pred_iou_thresh=[0.1, 0.2, 0.3, 0.4, 0.5])
    values = [(5, 0.5), (6, 0.5), (3, 0.2), (5, 0.6), (9, 0.9)]
    chosen = [
        type(one)(one.setting, {**one.row, "n_masks_mean": n, "coverage_frac_mean": covered})
        for one, (n, covered) in zip(results, values, strict=True)
    ]
    assert [(one.n_masks, one.coverage) for one in not_dominated(chosen)] == [(3, 0.2), (5, 0.6), (9, 0.9)]


@pytest.mark.parametrize("max_side", [7, 20, 31, 40, 64])
def test_a_thumbnail_mask_samples_the_mask_at_pixel_centres(max_side):
    random = np.random.default_rng(max_side)
    for size_hw in ((40, 31), (31, 40), (33, 33), (1, 40)):
        mask = random.random(size_hw) < 0.6
        thumbnail = Thumbnail.fit(size_hw, max_side)
        height, width = thumbnail.shown_hw
        assert max(height, width) <= max_side
        rows = ((np.arange(height) + 0.5) * size_hw[0] / height).astype(int)
        columns = ((np.arange(width) + 0.5) * size_hw[1] / width).astype(int)
        small = rle.decode(thumbnail.counts(rle.encode(mask)), thumbnail.shown_hw)
        assert np.array_equal(small, mask[np.ix_(rows, columns)])
