"""Weights in the forms that trainers write are read; every other file is one line that says what to do."""

import dataclasses
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from sam2.build_sam import build_sam2

from maskgrid.io.errors import UserError
from maskgrid.network.checkpoints import Checkpoint, require_own_file, resolve_checkpoint
from maskgrid.network.model import built_by
from maskgrid.network.weights import read_weights

CONSENT = {"allow_unverified": True}


@pytest.fixture(scope="module")
def demo() -> Checkpoint:
    return resolve_checkpoint("demo", None)


@pytest.fixture(scope="module")
def state(demo) -> dict[str, torch.Tensor]:
    return torch.load(demo.path, weights_only=True)["model"]


def prefixed(prefix: str, state):
    return {f"{prefix}{name}": value for name, value in state.items()}


def built(demo: Checkpoint, path: Path):
    return built_by(build_sam2, dataclasses.replace(demo, path=path))


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state},
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model_state_dict": state, "optimizer": {"lr": 0.1}},
        lambda state: {"model": prefixed("module.", state)},
        lambda state: {"state_dict": prefixed("model.", state)},
        lambda state: prefixed("module.model.", state),
        lambda state: {"state_dict": prefixed("model._orig_mod.", state)},
    ],
    ids=["sam2", "bare", "lightning", "loop", "ddp", "model.", "module.model.", "compiled"],
)
def test_the_forms_of_trainers_give_the_same_weights(demo, state, tmp_path, wrap):
    torch.save(wrap(state), tmp_path / "own.pt")
    found = read_weights(tmp_path / "own.pt")
    assert found.keys() == state.keys()
    assert all(torch.equal(found[name], state[name]) for name in state)
    ours, theirs = built(demo, tmp_path / "own.pt").state_dict(), build_of_sam2(demo).state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)


def build_of_sam2(demo: Checkpoint):
    """The model as sam2 alone builds it from the usual file."""
    from maskgrid.network.model import _config_found

    with _config_found(demo.config) as name:
        return build_sam2(name, str(demo.path), device="cpu")


class Anything:
    """An object that only its own code can load."""


def zipped(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("weights/readme.txt", "none")


# By kind: how the file is written, and the words that say what it is and what to do. The first can be known at once.
HEADS = {
    "empty": (lambda path, _: path.write_bytes(b""), r"is empty \(0 bytes\)\. Copy or download it again"),
    "lfs": (
        lambda path, _: path.write_text("version https://git-lfs.github.com/spec/v1\n"),
        "Git LFS pointer.*git lfs",
    ),
    "html": (
        lambda path, _: path.write_text("\n<!DOCTYPE html><html>log in</html>"),
        "is a web page.*Download it again",
    ),
    "safetensors": (
        lambda path, _: path.write_bytes((2).to_bytes(8, "little") + b"{}" + bytes(9)),
        r"holds safetensors.*Convert it.*torch\.save",
    ),
    "zip": (lambda path, _: zipped(path), "is a zip archive, but not one that torch.save writes. Unpack"),
    "gzip": (lambda path, _: path.write_bytes(b"\x1f\x8b\x08\x00"), "is compressed. Unpack it first"),
}
CONTENTS = {
    "text": (lambda path, _: path.write_text("hello world"), "damaged or another kind of file.*again"),
    "bytes": (lambda path, _: path.write_bytes(b"\x80\x02" + bytes(range(64))), "damaged.*again"),
    "cut": (lambda path, state: _cut(path, state), "is damaged or another kind of file.*again"),
    "path": (
        lambda path, state: torch.save({"model": state, "args": Path("/x")}, path),
        r"Python objects besides weights \(pathlib\.PosixPath\).*Save the weights alone",
    ),
    "object": (
        lambda path, state: torch.save({"model": Anything()}, path),
        r"Python objects besides weights \([\w.]*Anything\).*Save the weights alone",
    ),
    "no weights": (
        lambda path, _: torch.save({"epoch": 3, "lr": 0.1}, path),
        "holds no weights: its keys are epoch, lr",
    ),
    "a list": (lambda path, _: torch.save([1, 2], path), "holds no weights, but a list"),
    "missing": (
        lambda path, state: torch.save({"model": dict(list(state.items())[5:])}, path),
        r"of \d+ parameters 5 missing: [\w.]+, [\w.]+, [\w.]+ and 2 more\. Give the config",
    ),
    "extra": (
        lambda path, state: torch.save({"model": {**state, "extra": torch.zeros(1)}}, path),
        "1 unknown: extra. Give the config",
    ),
    "shape": (
        lambda path, state: torch.save({"model": {**state, next(iter(state)): torch.zeros(7, 2)}}, path),
        r"1 of another shape: [\w.]+ \[7, 2\] instead of \[.*\]\. Give the config",
    ),
    "nan": (
        lambda path, state: torch.save(
            {"model": {**state, next(iter(state)): next(iter(state.values())) * torch.nan}}, path
        ),
        r"has NaN or infinity in 1 of \d+ parameters: [\w.]+\. The training has diverged",
    ),
}


def _cut(path, state):
    torch.save({"model": state}, path)
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize("kind", [*HEADS, *CONTENTS])
def test_any_other_file_is_one_line_that_says_what_to_do(demo, state, tmp_path, kind):
    path = tmp_path / "own.pt"
    write, words = {**HEADS, **CONTENTS}[kind]
    write(path, state)
    with pytest.raises(UserError, match=words) as caught:
        built(demo, path)
    assert str(caught.value).startswith(f"model.checkpoint: {path} ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", HEADS)
def test_most_of_them_are_known_before_any_work(demo, tmp_path, kind):
    path = tmp_path / "own.pt"
    write, words = HEADS[kind]
    write(path, None)
    for check in (require_own_file, resolve_checkpoint):
        with pytest.raises(UserError, match=words):
            check(str(path), demo.config, **CONSENT)


@pytest.mark.parametrize(
    ("name", "config", "options", "words"),
    [
        ("gone.pt", "yes", CONSENT, "there is no file .*gone.pt"),
        ("own.pt", None, CONSENT, "model.config is missing"),
        ("own.pt", "gone.yaml", CONSENT, "model.config: 'gone.yaml' is neither"),
        ("own.pt", "yes", {"allow_unverified": False}, "unknown weights. If you trust.*allow_unverified: true"),
        ("own.safetensors", "yes", CONSENT, "own.safetensors holds safetensors.*Convert it"),
        ("own.ckpt", "yes", CONSENT, "is not a known checkpoint"),
    ],
)
def test_what_is_missing_beside_the_file_is_known_before_any_work(demo, tmp_path, name, config, options, words):
    shutil.copy(demo.path, tmp_path / "own.pt")
    with pytest.raises(UserError, match=words):
        require_own_file(str(tmp_path / name), demo.config if config == "yes" else config, **options)


def test_good_weights_pass_and_named_ones_are_not_looked_for(demo, tmp_path, monkeypatch):
    shutil.copy(demo.path, tmp_path / "own.pt")
    require_own_file(str(tmp_path / "own.pt"), demo.config, True)
    require_own_file("sam2.1_hiera_large", None, False)
    monkeypatch.setenv("HOME", str(tmp_path))
    require_own_file("~/own.pt", demo.config, True)
