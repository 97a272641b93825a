"""maskgrid init writes a config that runs, and overwrites nothing."""

import PIL.Image
import pytest

from maskgrid.cli import init
from maskgrid.cli.main import main
from maskgrid.config.files import load_config


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "photos").mkdir()
    PIL.Image.new("RGB", (8, 8)).save(tmp_path / "photos" / "a.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(init, "_answers", lambda url: False)
    monkeypatch.setattr(init, "is_here", lambda name: False)
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "written", "source"),
    [
        ([], "config.yaml", "demo"),
        (["--source", "photos"], "config.yaml", "photos"),
        (["--source", "photos/*.png"], "config.yaml", "photos/*.png"),
        (["--source", "https://example.org/a-{00..09}.tar"], "config.yaml", "https://example.org/a-{00..09}.tar"),
        (["new/run", "--source", "photos"], "new/run/config.yaml", "../../photos"),
    ],
)
def test_the_config_holds_the_source_as_the_run_will_see_it(folder, arguments, written, source):
    assert main(["init", *arguments]) == 0
    config = load_config(folder / written)
    assert config.dataset.source == source
    assert config.model.checkpoint == "demo"


@pytest.mark.parametrize(
    ("answers", "gpu", "expected"),
    [(True, None, "sam2.1_hiera_tiny"), (True, "nvidia-smi", "sam2.1_hiera_large"), (False, None, "demo")],
)
def test_real_images_get_real_weights_where_they_can_be_fetched(folder, monkeypatch, capsys, answers, gpu, expected):
    monkeypatch.setattr(init, "_answers", lambda url: answers)
    monkeypatch.setattr(init.shutil, "which", lambda name: gpu)
    assert main(["init", "--source", "photos"]) == 0
    assert load_config(folder / "config.yaml").model.checkpoint == expected
    assert ("a toy network" in capsys.readouterr().out) == (expected == "demo")


def test_what_is_there_stays_unless_forced(folder, capsys):
    (folder / "config.yaml").write_text("dataset: {source: mine}\n")
    assert main(["init", "--source", "photos"]) == 2
    assert "config.yaml is there already; keep it, or overwrite it with --force" in capsys.readouterr().err
    assert load_config(folder / "config.yaml").dataset.source == "mine"
    assert main(["init", "--source", "photos", "--force"]) == 0
    assert load_config(folder / "config.yaml").dataset.source == "photos"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--source", "phots"], "--source phots: there is no such file or folder in "),
        (["photos"], "photos holds images: did you mean maskgrid init --source photos?"),
        (["--checkpoint", "sam2.1_hiera_tinny"], "Did you mean 'sam2.1_hiera_tiny'?"),
        (["--profile", "slrm"], "--profile: there is no profile 'slrm'; did you mean 'slurm'?"),
    ],
)
def test_mistakes_are_one_line_and_write_nothing(folder, capsys, arguments, message):
    assert main(["init", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not list(folder.rglob("config.yaml"))


def test_a_profile_comes_along(folder, capsys):
    assert main(["init", "--profile", "slurm"]) == 0
    assert (folder / "profiles/slurm/config.yaml").read_text().startswith("# A SLURM cluster")
    assert "Next: maskgrid run --profile slurm" in capsys.readouterr().out
