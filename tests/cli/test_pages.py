"""maskgrid open finds the page, opens it where there is a browser, and prints its path in any case."""

import pytest

from maskgrid.cli import pages
from maskgrid.cli.main import main

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
