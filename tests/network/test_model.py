"""Models on their devices: clear errors if one cannot be built or moved, and no tensors left on another device."""

from pathlib import Path

import pytest
import torch
from sam2.build_sam import build_sam2, build_sam2_video_predictor
from sam2.modeling.position_encoding import PositionEmbeddingSine

from maskgrid.io.errors import MachineError, UserError
from maskgrid.network.checkpoints import Checkpoint, resolve_checkpoint
from maskgrid.network.model import build_model, built_by, load_model, on_device
from maskgrid.tracked.propagation.predictor import CompiledVideoPredictor
from maskgrid.tracked.propagation.tracker import load_tracker


@pytest.fixture
def checkpoint() -> Checkpoint:
    return resolve_checkpoint("demo", None)


def config_with(checkpoint: Checkpoint, folder: Path, old: str, new: str) -> Checkpoint:
    text = Path(checkpoint.config).read_text()
    assert old in text
    path = folder / "changed.yaml"
    path.write_text(text.replace(old, new, 1))
    return Checkpoint(**{name: getattr(checkpoint, name) for name in checkpoint.__slots__} | {"config": str(path)})


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("sam2.modeling.sam2_base.SAM2Base", "sam2.modeling.sam2_base.NoSuchBase", "NoSuchBase"),
        ("sam2.modeling.sam2_base.SAM2Base", "maskgrid.plan.layout.Layout", "Layout.*unexpected keyword argument"),
        ("num_pos_feats", "num_pos_fets", "unexpected keyword argument 'num_pos_fets'"),
    ],
)
def test_a_config_that_cannot_be_built_is_an_error(checkpoint, tmp_path, old, new, words):
    changed = config_with(checkpoint, tmp_path, old, new)
    with pytest.raises(UserError, match=r"model\.config: .*changed\.yaml cannot be built: .*" + words):
        build_model(changed, torch.device("cpu"))


@pytest.mark.parametrize(
    ("message", "words"),
    [
        ("CUDA error: device-side assert triggered\nmore", "has failed.*device-side assert"),
        ("CUDA out of memory. Tried to allocate 2.00 GiB.", "memory is too small.*Tried to allocate"),
    ],
)
def test_a_cuda_device_that_fails_while_a_model_is_built_ends_the_job(checkpoint, message, words, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError(message)

    monkeypatch.setattr(PositionEmbeddingSine, "__init__", fail)
    with pytest.raises(MachineError, match=words):
        built_by(build_sam2, checkpoint)


def test_weights_too_large_for_the_device_end_the_job(monkeypatch):
    move = torch.nn.Module.to

    def fail(model, device):
        if isinstance(device, torch.device):  # not sam2's own call, which passes a string
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return move(model, device)

    monkeypatch.setattr(torch.nn.Module, "to", fail)
    for load in (load_model, load_tracker):
        with pytest.raises(MachineError, match=r"Tried to allocate.*choose another device"):
            load("demo", device="cpu")


def test_positions_computed_on_another_device_are_computed_again(checkpoint):
    model = built_by(build_sam2, checkpoint)
    parts = [part for part in model.modules() if isinstance(part, PositionEmbeddingSine)]
    assert parts
    for part in parts:
        part.cache[16, 16] = torch.zeros(1, device="meta")
    on_device(model, torch.device("cpu"))
    for part in parts:
        assert list(part.cache) == [(16, 16)]
        assert part.cache[16, 16].device.type == "cpu"
        assert torch.equal(part.cache[16, 16], part(torch.zeros(1, 1, 16, 16))[0])


def test_tracking_refuses_float16_on_a_cpu():
    with pytest.raises(UserError, match=r"model\.dtype: .*float16 on a CPU; use float32 or bfloat16"):
        load_tracker("demo", device="cpu", dtype="float16")


def test_outputs_of_compiled_parts_are_copied(checkpoint, monkeypatch):
    """With CUDA graphs, the next call of any compiled part overwrites the memory of earlier outputs."""
    returned = []

    def compiled(forward, **_):
        def noted(*arguments, **named):
            outputs = forward(*arguments, **named)
            returned.append(outputs)
            return outputs

        return noted

    monkeypatch.setattr(torch, "compile", compiled)
    target = f"++model._target_={CompiledVideoPredictor.__module__}.{CompiledVideoPredictor.__qualname__}"
    tracker = built_by(build_sam2_video_predictor, checkpoint, vos_optimized=True, hydra_overrides_extra=[target])
    points = (torch.zeros(1, 1, 2), torch.ones(1, 1, dtype=torch.int))
    sparse, dense = tracker.sam_prompt_encoder(points=points, boxes=None, masks=None)
    ((own_sparse, own_dense),) = returned
    assert torch.equal(sparse, own_sparse)
    assert torch.equal(dense, own_dense)
    assert sparse.data_ptr() != own_sparse.data_ptr()
    assert dense.data_ptr() != own_dense.data_ptr()
