"""Check the documentation: every command is documented, every example runs."""

import contextlib
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch
from sam2.automatic_mask_generator import SAM2AutomaticMaskGenerator
from sam2.build_sam import build_sam2_video_predictor
from sam2.sam2_image_predictor import SAM2ImagePredictor

import maskgrid
from maskgrid.cli.main import main, make_parser
from maskgrid.cli.running.stages import WORDS
from maskgrid.network.checkpoints import resolve_checkpoint
from maskgrid.network.model import built_by
from maskgrid.network.predictor import fit_feature_sizes
from maskgrid.results.advice.goals import Goal
from maskgrid.results.advice.text import default_goal_line

ROOT = Path(__file__).parents[2]


def commands():
    (subparsers,) = (action for action in make_parser()._actions if hasattr(action, "choices") and action.choices)
    return subparsers.choices


def test_every_command_is_documented():
    text = (ROOT / "docs/commands.md").read_text()
    assert not [name for name in commands() if f"`maskgrid {name}" not in text]


@pytest.mark.parametrize("name", [None, *commands()])
def test_every_command_has_help(name, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*([name] if name else []), "--help"])
    assert stop.value.code == 0
    assert "usage: maskgrid" in capsys.readouterr().out


def test_every_make_target_in_the_readme_exists():
    readme, makefile = (ROOT / "README.md").read_text(), (ROOT / "Makefile").read_text()
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", readme, re.MULTILINE))
    assert {"demo", "test"} <= named
    assert not [target for target in named if f"\n{target}:" not in makefile]


