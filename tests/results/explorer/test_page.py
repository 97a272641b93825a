"""The explorer in a browser: every image, zoom, addresses, two settings, annotated objects, downloads, keys."""

import json
import re
import shutil
from dataclasses import replace
from urllib.parse import quote

import numpy as np
import pytest

from made_results import HOSTILE, make_config, make_results, two_shards
from maskgrid.automatic.replay.curves import CURVES, count_curve
from maskgrid.automatic.replay.image_replay import ImageReplay
from maskgrid.config.settings import make_setting
from maskgrid.io.tables import read_table
from maskgrid.masks import rle
from maskgrid.pages.scripts import embedded
from maskgrid.plan.layout import Layout
from maskgrid.results.explorer.groups import run_groups
from maskgrid.results.explorer.image import file_name
from maskgrid.results.explorer.page import embedded_images, explorer_page, images_inside, write_explorer_page
from maskgrid.results.explorer.stage import write_explorer
from maskgrid.results.explorer.verify import check_explorer
from maskgrid.results.report.samples import read_samples
from maskgrid.results.report.stage import write_report

N_IMAGES = 8
SWEEP = {
    "grid": {"pred_iou_thresh": [0.2, 0.3, 0.5], "box_nms_thresh": [0.5, 0.7]},
    "points": [{"name": "whole", "crop_n_layers": 0, "min_mask_region_area": 5}],
}
# The picture that was asked for is drawn in full.
IS_DRAWN = """new Promise((done) => {
  const look = () => (failing() || isDrawn() ? done() : setTimeout(look, 20));
  const isDrawn = () => current?.at === wantedAt && scene && rasters.length && !isAsked;
  const failing = () => !document.getElementById("failed").hidden;
  setTimeout(look, 60);
})"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory):
    made = make_results(
        tmp_path_factory.mktemp("run"), two_shards, make_config(SWEEP, ["baseline"], shard_size=3), n_images=N_IMAGES
    )
    write_report(made)
    for shard in made.shards():
        write_explorer(made, shard)
    return made


@pytest.fixture
def opened(plan, tab):
    """Open the explorer at an address, and wait for its picture."""

    def go(address="", page=plan.layout.explorer, width=1300, height=900):
        tab.send("Page.navigate", url="about:blank")
        tab.show(page, width, height, address=address)
        tab.run(IS_DRAWN)
        return tab

    return go


@pytest.fixture(scope="module")
def samples(plan):
    keys = read_table(plan.layout.images, ["image_key"], [("status", "=", "ok")])["image_key"].to_pylist()
    return {sample.image_key: sample for sample in read_samples(plan, keys)}


def shown(tab):
    """The image in sight, its count of masks, and the page's complaint."""
    failed = "byId('failed').hidden ? '' : byId('failed').textContent"
    return tab.run(f"({{key: current?.key, n: selection?.kept.length, failed: {failed}}})")


def test_every_image_has_the_masks_of_the_replay(opened, samples, plan):
    assert len(samples) == N_IMAGES + 1
    for key, sample in samples.items():
        for setting in (plan.baseline, *plan.settings[1:]):
            found = shown(opened(f"image={quote(key)}&setting={quote(setting.label)}"))
            expected = len(sample.replays["demo"].select(setting.generator))
            assert found == {"key": key, "n": expected, "failed": ""}, setting.label


