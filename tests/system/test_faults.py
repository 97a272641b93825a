"""Devices that run out of memory, return NaN, or vanish."""

import logging
import re
import threading

import numpy as np
import PIL.Image
import pytest
import torch

from corpus import scene
from killing import tiny_plan
from maskgrid.automatic.generate.proposer import Proposer
from maskgrid.automatic.generate.stage import generate_shard
from maskgrid.automatic.replay.stage import replay_shard
from maskgrid.config.models import GeneratorConfig
from maskgrid.config.prompts import PromptConfig
from maskgrid.dataset.annotations.objects import Prompt
from maskgrid.dataset.index import index_dataset
from maskgrid.io.errors import ImageTooLargeError, MachineError, UserError
from maskgrid.io.tables import read_table
from maskgrid.network.memory import device_errors
from maskgrid.plan.passes import passes_of, recording_of
from maskgrid.prompted.prompt import prompt_shard
from maskgrid.prompted.prompter import Prompter
from maskgrid.prompted.prompts import write_prompts
from maskgrid.results.accept import accept

GENERATOR = GeneratorConfig(points_per_side=4, pred_iou_thresh=0.3, stability_score_thresh=0.3)
PASS, RECORDING = passes_of(GENERATOR)[0], recording_of(GENERATOR)
IMAGE = scene(60, 80)
OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB."


class FailingNetwork(Proposer):
    """A network whose device fails with more than ``max_prompts`` prompts; ``spoil`` can change its outputs."""

    def __init__(self, model, max_prompts: int = 1000, error: Exception | None = None, spoil=None) -> None:
        super().__init__(model)
        self.max_prompts, self.error, self.spoil = max_prompts, error, spoil
        self.asked: list[int] = []

    def _predict(self, point_xy, *others, **options):
        self.asked.append(len(point_xy))
        if len(point_xy) > self.max_prompts:
            raise self.error or torch.OutOfMemoryError(OUT_OF_MEMORY)
        logits, iou = super()._predict(point_xy, *others, **options)
        if self.spoil:
            self.spoil(logits, iou)
        return logits, iou


def small_memory(network: Proposer | Prompter, max_masks: int):
    """Make up-sampling more masks than this run out of memory; return the list of requested sizes."""
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
    candidates = Proposer(demo_model).run(IMAGE, PASS, RECORDING)
    assert len(candidates.rows) > 5
    return candidates


def test_fewer_masks_are_upsampled_if_memory_runs_out(demo_model, plain, caplog):
    network = Proposer(demo_model)
    asked = small_memory(network, max_masks=3)
    with caplog.at_level(logging.WARNING):
        assert same(network.run(IMAGE, PASS, RECORDING), plain)
    assert max(asked) > 3
    assert asked[-1] <= 3
    assert "ran out" in caplog.text
    asked.clear()
    assert same(network.run(IMAGE, PASS, RECORDING), plain)
    assert max(asked) <= 3, "the next image must not run into the same wall"


def test_fewer_prompts_are_decoded_if_memory_runs_out(demo_model, plain):
    network = FailingNetwork(demo_model, max_prompts=5)
    found = network.run(IMAGE, PASS, RECORDING)
    assert same(found, Proposer(demo_model).run(IMAGE, PASS, RECORDING, points_per_batch=4))
    # Other batch sizes can change the last bits of scores, and do so on some processors.
    assert np.array_equal(found.rows.counts, plain.rows.counts)
    assert np.allclose(found.rows.predicted_iou, plain.rows.predicted_iou, rtol=1e-5)
    assert network.asked[:2] == [16, 8]
    assert network.asked[2:] == [4, 4, 4, 4], "the whole image with batches of one size"


def test_an_image_whose_masks_do_not_fit_gets_a_status(demo_model, tmp_path):
    def give(plan, run):
        network = Proposer(demo_model)
        small_memory(network, max_masks=0)
        return network

    assert status_of(tmp_path, give) == "too_large"
    with pytest.raises(ImageTooLargeError):
        give(None, None).run(IMAGE, PASS, RECORDING)


def test_a_device_too_small_for_one_prompt_ends_the_job(demo_model):
    with pytest.raises(MachineError, match=r"one prompt.*Tried to allocate"):
        FailingNetwork(demo_model, max_prompts=0).run(IMAGE, PASS, RECORDING)


