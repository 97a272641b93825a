"""The fused kernels in Triton's interpreter against torch's way in float64, and compiled for a GPU that is not here."""

import importlib.util
import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import fused_cases
import pytest
import torch
from torch import nn

from maskgrid.network import fused, fused_attention
from maskgrid.network.fast_decoder import FastPromptDecoder

HERE = Path(__file__).parent
with_triton = pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="triton is not installed")


def run(program, **environment):
    command = [sys.executable, str(HERE / program)]
    done = subprocess.run(command, env=os.environ | environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.fixture(scope="module")
def interpreted():
    cases = [*fused_cases.CASES, *fused_cases.ATTENTION_CASES, *fused_cases.DEMO_CASES]
    return dict(zip(cases, run("fused_cases.py", TRITON_INTERPRET="1"), strict=True))


@with_triton
@pytest.mark.parametrize("case", fused_cases.CASES, ids=str)
def test_the_kernel_draws_what_torch_draws(interpreted, case):
    found, (dtype, operand, *_) = interpreted[case], case
    assert found["shape_is_right"]
    if operand == "float32":  # all that is left is the rounding of GELU and of sums
        assert found["error"] < 3e-5
    elif dtype == "float32":  # operands of 11 bits; logits are of a few units
        assert found["mean_error"] < 2e-3
    else:
        assert 0 < found["mean_error"] < 1.2 * found["torch_mean_error"]


@with_triton
@pytest.mark.parametrize("case", fused_cases.ATTENTION_CASES, ids=str)
def test_kernels_attend_as_torch_does(interpreted, case):
    found, (dtype, operand, *_) = interpreted[case], case
    assert found["failed"] == []
    for part, is_right in enumerate(found["shape_is_right"]):
        assert is_right
        assert found["differs_from_torchs"][part]  # so the kernel has run
        if (dtype, operand) == ("float32", "float32"):
            assert found["error"][part] < 2e-4
            assert found["mean_error"][part] < 2 * found["torch_mean_error"][part]
        elif dtype == "float32":
            assert found["mean_error"][part] < 1e-2
        else:
            assert found["mean_error"][part] < 1.2 * found["torch_mean_error"][part]


@with_triton
@pytest.mark.parametrize("case", fused_cases.DEMO_CASES, ids=str)
def test_a_decoder_with_all_kernels_gives_the_same_masks(interpreted, case):
    found = interpreted[case]
    assert found["failed"] == []
    assert found["differs"]
    assert found["mean_error"] < 1e-3
    assert found["score_error"] < 2e-3


@with_triton
def test_kernels_compile_for_a_gpu_and_fit_its_shared_memory(tmp_path):
    for found in run("fused_compiled.py", TRITON_CACHE_DIR=str(tmp_path)):
        assert found["shared_bytes"] <= found["limit_bytes"], found
        assert found["tensor_cores"], found


@pytest.mark.parametrize(
    ("channels", "act", "expected"),
    [
        (256, nn.GELU(), True),
        (128, nn.GELU(), True),
        (256, nn.GELU("tanh"), False),
        (256, nn.ReLU(), False),
        (32, nn.GELU(), False),
        (96, nn.GELU(), False),
        (512, nn.GELU(), False),
    ],
)
def test_sizes_and_modules_that_can_be_fused(channels, act, expected):
    decoder, _ = fused_cases.random_decoder(channels, (2, 2))
    decoder.output_upscaling[2] = act
    assert fused.can_fuse(decoder.output_upscaling) is expected


def drawn(monkeypatch, draw):
    """What a decoder draws on a machine that seems to have a GPU, and torch's way."""
    monkeypatch.setattr(fused, "_failed", set())
    decoder, features = fused_cases.random_decoder(64, (4, 4))
    arguments = torch.randn(2, 16, 64), torch.randn(2, 4, 8), slice(1, None)
    expected = FastPromptDecoder(decoder, features)._drawn(*arguments)
    monkeypatch.setattr(fused, "is_available", lambda device: True)
    monkeypatch.setattr(fused.FusedDrawing, "draw", draw)
    return [FastPromptDecoder(decoder, features)._drawn(*arguments) for _ in range(2)], expected


def test_a_decoder_draws_with_the_kernel_where_it_can(monkeypatch):
    def draw(self, keys, hyper):
        assert (keys.shape, hyper.shape) == ((2, 16, 64), (2, 3, 8))
        return torch.full((2, 3, 16, 16), 7.0)

    assert all((logits == 7.0).all() for logits in drawn(monkeypatch, draw)[0])


def test_a_kernel_that_fails_is_logged_once_and_replaced_by_torch(monkeypatch, caplog):
    tries = []

    def draw(self, keys, hyper):
        tries.append(1)
        raise ValueError("no compiler\nof many lines")

    with caplog.at_level(logging.WARNING):
        found, expected = drawn(monkeypatch, draw)
    assert all(torch.equal(logits, expected) for logits in found)
    assert len(tries) == len(caplog.messages) == 1
    assert caplog.messages[0].endswith("draw failed to: ValueError: no compiler")


def test_attention_that_does_not_fit_is_left_to_torch(monkeypatch):
    monkeypatch.setattr(fused_attention, "is_available", lambda device: True)
    keys = torch.zeros(2, 16, 64)
    for rows, heads in [(72, 8), (21, 3)]:  # too many rows; heads that do not divide them
        assert fused_attention.read_or_none(keys, keys[:1], torch.zeros(2, rows, 64), heads) is None
    assert fused_attention.read_or_none(torch.zeros(2, 16, 96), keys[:1], torch.zeros(2, 64, 96), 8) is None


def test_importing_the_decoder_loads_no_triton_kernels():
    code = "import sys, maskgrid.network.fast_decoder; sys.exit('maskgrid.network.fused_kernels' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
