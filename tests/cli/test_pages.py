"""maskgrid open finds the page, opens it where there is a browser, and prints its path in any case."""

import pytest
import yaml

from maskgrid.cli import pages
from maskgrid.cli.main import main
from maskgrid.config.files import parse_config, save_config

REPORT, EXPLORER, TRACKED = "results/report/index.html", "results/report/explorer.html", "results/tracked/index.html"


@pytest.fixture
def opened(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("DISPLAY", ":0")
    urls = []
    monkeypatch.setattr(pages.webbrowser, "open", lambda url: urls.append(url) or True)
    return urls


@pytest.mark.parametrize(
    ("there", "arguments", "expected"),
    [
        ([REPORT, EXPLORER, TRACKED], [], REPORT),
        ([TRACKED], [], TRACKED),
        ([REPORT, EXPLORER], ["explorer"], EXPLORER),
        ([REPORT, TRACKED], ["tracked"], TRACKED),
        (["other/report/index.html"], ["--results", "other"], "other/report/index.html"),
    ],
)
def test_the_page_is_opened(tmp_path, opened, capsys, there, arguments, expected):
    for path in there:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).touch()
    assert main(["open", *arguments]) == 0
    assert opened == [(tmp_path / expected).as_uri()]
    assert capsys.readouterr().out == f"{tmp_path / expected}\n"


def test_without_a_desktop_the_path_is_printed_and_no_text_browser_started(tmp_path, opened, monkeypatch, capsys):
    monkeypatch.setattr(pages.sys, "platform", "linux")
    for name in pages._DESKTOPS:
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "results/report").mkdir(parents=True)
    (tmp_path / REPORT).touch()
    assert main(["open"]) == 0
    assert opened == []
    assert f"{tmp_path / REPORT}\nThere is no browser here" in capsys.readouterr().out


def test_a_missing_page_says_how_to_make_it(opened, capsys):
    assert main(["open", "tracked"]) == 2
    assert "there is no results/tracked/index.html yet: start maskgrid run" in capsys.readouterr().err


CONFIG = {
    "dataset": {"source": "photos"}, "model": {"checkpoint": "demo"}, "generator": {"points_per_side": 16},
    "sweep": {"grid": {"pred_iou_thresh": [0.5, 0.7]}},
}  # fmt: skip
VIDEOS = {"model": {"checkpoint": "demo"}, "tracking": {"source": "clips", "prompts": "prompts.jsonl"}}
MAKES = "makes them as it says now"


@pytest.mark.parametrize(
    ("then", "now", "results", "said"),
    [
        (CONFIG, CONFIG, "results", None),
        (VIDEOS, VIDEOS, "results", None),
        # A default that is written out changes nothing.
        (CONFIG, CONFIG | {"generator": {"points_per_side": 16, "crop_n_layers": 0}}, "results", None),
        (CONFIG, CONFIG | {"generator": {"points_per_side": 32}}, "results", "generator.points_per_side; maskgrid run"),
        (
            CONFIG,
            CONFIG | {"generator": {}, "sweep": {"grid": {"pred_iou_thresh": [0.5]}}, "annotations": ["all"]},
            "fine one",
            "generator.points_per_side, sweep.grid.pred_iou_thresh, annotations; maskgrid run --results 'fine one'",
        ),
        (CONFIG, CONFIG | {"sweep": None}, "results", "sweep; maskgrid run"),
        (None, CONFIG, "results", None),
        (CONFIG, None, "results", None),
        (CONFIG, "generator: [", "results", None),
    ],
)
def test_a_config_that_has_changed_since_is_said_in_a_line(tmp_path, opened, capsys, then, now, results, said):
    folder = tmp_path / results
    (folder / "report").mkdir(parents=True)
    (folder / "report/index.html").touch()
    if then is not None:
        save_config(parse_config(then), folder / "config.json")
    if now is not None:
        (tmp_path / "config.yaml").write_text(now if isinstance(now, str) else yaml.safe_dump(now))
    assert main(["open", "--results", results]) == 0
    assert len(opened) == 1
    out, err = capsys.readouterr()
    assert out == f"{folder / 'report/index.html'}\n"
    line = f"maskgrid: config.yaml differs from the config of these results in {said} {MAKES}\n"
    assert err == ("" if said is None else line)