def test_the_list_has_all_images_and_counts_of_every_setting(opened, plan):
    setting = plan.settings[2]
    tab = opened(f"setting={quote(setting.label)}")
    counts = read_table(plan.layout.statistics("mask_counts"), filters=[("setting_id", "=", setting.id)])
    expected = dict(zip(counts["image_key"].to_pylist(), counts["n_masks"].to_pylist(), strict=True))
    columns = "listing.key[at], listing.problem[at], listing.n_masks[listedSetting][at], countWords(at)"
    found = tab.run(f"shownImages.map((at) => [{columns}])")
    assert {key: n for key, problem, n, _ in found if problem is None} == expected
    assert [key for key, *_ in found] == sorted(key for key, *_ in found)
    assert {(key, words) for key, problem, _, words in found if problem} == {("broken.jpg", "cut short <i>")}
    assert tab.run("byId('found').textContent") == f"{N_IMAGES + 2} images"
    tab.run("byId('filter').value = 'Ä'; byId('filter').dispatchEvent(new Event('input'))")
    assert tab.run("shownImages.map((at) => listing.key[at])") == [key for key in sorted(expected) if "Ä" in key]


def test_only_rows_in_sight_are_in_the_document(opened):
    tab = opened()
    found = tab.run(
        """(() => {
          const n = 10000;
          const all = (value) => Array(n).fill(value), key = Array.from({length: n}, (_, at) => `${at}.jpg`);
          const columns = {key, name: all("x"), folder: all("y"), size_hw: all([1, 1]), problem: all(null)};
          maskgrid.images("", {...columns, n_masks: {}});
          filterImages();
          byId("images").scrollTop = 60 * 5000;
          showRows();
          return [byId("rows").children.length, [...byId("rows").children].map((row) => row.title)];
        })()"""
    )
    assert found[0] < 40
    assert "5001.jpg" in found[1]


def test_few_images_stay_in_memory(opened):
    tab = opened()
    for _ in range(N_IMAGES):
        tab.run("nextImage(1)")
        tab.run(IS_DRAWN)
    assert tab.run("loaded.size") <= 3


def test_an_image_without_data_is_named(opened, plan, tmp_path):
    copy = shutil.copytree(plan.layout.root / "report", tmp_path / "report")
    (tmp_path / "report" / "explorer" / "images.js").unlink()
    tab = opened(page=copy / "explorer.html")
    assert shown(tab)["failed"] == ""
    shutil.copy(plan.layout.explorer_images, copy / "explorer" / "images.js")
    inside = {one["key"] for one in tab.run("data.images")}
    key = next(key for key in tab.run("listing.key") if key in inside)
    assert shown(opened(f"image={quote(key)}", copy / "explorer.html"))["failed"] == ""
    assert shown(opened("image=nothing-like-it.png", copy / "explorer.html"))["failed"] != ""
    assert shown(opened("image=broken.jpg", copy / "explorer.html"))["failed"] == "broken.jpg: cut short <i>."


@pytest.fixture
def alone(plan, samples, tmp_path):
    """The page without what lies beside it, with two images inside."""
    some = list(samples.values())[:2]
    page = tmp_path / "explorer.html"
    page.write_bytes(explorer_page(plan, embedded_images(plan, some, 10**7)))
    return page, [one.image_key for one in some]


def test_the_page_alone_says_what_it_leaves_out(opened, alone, samples, plan):
    page, keys = alone
    tab = opened(page=page)
    assert shown(tab) == {
        "key": keys[0],
        "n": len(samples[keys[0]].replays["demo"].select(plan.baseline.generator)),
        "failed": "",
    }
    assert tab.run("listing.key") == keys
    words = tab.run("byId('where').hidden ? '' : byId('where').textContent")
    assert words.startswith(f"This file has 2 of {N_IMAGES + 1} images inside.")
    tab.run("nextImage(1)")
    tab.run(IS_DRAWN)
    assert shown(tab)["key"] == keys[1]


def test_of_chosen_images_the_others_are_listed_and_not_shown(opened, samples, plan, tmp_path):
    chosen = replace(plan, config=plan.config.model_copy(update={"explorer": "chosen"}), layout=Layout(tmp_path))
    shutil.copytree(plan.layout.root, tmp_path, dirs_exist_ok=True)
    shutil.rmtree(tmp_path / "report")
    some = list(samples.values())[:2]
    write_explorer_page(chosen, images_inside(chosen, some))
    tab = opened(page=chosen.layout.explorer)
    assert shown(tab)["key"] == some[0].image_key
    assert tab.run("listing.n") == N_IMAGES + 2
    assert tab.run("listing.problem.filter((one) => one === null).length") == 2
    assert "2 of 9 images inside. The others are shown after a run" in tab.run("byId('where').textContent")
    assert list(check_explorer(chosen)) == []


