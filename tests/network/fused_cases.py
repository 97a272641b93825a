"""Run the fused kernels in Triton's interpreter; print one JSON line a case. A program of its own, started by a test.

The interpreter must be chosen before triton is imported for the first time.
"""

import copy
import json
from types import SimpleNamespace

import numpy as np
import torch
from sam2.modeling.sam.transformer import TwoWayAttentionBlock
from sam2.modeling.sam2_utils import LayerNorm2d
from torch import nn

from maskgrid.network import fused, fused_attention
from maskgrid.network.decoder import Decoding
from maskgrid.network.exact_decoder import ImageFeatures
from maskgrid.network.fast_decoder import FastImageSide, FastPromptDecoder
from maskgrid.network.fused import FusedDrawing, Launch
from maskgrid.network.model import load_model
from maskgrid.network.predictor import make_predictor

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


def random_decoder(channels, size_hw):
    """Up-scaling of a mask decoder, with values as after training: outputs of a few units at each step."""
    c, c4, c8 = channels, channels // 4, channels // 8
    upscaling = nn.Sequential(
        nn.ConvTranspose2d(c, c4, 2, 2), LayerNorm2d(c4), nn.GELU(), nn.ConvTranspose2d(c4, c8, 2, 2), nn.GELU()
    ).requires_grad_(False)
    for part in upscaling[:4]:
        for parameter in part.parameters():
            parameter.copy_(torch.randn_like(parameter) * (parameter.shape[0] ** -0.5 if parameter.dim() > 1 else 0.3))
    upscaling[1].weight += 1.0
    height, width = size_hw
    high_res = torch.randn(1, c8, 4 * height, 4 * width), torch.randn(1, c4, 2 * height, 2 * width)
    embedding = torch.randn(1, c, height, width)
    return SimpleNamespace(output_upscaling=upscaling), ImageFeatures(embedding, embedding, high_res)


def cast(decoder, features, dtype):
    high_res = tuple(each.to(dtype) for each in features.high_res)
    part = copy.deepcopy(decoder.output_upscaling).to(dtype)
    return FastPromptDecoder(
        SimpleNamespace(output_upscaling=part),
        ImageFeatures(features.embedding.to(dtype), features.position.to(dtype), high_res),
    )


def drawing_of(decoder, operand=None):
    parts = decoder.weights, (decoder.fine, decoder.finer), decoder.features.size_hw
    return FusedDrawing(decoder.decoder.output_upscaling, *parts, operand)