@pytest.mark.parametrize("which", [0, 1], ids=["logits", "predicted_iou"])
def test_an_image_with_nan_outputs_gets_a_status(demo_model, tmp_path, which):
    def spoil(*tensors):
        tensors[which][3, 1] = float("nan")

    assert status_of(tmp_path, lambda plan, run: FailingNetwork(demo_model, spoil=spoil)) == "not_a_number"


def test_network_and_masks_take_turns_if_memory_runs_out(demo_model, plain, caplog):
    network = FailingNetwork(demo_model, max_prompts=15)
    network.beside, predict = True, network._predict

    def with_room(*inputs, **options):
        network.max_prompts = 15 if network.beside else 1000
        return predict(*inputs, **options)

    network._predict = with_room
    assert same(network.run(IMAGE, PASS, RECORDING), plain)
    assert network.asked == [16, 16], "the batch is not halved for it"
    assert "the network and its masks in turn" in caplog.text
    assert same(network.run(IMAGE, PASS, RECORDING), plain)
    assert network.asked == [16] * 3, "the next image must not run into the same wall"


def test_a_mask_too_large_beside_the_network_is_measured_after_it(demo_model, plain, caplog):
    network = Proposer(demo_model)
    network.beside = True
    upsample = network.predictor._transforms.upsample

    def limited(logits, size_hw):
        if threading.current_thread() is not threading.main_thread():
            raise torch.OutOfMemoryError(OUT_OF_MEMORY)
        return upsample(logits, size_hw)

    network.predictor._transforms.upsample = limited
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # otherwise masks on a CPU are measured in other threads
    with caplog.at_level(logging.WARNING):
        found = network.run(IMAGE, PASS, RECORDING)
    torch.set_num_threads(before)
    assert np.array_equal(found.rows.counts, plain.rows.counts)
    assert "the network and its masks in turn" in caplog.text


@pytest.mark.parametrize("message", ["CUDA error: device not ready", "cuDNN error: CUDNN_STATUS_EXECUTION_FAILED"])
def test_a_device_that_vanishes_ends_the_job(demo_model, message):
    network = FailingNetwork(demo_model, max_prompts=0, error=RuntimeError(f"{message}\nand more lines"))
    with pytest.raises(MachineError, match="Run again") as caught:
        network.run(IMAGE, PASS, RECORDING)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("message", "kind"),
    [
        ("GET was unable to find an engine to execute this computation", "memory"),
        ("Invalid buffer size: 40.00 GB", "memory"),
        ("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`", "memory"),
        ("cuDNN error: CUDNN_STATUS_ALLOC_FAILED", "memory"),
        ("CUDA driver error: unknown error", "failed"),
        ("HIP error: the operation cannot be performed", "failed"),
        ("expected all tensors to be on the same device", "bug"),
    ],
)
def test_device_errors_are_classified_by_their_message(message, kind):
    with pytest.raises(RuntimeError if kind == "bug" else MachineError) as caught, device_errors("Try less"):
        raise RuntimeError(message)
    assert ("memory is too small" in str(caught.value), "has failed" in str(caught.value)) == {
        "memory": (True, False),
        "failed": (False, True),
        "bug": (False, False),
    }[kind]


def test_an_image_too_large_outside_a_table_is_an_error_with_advice():
    with pytest.raises(MachineError, match=r"a mask of this size\. Try less, and run again"), device_errors("Try less"):
        raise ImageTooLargeError("the device's memory does not hold a mask of this size")