def test_a_page_that_is_too_small_for_an_image_has_only_the_baselines_passes(plan, samples):
    plan = replace(plan, config=plan.config.model_copy(update={"baseline": "whole"}))
    some = list(samples.values())
    whole = embedded_images(plan, some, 10**9)
    assert [one.head["key"] for one in whole] == list(samples)
    n_bytes = sum(len(one.embedded()) for one in whole)
    assert embedded_images(plan, some, n_bytes) == whole
    *others, last = embedded_images(plan, some, n_bytes - 1)
    assert others == whole[:-1]
    assert set(last.packs) == {"extra", *run_groups(plan)[0].names} < set(whole[-1].packs)
    assert embedded_images(plan, some, 0) == []


def test_a_link_brings_back_the_view_the_setting_and_the_options(opened, plan):
    address = (
        f"image=nothing.png&setting={quote(plan.settings[1].label)}&opacity=20&outlines=1&whole=0&dropped=1"
        "&zoom=3.5&x=8&y=7"
    )
    tab = opened(address)
    tab.run("remember(false)")
    assert tab.run("Object.fromEntries(new URLSearchParams(location.hash.slice(1)))") == {
        "image": "nothing.png",
        "setting": plan.settings[1].label,
        "opacity": "20",
        "outlines": "1",
        "whole": "0",
        "dropped": "1",
        "zoom": "3.5",
        "x": "8",
        "y": "7",
    } | {name: tab.run(f"String(Number(view.{name}.toFixed(1)))") for name in ("x", "y")}


def test_values_in_a_link_make_a_setting_of_ones_own(opened, samples, plan):
    key = next(iter(samples))
    tab = opened(
        f"image={quote(key)}&pred_iou_thresh=0.45&max_area_frac=0.3&max_masks=4&border=0&nonsense=1&min_fill_frac=x"
    )
    setting = tab.run("({...values})")
    assert (setting["pred_iou_thresh"], setting["max_area_frac"], setting["max_masks"]) == (0.45, 0.3, 4)
    generator = plan.baseline.generator.model_copy(update={"pred_iou_thresh": 0.45})
    filters = plan.baseline.filters.model_copy(update={"max_area_frac": 0.3, "max_masks": 4, "border": 0})
    assert shown(tab)["n"] == len(samples[key].replays["demo"].select(generator, filters))
    tab.run("change('box_nms_thresh', 0.5); remember(false)")
    assert "box_nms_thresh=0.5" in tab.run("location.hash")
    command = tab.run("byId('command').textContent")
    assert command == (
        "maskgrid run generator.pred_iou_thresh=0.45 generator.box_nms_thresh=0.5 "
        "filters.max_area_frac=0.3 filters.border=0 filters.max_masks=4"
    )
    lines = tab.run("byId('config').textContent")
    assert "  pred_iou_thresh: 0.45\n" in lines
    assert "filters:\n  max_area_frac: 0.3\n  border: 0\n  max_masks: 4" in lines


def test_back_returns_to_the_image_before(opened):
    tab = opened()
    first = shown(tab)["key"]
    tab.run("nextImage(shownImages.indexOf(wantedAt) > 0 ? -1 : 1)")
    tab.run(IS_DRAWN)
    assert shown(tab)["key"] != first
    went = "new Promise((done) => addEventListener('popstate', () => setTimeout(done, 0)))"
    tab.run(f"(() => {{ const went = {went}; history.back(); return went; }})()")
    tab.run(IS_DRAWN)
    assert shown(tab)["key"] == first