def case(dtype, operand, channels, size_hw, masks, block=64):
    torch.manual_seed(0)
    n, kind = 3, DTYPES[dtype]
    decoder, features = random_decoder(channels, size_hw)
    ours = cast(decoder, features, kind)
    true = cast(ours.decoder, ours.features, torch.float64)
    true.fine, true.finer = ours.fine.double(), ours.finer.double()  # as rounded as both sides read them
    keys = torch.randn(n, size_hw[0] * size_hw[1], channels).to(kind)
    hyper = torch.randn(n, 4, channels // 8)
    some = slice(1, 1 + masks) if masks < 4 else slice(None)
    expected = true._drawn(keys.double(), hyper.double(), some)
    theirs = ours._drawn(keys, hyper, some)
    drawing = drawing_of(ours, operand and DTYPES[operand])
    logits = drawing.draw(keys, hyper[:, some], Launch(block=block))
    return {
        "shape_is_right": logits.shape == expected.shape and logits.dtype == torch.float32,
        "error": float((logits - expected).abs().max()),
        "mean_error": float((logits - expected).abs().mean()),
        "torch_mean_error": float((theirs - expected).abs().mean()),
    }


def attention_case(dtype, operand, channels, size_hw, t, is_shared, heads=8):
    torch.manual_seed(0)
    n, kind = 3, DTYPES[dtype]
    layer = TwoWayAttentionBlock(channels, heads, 32, attention_downsample_rate=2).requires_grad_(False)
    for parameter in layer.parameters():
        parameter.mul_(2.0).add_(torch.randn_like(parameter) * 0.1)
    embedding = torch.randn(1 if is_shared else n, channels, *size_hw)
    tokens = [torch.randn(n, t, channels) * 2 for _ in range(3)]
    inputs = [each.to(kind) for each in (embedding, torch.randn(1, channels, *size_hw))] + tokens
    layer.norm4.to(kind)  # the prompts' tokens stay float32

    def run(layer, embedding, position, queries, values, other):
        image = FastImageSide(embedding, position, {})
        image.write(layer, queries, values)
        return image.keys, image.read(layer.cross_attn_token_to_image, other)

    expected = run(copy.deepcopy(layer).double(), *(each.double() for each in inputs))
    theirs = run(layer, *inputs)
    fused.OPERANDS[kind] = DTYPES[operand]
    fused_attention.is_available = lambda device: True
    ours = run(layer, *inputs)
    fused_attention.is_available = fused.is_available
    return {
        "failed": sorted(fused._failed),
        "differs_from_torchs": [not torch.equal(*two) for two in zip(ours, theirs, strict=True)],
        "shape_is_right": [a.shape == b.shape and a.dtype == b.dtype for a, b in zip(ours, theirs, strict=True)],
        "error": [float((a - b).abs().max()) for a, b in zip(ours, expected, strict=True)],
        "mean_error": [float((a - b).abs().mean()) for a, b in zip(ours, expected, strict=True)],
        "torch_mean_error": [float((a - b).abs().mean()) for a, b in zip(theirs, expected, strict=True)],
    }


def demo_case(with_masks, multimask_output):
    """The demo's whole decoder with all kernels, and without."""
    predictor = make_predictor(load_model("demo", device="cpu"))
    rows, columns = np.mgrid[:240, :320]
    predictor.set_image(
        np.stack([rows % 256, columns % 256, 255 * ((rows // 60 + columns // 80) % 2)], -1).astype("uint8")
    )
    points = torch.tensor([[[60.0, 90.0]], [[160.0, 170.0]], [[250.0, 40.0]]])
    labels = torch.ones(3, 1, dtype=torch.int)
    masks = torch.randn(3, 1, 80, 80) * 4 if with_masks else None
    found = []
    for kernels in (False, True):
        fused.is_available = fused_attention.is_available = lambda device, kernels=kernels: kernels
        decoding = Decoding(predictor, "fast")
        found.append(decoding.predict(points, labels, masks, multimask_output=multimask_output))
    (logits, scores), (ours, our_scores) = found
    return {
        "failed": sorted(fused._failed),
        "differs": not torch.equal(logits, ours),
        "error": float((ours - logits).abs().max() / logits.std()),
        "mean_error": float((ours - logits).abs().mean() / logits.std()),
        "score_error": float((our_scores - scores).abs().max()),
    }


# dtype of the network, dtype of the products' operands, channels, size of the image in tokens, masks, block. The
# interpreter cannot multiply bfloat16.
CASES = [
    ("float32", "float32", 64, (8, 8), 3),
    ("float32", "float32", 128, (5, 7), 1),
    ("float32", "float32", 64, (9, 11), 4),
    ("float32", "float32", 256, (4, 6), 3),
    ("bfloat16", "float32", 64, (6, 5), 1, 16),
    ("float16", "float32", 128, (5, 7), 4),
    ("float32", None, 64, (8, 8), 3),
    ("float32", None, 256, (4, 6), 3),
    ("float16", None, 128, (8, 8), 4),
]

# Of attention: dtypes as above, channels, size of the image in tokens, tokens of a prompt, whether prompts share the
# image, heads.
ATTENTION_CASES = [
    ("float32", "float32", 64, (8, 8), 8, True),
    ("float32", "float32", 64, (9, 11), 8, False),
    ("float32", "float32", 128, (5, 7), 7, False),
    ("float32", "float32", 256, (10, 10), 5, True),
    ("float32", "float32", 64, (1, 3), 8, False),
    ("float32", "float32", 64, (9, 11), 11, False, 4),
    ("float32", "float16", 128, (9, 11), 8, False),
    ("float16", "float16", 128, (9, 11), 8, True),
    ("bfloat16", "float32", 64, (9, 11), 8, False),
]

# Whether prompts have masks, whether each gets three.
DEMO_CASES = [(False, True), (True, False)]

if __name__ == "__main__":
    with torch.no_grad():
        for each in CASES:
            print(json.dumps(case(*each)), flush=True)
        for each in ATTENTION_CASES:
            print(json.dumps(attention_case(*each)), flush=True)
        fused.OPERANDS[torch.float32] = torch.float16
        for each in DEMO_CASES:
            print(json.dumps(demo_case(*each)), flush=True)
