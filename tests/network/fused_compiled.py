"""Compile the fused kernels for GPUs, which needs none; print one JSON line a kernel. A program of its own."""

import json

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from maskgrid.network import fused_kernels
from maskgrid.network.fused import Launch

# Compute capability: shared memory of a program, in bytes.
SHARED_BYTES = {90: 227 << 10, 80: 163 << 10, 89: 99 << 10}
DTYPES = {"float32": ("*fp32", "*fp16"), "bfloat16": ("*bf16", "*bf16"), "float16": ("*fp16", "*fp16")}


def compiled(kernel, capability, signature, constants, launch):
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else signature[name] for name in names}
    aligned = {(names.index(name),): [["tt.divisibility", 16]] for name in names if signature[name].startswith("*")}
    constants = {(names.index(name),): value for name, value in constants.items()}
    source = ASTSource(fn=kernel, signature=signature, constexprs=constants, attrs=aligned)
    options = {"num_warps": launch.warps, "num_stages": launch.stages}
    return triton.compile(source, target=GPUTarget("cuda", capability, 32), options=options)


def found(kernel, capability):
    tensor_cores = ("wgmma" if capability == 90 else "mma.sync") in kernel.asm["ptx"]
    shared = {"shared_bytes": kernel.metadata.shared, "limit_bytes": SHARED_BYTES[capability]}
    return shared | {"tensor_cores": tensor_cores}


def drawing(capability, dtype, channels, masks):
    values, operands = DTYPES[dtype]
    launch = Launch.of(capability // 10)
    signature = dict.fromkeys(fused_kernels.draw.arg_names, "i32") | {"eps": "fp32", "logits": "*fp32"}
    signature |= dict.fromkeys(("keys", "fine", "finer", "norm_weight", "norm_bias"), values) | {"hyper": "*fp32"}
    signature |= dict.fromkeys(("weight_1", "weight_2"), operands)
    constants = {"C": channels, "C4": channels // 4, "C8": channels // 8, "MASKS": masks}
    constants |= {"BLOCK": launch.block, "STAGES": launch.stages}
    return found(compiled(fused_kernels.draw, capability, signature, constants, launch), capability)


def attention(capability, dtype, channels):
    values, operands = DTYPES[dtype]
    launch = Launch(warps=8 if dtype == "float32" else 4, stages=1)
    signature = dict.fromkeys(fused_kernels.write.arg_names, "i32") | {"eps": "fp32", "bias": "*fp32"}
    signature |= dict.fromkeys(("keys", "position", "norm_weight", "norm_bias", "renewed"), values)
    signature |= dict.fromkeys(("reach", "reached"), values)
    constants = {
        "C": channels,
        "HEADS": 8,
        "ROWS": 8,
        "PART": 64,
        "BLOCK": 64,
        "EARLY": dtype != "float32",
        "SPLIT": dtype == "float32",
    }
    yield found(compiled(fused_kernels.write, capability, signature, constants, launch), capability)
    launch = Launch(warps=4, stages=1)
    signature = dict.fromkeys(fused_kernels.read.arg_names, "i32") | {"reach": operands}
    signature |= dict.fromkeys(("gathered", "peak", "total"), "*fp32") | dict.fromkeys(("keys", "position"), values)
    constants = {"C": channels, "ROWS": 64, "BLOCK": 32, "BLOCKS": 32, "STAGES": 1}
    yield found(compiled(fused_kernels.read, capability, signature, constants, launch), capability)


if __name__ == "__main__":
    for each in [(90, "float32", 256, 3), (90, "bfloat16", 256, 1), (80, "float16", 256, 4), (89, "float32", 256, 3)]:
        print(json.dumps({"case": each} | drawing(*each)), flush=True)
    for each in [(90, "float32", 256), (90, "bfloat16", 128), (80, "bfloat16", 256), (89, "float32", 256)]:
        for kernel in attention(*each):
            print(json.dumps({"case": each} | kernel), flush=True)