def press(tab, key):
    code = {"+": 187}.get(key, ord(key[0].upper()) if len(key) == 1 else 0)
    for kind in ("keyDown", "keyUp"):
        tab.send("Input.dispatchKeyEvent", type=kind, key=key, windowsVirtualKeyCode=code)


def test_keys_zoom_move_and_go_on(opened):
    tab = opened()
    tab.run("canvas.focus()")
    for _ in range(8):
        press(tab, "+")
    tab.run(IS_DRAWN)
    zoom, x = tab.run("[view.zoom, view.x]")
    assert zoom > 4
    press(tab, "ArrowLeft")
    assert tab.run("view.x") < x
    press(tab, "-")
    assert tab.run("view.zoom") == pytest.approx(zoom / 1.25)
    press(tab, "0")
    assert tab.run("view.zoom") == 1
    first = tab.run("current.key")
    press(tab, "j" if tab.run("shownImages.indexOf(wantedAt) === 0") else "k")
    tab.run(IS_DRAWN)
    assert tab.run("current.key") != first
    if tab.run("selection.kept.length"):
        press(tab, ".")
        assert tab.run("byId('said').textContent").startswith("Mask 1 of ")


def test_the_wheel_zooms_around_the_pointer(opened):
    tab = opened()
    before = tab.run("(() => { const {x, y} = pointUnder(500, 400); return [x, y]; })()")
    for _ in range(3):
        tab.send("Input.dispatchMouseEvent", type="mouseWheel", x=500, y=400, deltaX=0, deltaY=-400)
    tab.run(IS_DRAWN)
    zoom, x, y = tab.run("(() => { const {x, y} = pointUnder(500, 400); return [view.zoom, x, y]; })()")
    assert zoom > 2
    assert [x, y] == pytest.approx(before, abs=2)


def test_masks_are_crisp_at_every_zoom(opened, samples, plan):
    """Each pixel of the screen is tinted if its image pixel is in a mask, however far in."""
    key = max(samples, key=lambda one: len(samples[one].replays["demo"].select(plan.baseline.generator)))
    selection = samples[key].replays["demo"].select(plan.baseline.generator)
    code = max(selection.counts(), key=lambda one: rle.area_px(one, samples[key].size_hw))
    mask = rle.decode(code, samples[key].size_hw)
    tab = opened(f"image={quote(key)}")
    for zoom in (1, 2.7, 11):
        found = tab.run(
            f"""(() => {{
              view.zoom = {zoom}; moved(); look();
              const [raster] = rasters, code = {json.dumps(code.decode())};
              const row = selection.kept.find((each) => cocoCode(scene.shapes.ends[each], {mask.size}) === code);
              raster.begin(); raster.base.fill(0); raster.drawn.fill(0);
              raster.paint(scene.shapes.ends[row], 0xff0000ff, 256, null);
              const {{ scale, x, y }} = lookInto(raster.pane), points = [];
              for (let sy = 3; sy < raster.height; sy += 17) for (let sx = 5; sx < raster.width; sx += 13) {{
                const isPainted = raster.drawn[sx * raster.height + sy] !== 0;
                points.push([x + (sx + .5) / scale, y + (sy + .5) / scale, isPainted]);
              }}
              return points;
            }})()"""
        )
        n_in = 0
        for x, y, is_painted in found:
            inside = 0 <= x < mask.shape[1] and 0 <= y < mask.shape[0] and bool(mask[int(y), int(x)])
            # The screen's pixels and the image's need not meet: within half a pixel of the screen either may win.
            near = min(x % 1, 1 - x % 1, y % 1, 1 - y % 1) < 0.2
            assert is_painted == inside or near, (zoom, x, y)
            n_in += inside
        assert n_in > 0