def test_a_bug_is_raised_unchanged(demo_model):
    network = FailingNetwork(demo_model, max_prompts=0, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        network.run(IMAGE, PASS, RECORDING)


def test_too_many_failures_name_the_tables_that_list_them(demo_model, tmp_path):
    def spoil(logits, iou):
        iou[:] = float("nan")

    assert status_of(tmp_path, lambda plan, run: FailingNetwork(demo_model, spoil=spoil)) == "not_a_number"
    plan = tiny_plan(tmp_path / "source", tmp_path / "results", sweep=None)
    replay_shard(plan, "all")
    table = plan.layout.pass_images(plan.runs[0], "all")
    with pytest.raises(
        UserError, match=rf"1 of 1 images.*1 not_a_number.*in {re.escape(str(table))}\n  image.png: not_a_number: "
    ):
        accept(plan)
    assert not plan.layout.accepted.exists()


BOXES = [Prompt(box_xyxy=np.array([x, 5.0, x + 20, 40.0])) for x in (2.0, 12.0, 22.0, 32.0, 42.0)]


class FailingPrompter(Prompter):
    """The same for prompts."""

    def __init__(self, model, max_prompts: int = 1000, error: Exception | None = None, **config) -> None:
        super().__init__(model)
        self.config = PromptConfig(source="boxes.json", **config)
        self.max_prompts, self.error = max_prompts, error
        self.asked: list[int] = []

    def _predict(self, inputs, multimask_output):
        self.asked.append(len(inputs.boxes))
        if len(inputs.boxes) > self.max_prompts:
            raise self.error or torch.OutOfMemoryError(OUT_OF_MEMORY)
        return super()._predict(inputs, multimask_output)

    def run(self, image, prompts):
        return super().run(image, prompts, self.config)


def test_the_prompter_upsamples_fewer_masks_if_memory_runs_out(demo_model, caplog):
    plain = FailingPrompter(demo_model, keep="all").run(IMAGE, BOXES)
    prompter = FailingPrompter(demo_model, keep="all")
    asked = small_memory(prompter, max_masks=1)
    with caplog.at_level(logging.WARNING):
        assert [result.counts for result in prompter.run(IMAGE, BOXES)] == [result.counts for result in plain]
    assert max(asked) == 3
    assert "ran out" in caplog.text
    asked.clear()
    prompter.run(IMAGE, BOXES)
    assert max(asked) == 1, "the next image must not run into the same wall"


def test_the_prompter_decodes_fewer_prompts_if_memory_runs_out(demo_model):
    plain = FailingPrompter(demo_model).run(IMAGE, BOXES)
    prompter = FailingPrompter(demo_model, max_prompts=1, prompts_per_batch=64)
    found = prompter.run(IMAGE, BOXES)
    assert prompter.asked == [5, 3, 2, 1, 1, 1, 1, 1], "as many as there are, then half of them"
    assert [result.counts for result in found] == [result.counts for result in plain]
    assert all(np.array_equal(one.predicted_iou, two.predicted_iou) for one, two in zip(found, plain, strict=True))


@pytest.mark.parametrize(
    ("error", "words"),
    [(None, "one prompt.*Tried to allocate"), (RuntimeError("CUDA error: device not ready\nmore"), "Run again")],
    ids=["too small", "gone"],
)
def test_a_device_that_fails_in_the_prompter_ends_the_job(demo_model, error, words):
    with pytest.raises(MachineError, match=words) as caught:
        FailingPrompter(demo_model, max_prompts=0, error=error).run(IMAGE, BOXES)
    assert "\n" not in str(caught.value)


def test_a_bug_in_the_prompter_is_raised_unchanged(demo_model):
    prompter = FailingPrompter(demo_model, max_prompts=0, error=RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        prompter.run(IMAGE, BOXES)


@pytest.mark.parametrize("status", ["too_large", "not_a_number"])
def test_prompts_of_an_image_that_fails_get_a_status(demo_model, tmp_path, status):
    def load(*_):
        prompter = FailingPrompter(demo_model)
        if status == "too_large":
            small_memory(prompter, max_masks=0)
        else:
            predict = prompter.predictor._predict
            prompter.predictor._predict = lambda *args, **kwargs: (
                part * (float("nan") if number == 0 else 1) for number, part in enumerate(predict(*args, **kwargs))
            )
        return prompter

    (tmp_path / "source").mkdir()
    PIL.Image.fromarray(IMAGE).save(tmp_path / "source" / "image.png")
    (tmp_path / "boxes.csv").write_text('image,box_xyxy\nimage.png,"[2,3,30,20]"\n')
    plan = tiny_plan(tmp_path / "source", tmp_path / "results", prompts={"source": str(tmp_path / "boxes.csv")})
    index_dataset(plan)
    write_prompts(plan)
    prompt_shard(plan, "all", load)
    (row,) = read_table(plan.layout.prompted("all")).to_pylist()
    assert row["status"] == status
    assert row["message"]
    assert row["counts"] is None


def status_of(folder, load) -> str:
    """The status that ``generate`` gives to one image."""
    (folder / "source").mkdir(exist_ok=True)
    PIL.Image.fromarray(IMAGE).save(folder / "source" / "image.png")
    plan = tiny_plan(folder / "source", folder / "results")
    index_dataset(plan)
    generate_shard(plan, "demo", "crop0-grid4", "all", load=load)
    (status,) = read_table(plan.layout.pass_images(plan.runs[0], "all"))["status"].to_pylist()
    assert len(read_table(plan.layout.candidates(plan.runs[0], "all"))) == 0
    return status
