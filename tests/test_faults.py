"""Devices that run out of memory, return no numbers, or vanish."""

import logging

import numpy as np
import PIL.Image
import pytest
import torch

from corpus import scene
from killing import tiny_plan
from maskgrid.config import GeneratorConfig
from maskgrid.errors import MachineError
from maskgrid.generation import generate_shard
from maskgrid.indexing import index_dataset
from maskgrid.memory import ImageTooLargeError
from maskgrid.network import Network
from maskgrid.passes import passes_of, recording_of
from maskgrid.tables import read_table

GENERATOR = GeneratorConfig(points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)
PASS, RECORDING = passes_of(GENERATOR)[0], recording_of(GENERATOR)
IMAGE = scene(60, 80)
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."


class FailingNetwork(Network):
    """A network whose device holds so many prompts at once, or gives out what it is told to."""

    def __init__(self, model, max_prompts: int = 1000, error: Exception | None = None, spoil=None) -> None:
        super().__init__(model)
        self.max_prompts, self.error, self.spoil = max_prompts, error, spoil
        self.asked: list[int] = []

    def _predict(self, point_xy, crop, multimask_output, mask_input=None):
        self.asked.append(len(point_xy))
        if len(point_xy) > self.max_prompts:
            raise self.error or torch.OutOfMemoryError(OUT_OF_MEMORY)
        logits, iou, low = super()._predict(point_xy, crop, multimask_output, mask_input)
        if self.spoil:
            self.spoil(logits, iou)
        return logits, iou, low


def small_memory(network: Network, max_masks: int):
    """Let the up-sampling of more masks than this run out of memory; gives the sizes that were asked for."""
    upsample, asked = network.predictor._transforms.upsample, []

    def limited(logits, size_hw):
        asked.append(len(logits))
        if len(logits) > max_masks:
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        return upsample(logits, size_hw)

    network.predictor._transforms.upsample = limited
    return asked


def same(one, other) -> bool:
    fields = ("candidate_id", "predicted_iou", "stability_scores", "box_xyxy", "counts")
    return all(np.array_equal(getattr(one.rows, name), getattr(other.rows, name)) for name in fields)


@pytest.fixture(scope="module")
def plain(demo_model):
    candidates = Network(demo_model).run(IMAGE, PASS, RECORDING)
    assert len(candidates.rows) > 5
    return candidates


def test_fewer_masks_are_upsampled_where_memory_runs_out(demo_model, plain, caplog):
    network = Network(demo_model)
    asked = small_memory(network, max_masks=3)
    with caplog.at_level(logging.WARNING):
        assert same(network.run(IMAGE, PASS, RECORDING), plain)
    assert max(asked) > 3
    assert asked[-1] <= 3
    assert "ran out" in caplog.text
    asked.clear()
    assert same(network.run(IMAGE, PASS, RECORDING), plain)
    assert max(asked) <= 3, "the next image must not run into the same wall"


def test_fewer_prompts_are_decoded_where_memory_runs_out(demo_model, plain):
    network = FailingNetwork(demo_model, max_prompts=5)
    found = network.run(IMAGE, PASS, RECORDING)
    assert same(found, plain)
    assert network.asked[:2] == [16, 8]
    assert network.asked[2:] == [4, 4, 4, 4], "the whole image with batches of one size"


def test_an_image_of_which_no_mask_fits_is_a_row(demo_model, tmp_path):
    def give(plan, run):
        network = Network(demo_model)
        small_memory(network, max_masks=0)
        return network

    assert status_of(tmp_path, give) == "too_large"
    with pytest.raises(ImageTooLargeError):
        give(None, None).run(IMAGE, PASS, RECORDING)


def test_a_device_too_small_for_one_prompt_ends_the_job(demo_model):
    with pytest.raises(MachineError, match=r"one prompt.*Tried to allocate"):
        FailingNetwork(demo_model, max_prompts=0).run(IMAGE, PASS, RECORDING)


@pytest.mark.parametrize("which", [0, 1], ids=["logits", "predicted_iou"])
def test_an_image_without_numbers_is_a_row(demo_model, tmp_path, which):
    def spoil(*tensors):
        tensors[which][3, 1] = float("nan")

    assert status_of(tmp_path, lambda plan, run: FailingNetwork(demo_model, spoil=spoil)) == "not_a_number"


@pytest.mark.parametrize("message", ["CUDA error: device not ready", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"])
def test_a_device_that_vanishes_ends_the_job(demo_model, message):
    network = FailingNetwork(demo_model, max_prompts=0, error=RuntimeError(f"{message}\nand more lines"))
    with pytest.raises(MachineError, match="Run again") as caught:
        network.run(IMAGE, PASS, RECORDING)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_bug_stays_what_it_is(demo_model):
    network = FailingNetwork(demo_model, max_prompts=0, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        network.run(IMAGE, PASS, RECORDING)


def status_of(folder, load) -> str:
    """What generate says of one image."""
    (folder / "source").mkdir(exist_ok=True)
    PIL.Image.fromarray(IMAGE).save(folder / "source" / "image.png")
    plan = tiny_plan(folder / "source", folder / "results")
    index_dataset(plan)
    generate_shard(plan, "demo", "crop0-grid4", "all", load=load)
    (status,) = read_table(plan.layout.pass_images("demo", "crop0-grid4", "all"))["status"].to_pylist()
    assert len(read_table(plan.layout.candidates("demo", "crop0-grid4", "all"))) == 0
    return status