def test_the_readme_stays_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def commands_of_the_readme():
    """Its lines for the shell below "Your own images", in order, without comments."""
    section = (ROOT / "README.md").read_text().split("## Your own images")[1].split("\n## ")[0]
    blocks = re.findall(r"^```(\w*)\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
    lines = [line for language, block in blocks if not language for line in block.splitlines()]
    return [line.partition("  #")[0].strip() for line in lines]


def test_the_commands_of_the_readme_run(tmp_path):
    """Each as it is printed, in a new folder; but with another folder of photographs, and the network that is here."""
    lines = commands_of_the_readme()
    assert {line.split()[1] for line in lines if line.startswith("maskgrid")} == {
        *("init", "run", "open", "recommend", "verify")
    }
    (tmp_path / "photos").mkdir()
    image = np.kron(np.random.default_rng(0).integers(0, 255, (4, 6, 3), np.uint8), np.ones((16, 16, 1), np.uint8))
    PIL.Image.fromarray(image).save(tmp_path / "photos/a.png")
    (tmp_path / "maskgrid/.venv/bin").mkdir(parents=True)
    (tmp_path / "maskgrid/.venv/bin/activate").write_text(f"PATH={Path(sys.executable).parent}:$PATH\n")
    (init,) = (line for line in lines if line.startswith("maskgrid init"))
    lines.insert(lines.index(init) + 1, "sed -i 's/checkpoint: .*/checkpoint: demo/' config.yaml")
    script = "\n".join(lines).replace("/data/photos", str(tmp_path / "photos"))
    done = subprocess.run(
        ["sh", "-e"], input=script, cwd=tmp_path / "maskgrid", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "my-run/results/report/index.html").is_file()
    assert (tmp_path / "my-run/fine/report/index.html").is_file()
    (snippet,) = re.findall(r"```python\n(.*?)```", (ROOT / "docs/results.md").read_text(), re.DOTALL)
    ran = subprocess.run(
        [sys.executable, "-"], input=snippet, cwd=tmp_path / "my-run", capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr


def test_the_first_dataset_shows_what_the_commands_say(tmp_path, monkeypatch, capsys):
    """The words, not the figures: the run takes minutes."""
    page = (ROOT / "docs/first-dataset.md").read_text()
    monkeypatch.chdir(tmp_path)
    assert main(["init"]) == 0
    assert f"$ maskgrid init\n{capsys.readouterr().out}$ maskgrid run\n" in page
    stages = page.partition("Snakemake runs it\n")[2].partition(" pred ")[0]
    shown = re.findall(r"^  ([a-z_]+) {2,}([a-z].*?) {4,}", stages, re.MULTILINE)
    assert set(shown) <= set(WORDS.items())
    assert {"index", "generate", "replay", "statistics", "merge", "report"} <= {rule for rule, _ in shown}
    assert f"\n{default_goal_line(Goal('f1'))}\nGoal: {Goal('f1').words()}.\n" in page


def test_pictures_are_small():
    pages = [ROOT / "README.md", ROOT / "docs/first-dataset.md"]
    pictures = {page.parent / link for page in pages for link in re.findall(r"!\[.*?\]\((.*?)\)", page.read_text())}
    assert {picture.name for picture in pictures} >= {"explorer.jpg", "report-masks.jpg"}
    assert not [picture for picture in pictures if picture.stat().st_size > 200_000]


def test_links_have_targets():
    for page in [ROOT / "README.md", ROOT / "config/README.md", *ROOT.glob("docs/*.md")]:
        for link in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
            assert (page.parent / link).exists(), f"{page.name}: {link}"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    """What the examples of docs/library.md leave behind; they write files where they run."""
    scope = {}
    with contextlib.chdir(tmp_path_factory.mktemp("library")):
        for example in re.findall(r"```python\n(.*?)```", (ROOT / "docs/library.md").read_text(), re.DOTALL):
            exec(example, scope)
    return scope


def test_the_library_examples_run(library):
    assert len(library["masks"]) == len(library["by_threshold"][0.5])
    counts = [len(masks) for masks in library["by_threshold"].values()]
    assert counts == sorted(counts, reverse=True)
    assert counts[0] > counts[-1]


def test_the_library_page_names_what_is_public():
    text = (ROOT / "docs/library.md").read_text()
    table = re.search(r"\| --- \| --- \|\n(.*?)\n\n", text, re.DOTALL)[1]
    names = [name for row in table.splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]
    assert sorted(names) == sorted(maskgrid.__all__)
    used = re.findall(r"maskgrid\.(\w+)", text) + re.findall(r"from (maskgrid\.\w+)", text)
    assert set(used) <= set(names)


def test_the_library_example_of_the_generator_is_sam2s(library):
    theirs = SAM2AutomaticMaskGenerator(
        library["model"], points_per_side=8, pred_iou_thresh=0.5, stability_score_thresh=0.5
    )
    fit_feature_sizes(theirs.predictor)
    expected = theirs.generate(library["image"])
    assert len(expected) == len(library["masks"]) > 2
    for mine, other in zip(library["masks"], expected, strict=True):
        assert mine.keys() == other.keys()
        assert np.array_equal(mine.pop("segmentation"), other.pop("segmentation"))
        assert mine == other


def test_the_library_examples_of_prompts_are_sam2s(library):
    theirs = SAM2ImagePredictor(library["model"])
    fit_feature_sizes(theirs)
    theirs.set_image(library["image"])
    expected = theirs.predict(box=np.array([150, 60, 480, 340]), multimask_output=False)
    for mine, other in zip((library["cup"], library["predicted_iou"], library["logits"]), expected, strict=True):
        assert np.array_equal(mine, other)
    clicks, labels = np.array([[300, 180], [30, 30]]), np.array([1, 0])
    assert np.array_equal(library["clicked"], theirs.predict(clicks, labels)[0])
    assert np.array_equal(library["refined"], theirs.predict(clicks[:1], labels[:1], mask_input=expected[2])[0])
    assert all(0 < library[name][0].mean() < 1 for name in ("cup", "clicked", "refined"))


def test_the_library_example_of_a_video_is_sam2s(library, tmp_path):
    for number, pixels in enumerate(library["video"]):  # sam2 takes files of that name; PNG keeps every pixel
        PIL.Image.fromarray(pixels).save(tmp_path / f"{number}.jpg", format="PNG")
    checkpoint = resolve_checkpoint("demo", None)
    theirs = built_by(build_sam2_video_predictor, checkpoint)
    expected = {}
    with torch.inference_mode():
        state = theirs.init_state(str(tmp_path))
        theirs.add_new_points_or_box(state, 0, 1, box=[150, 60, 390, 340])
        theirs.add_new_points_or_box(state, 0, 2, points=[[60, 300]], labels=[1])
        for frame, ids, logits in theirs.propagate_in_video(state):
            expected[frame] = dict(zip(ids, (logits[:, 0] > 0).numpy(), strict=True))
    assert library["masklets"].keys() == expected.keys()
    assert len(expected) == 6
    for frame, found in library["masklets"].items():
        assert found.keys() == expected[frame].keys() == {1, 2}
        assert all(np.array_equal(found[object_id], expected[frame][object_id]) for object_id in found)
    assert all(found.any() for found in library["masklets"][5].values())
    assert [picture.size for picture in library["pictures"]] == [(400, 400)] * 6
    assert {one.object_id for _, found in library["shown"] for one in found} == {1}


def test_the_public_face_is_lazy_and_complete():
    names = "', '".join(maskgrid.__all__)
    code = (
        f"import sys, maskgrid; names = ['{names}']; assert set(names) <= set(dir(maskgrid)); "
        "assert 'torch' not in sys.modules; assert all(callable(getattr(maskgrid, name)) for name in names)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    with pytest.raises(AttributeError, match="no attribute 'Proposer'"):
        maskgrid.Proposer  # noqa: B018


def test_contributing_names_every_package_and_only_files_that_exist():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    packages = [path.parent.name for path in (ROOT / "src/maskgrid").glob("*/__init__.py")]
    assert not [name for name in packages if f"\n  {name}/ " not in text]
    recipes = text.partition("## Recipes")[2].partition("\n## ")[0]
    paths = [path for path in re.findall(r"`([\w./]+\.(?:py|smk|yaml|md|js))\b", recipes) if "NAME" not in path]
    assert len(paths) > 15
    known = [ROOT, ROOT / "src/maskgrid", ROOT / "tests"]
    # notes.py, tables.py and verify.py stand in each job's package.
    names = {path.name for path in (ROOT / "src/maskgrid/automatic").glob("*.py")}
    assert not [path for path in paths if path not in names and not any((folder / path).is_file() for folder in known)]