def test_two_settings_show_what_appears_and_vanishes(opened, samples, plan):
    one, other = plan.settings[1], plan.baseline
    for key, sample in samples.items():
        tab = opened(f"image={quote(key)}&compare={quote('setting=' + quote(one.label))}")
        replay = sample.replays["demo"]
        a, b = (kept(replay.select(each.generator)) for each in (one, other))
        words = tab.run("byId('compare-words').innerText")
        assert tab.run("[compare.chosen.kept.length, selection.kept.length]") == [len(a), len(b)]
        # The same candidates, and pairs that overlap by IoU 0.9.
        n_appear, n_vanish, n_both = (
            int(re.search(rf"(\d+) {name}", words)[1]) for name in ("appear", "vanish", "in both")
        )
        assert n_both >= len(a & b)
        assert (n_appear + n_both, n_vanish + n_both) == (len(b), len(a))
        assert tab.run("rasters.length") == 2
    tab.run("document.querySelector('input[value=blink]').click()")
    tab.run(IS_DRAWN)
    assert tab.run("rasters.length") == 1
    tab.run("byId('end-compare').click()")
    assert tab.run("byId('compare').hidden")


def kept(selection):
    return set(zip(selection.layer.tolist(), selection.candidate_id().tolist(), strict=True))


def test_solo_and_pinned_masks(opened, samples, plan):
    key = max(samples, key=lambda one: len(samples[one].replays["demo"].select(plan.baseline.generator)))
    tab = opened(f"image={quote(key)}")
    n = tab.run("[...itemsOf(0)].length")
    assert n == shown(tab)["n"] > 2
    tab.run("toggleSolo(keyOf(scene, selection.kept[1]))")
    assert tab.run("[...itemsOf(0)].length") == 1
    tab.run(
        "toggleSolo(keyOf(scene, selection.kept[1])); togglePin(keyOf(scene, selection.kept[0]));change('max_masks', 0)"
    )
    assert tab.run("[selection.kept.length, [...itemsOf(0)].length]") == [0, 1]


def test_masks_are_downloaded_as_the_pipeline_writes_them(opened, samples, plan):
    for key, sample in samples.items():
        tab = opened(f"image={quote(key)}")
        coco = tab.run("cocoOf()")
        selection = sample.replays["demo"].select(plan.baseline.generator)
        expected = {code.decode(): rle.true_box_xywh(code, sample.size_hw) for code in selection.counts()}
        assert {one["segmentation"]["counts"]: one["bbox"] for one in coco["annotations"]} == expected
        assert coco["images"] == [{"id": 1, "file_name": key, "height": sample.size_hw[0], "width": sample.size_hw[1]}]
        scores = {code.decode(): iou for code, iou in zip(selection.counts(), selection.predicted_iou(), strict=True)}
        for one in coco["annotations"]:
            assert np.float32(one["score"]) == scores[one["segmentation"]["counts"]]
    assert tab.run("new Promise((done) => { savePng(); canvas.toBlob((blob) => done(blob.size > 100)); })")


def test_each_slider_has_its_curve_and_a_mark_at_its_value(opened, samples, plan):
    key = next(iter(samples))
    tab = opened(f"image={quote(key)}&stability_score_thresh=0.5")
    found = tab.run(
        """(() => {
          startCurves();
          while (curveWork) goOn({ timeRemaining: () => 50 });
          return Object.fromEntries([...charts].map(([name, chart]) => [name, {
            at: countAt(chart.curve, values[name] ?? (name === "border" ? -1 : Infinity)),
            low: chart.low, high: chart.high,
            d: chart.path.getAttribute("d"), mark: Number(chart.mark.getAttribute("x1")),
            starts: chart.curve.starts.slice(1), counts: chart.curve.counts,
          }]));
        })()"""
    )
    assert set(found) == set(CURVES) - {"min_region_frac"}
    replay = samples[key].replays["demo"]
    changed = plan.baseline.generator.model_copy(update={"stability_score_thresh": 0.5})
    one = make_setting("demo", changed)
    image = ImageReplay.of(replay.candidates, one, 0.0)
    for name, chart in found.items():
        curve = count_curve(image, one, name)
        assert (chart["starts"], chart["counts"]) == (curve.starts[1:].tolist(), curve.counts.tolist())
        assert chart["at"] == len(replay.select(changed))
        assert (chart["d"][:3], chart["d"][-4:]) == ("M0 ", "H100")
        value = getattr(changed, name, None)
        if value is not None:
            assert chart["mark"] == pytest.approx(100 * (value - chart["low"]) / (chart["high"] - chart["low"]))


