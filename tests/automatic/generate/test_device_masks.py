"""Masks measured by kernels from the decoder's logits are those that torch measures at the image's size."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

triton = pytest.importorskip("triton")

from triton.backends.compiler import GPUTarget  # noqa: E402
from triton.compiler import ASTSource  # noqa: E402

from maskgrid.automatic.generate import code_kernels, mask_kernels  # noqa: E402

HERE = Path(__file__).parent
CUDA_VERSIONS = (80, 90)
TYPES = (
    dict.fromkeys(("found", "starts", "edges", "owners", "lengths", "ends"), "*i32")
    | dict.fromkeys(("wanted", "characters"), "*u8")
    | dict.fromkeys(("logits", "peaks", "cuts"), "*fp32")
    | dict.fromkeys(("scale_y", "scale_x", "nothing_below"), "fp32")
)
KERNELS = [
    (mask_kernels.count_columns, {"CUTS": 4}),
    (mask_kernels.count_columns, {"CUTS": 8}),
    (mask_kernels.write_edges, {"LEVELS": 3}),
    (code_kernels.count_characters, {}),
    (code_kernels.write_characters, {}),
]


@pytest.fixture(scope="module")
def report():
    source = Path(__file__).parents[3] / "src"
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
    needed, codes = report.pop("room"), report.pop("codes")
    assert needed > 1
    assert codes == {"n": 40, "differing": 0}
    rounded = {"odd size", "smaller than the logits", "taller than a block"}
    assert len(report) == 10
    for name, case in report.items():
        assert case["n"][0] == case["n"][1] >= 2, name
        assert case["px"] <= (2 if name in rounded else 0), name
        if name not in rounded:
            assert case["differing"] == [], name


@pytest.mark.parametrize("capability", CUDA_VERSIONS)
@pytest.mark.parametrize(("kernel", "constants"), KERNELS)
def test_kernels_compile_for_devices_that_are_not_here(kernel, constants, capability):
    module = sys.modules[kernel.fn.__module__]
    constants = {**constants, "BLOCK": module.BLOCK}
    if "COLUMNS" in kernel.arg_names:
        constants["COLUMNS"] = module.COLUMNS
    signature = {key: TYPES.get(key, "i32") for key in kernel.arg_names} | dict.fromkeys(constants, "constexpr")
    places = {(kernel.arg_names.index(key),): value for key, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=places)
    compiled = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"enable_fp_fusion": False})
    assert ("fma.rn.f32" in compiled.asm["ptx"]) == (module is mask_kernels)
    assert len(compiled.asm["cubin"]) > 1000
