"""Masks measured by kernels from the decoder's logits are those that torch measures at the image's size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

HERE = Path(__file__).parent
CUDA_VERSIONS = (80, 90)
TYPES = {"found": "*i32", "starts": "*i32", "turns": "*i32", "wanted": "*u8"} | dict.fromkeys(
    ("logits", "peaks", "cuts"), "*fp32"
)


@pytest.fixture(scope="module")
def report():
    source = Path(__file__).parents[2] / "src"
    path = os.pathsep.join([str(source), os.environ.get("PYTHONPATH", "")])
    run = subprocess.run(
        [sys.executable, HERE / "interpreted_masks.py"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def test_kernels_find_what_torch_finds(report):
    needed = report.pop("room")
    assert needed > 1
    rounded = {"odd size", "smaller than the logits", "taller than a block"}
    assert len(report) == 10
    for name, case in report.items():
        assert case["n"][0] == case["n"][1] >= 2, name
        assert case["px"] <= (2 if name in rounded else 0), name
        if name not in rounded:
            assert case["differing"] == [], name


@pytest.mark.parametrize("capability", CUDA_VERSIONS)
@pytest.mark.parametrize(
    ("name", "constants"),
    [("count_columns", {"CUTS": 4}), ("count_columns", {"CUTS": 8}), ("write_turns", {"LEVELS": 3})],
)
def test_kernels_compile_for_devices_without_one(name, constants, capability):
    import triton
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    from maskgrid.automatic import mask_kernels

    kernel = getattr(mask_kernels, name)
    constants = {**constants, "COLUMNS": mask_kernels.COLUMNS, "BLOCK": mask_kernels.BLOCK}
    types = {key: TYPES.get(key, "fp32" if key.startswith(("scale", "nothing")) else "i32") for key in kernel.arg_names}
    signature = types | dict.fromkeys(constants, "constexpr")
    places = {(kernel.arg_names.index(key),): value for key, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
    assert "fma.rn.f32" in compiled.asm["ptx"]
    assert len(compiled.asm["cubin"]) > 1000