def test_the_table_names_each_candidates_fate(opened, samples, plan):
    key = next(iter(samples))
    tab = opened(f"image={quote(key)}&box_nms_thresh=0.5")
    tab.run("byId('list').open = true; showList()")
    fates = tab.run("[...byId('list').querySelectorAll('tbody tr')].map((row) => row.lastChild.textContent)")
    moved = samples[key].replays["demo"].select(plan.baseline.generator.model_copy(update={"box_nms_thresh": 0.5}))
    assert fates.count("kept") == len(moved)
    dropped = [fate for fate in fates if fate.startswith("dropped by box_nms_thresh: its box overlaps ")]
    assert len(dropped) == moved.dropped["n_dropped_box_nms"]


def test_nothing_is_without_a_name_and_the_phone_has_no_sideways_scroll(opened):
    tab = opened(width=390, height=844)
    assert tab.run("document.documentElement.scrollWidth") <= 390
    assert tab.run(NAMELESS) == []
    before = tab.run("byId('sliders').getBoundingClientRect().top + scrollY")
    tab.run("showPointed({x: current.size_hw[1] / 2, y: current.size_hw[0] / 2})")
    assert tab.run("byId('sliders').getBoundingClientRect().top + scrollY") == before


def test_on_a_phone_what_is_said_of_a_mask_is_never_under_the_picture(opened):
    tab = opened(width=390, height=844)
    tab.run("showPointed({x: current.size_hw[1] / 2, y: current.size_hw[0] / 2})")
    for down in (0, 150, 300, 450, 600, 900):
        tab.run(f"scrollTo(0, {down})")
        tab.run("new Promise((done) => setTimeout(done, 100))")
        picture, words, seen = tab.run(
            """(() => {
              const picture = canvas.getBoundingClientRect(), words = byId("pointed").getBoundingClientRect();
              const ends = [words.top + 3, words.bottom - 3].map((y) => document.elementFromPoint(195, y));
              return [picture.bottom, words.top, ends.every((one) => byId("pointed").contains(one))];
            })()"""
        )
        assert picture <= words + 0.5
        assert seen, down


NAMELESS = """[...document.querySelectorAll("button, input, select, canvas, [role], fieldset, section")]
  .filter((one) => !["presentation", "status", "alert"].includes(one.getAttribute("role")))
  .filter((one) => !(one.getAttribute("aria-label") || one.labels?.length || one.textContent.trim()))
  .map((one) => one.outerHTML.slice(0, 100))"""


def test_a_hostile_name_is_text(opened):
    tab = opened(f"image={quote(HOSTILE)}")
    assert shown(tab)["key"] == HOSTILE
    assert tab.run("byId('name').textContent") == HOSTILE
    assert not tab.run("document.querySelector('.words b, h2 b, h2 script') !== null")


def test_embedded_data_cannot_end_the_script_element():
    assert "<" not in embedded({"key": "</script><script>alert(1)</script>"})
    assert json.loads(embedded({"key": "</script>"})) == {"key": "</script>"}


def test_names_of_files_are_short_and_alike_everywhere():
    assert file_name(HOSTILE) == file_name(HOSTILE)
    assert re.fullmatch("[0-9a-f]{16}", file_name("Ä/x.jpg"))
    assert len({file_name(str(number)) for number in range(1000)}) == 1000
