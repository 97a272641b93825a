"""The mask decoder of ``mode: fast``: the same functions of the same weights, with fewer multiplications.

An image has many tokens (h x w: 4,096), a prompt few (8). Matrix products are associative, so projections of the image
side are applied to the prompt side instead. Masks are drawn in token layout, in which up-scaling is a matrix product.
Results differ from sam2's in the last bits. Below float32, image tokens have the lower dtype, and the prompts' tokens
stay float32.
"""

import math

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import Attention, TwoWayAttentionBlock
from sam2.utils.amg import batch_iterator
from torch import Tensor

from maskgrid.network.exact_decoder import ImageFeatures, ImageSide, PromptDecoder
from maskgrid.network.fused import draw_or_none, fused_drawing
from maskgrid.network.fused_attention import read_or_none, write_or_none
from maskgrid.network.workers import in_parts

# Image tokens per batch. On a CPU this gives each core a few megabytes at each step; elsewhere it is sam2's batch.
_TOKENS_AT_ONCE = {"cpu": 8192, "other": 1 << 20}


class FastImageSide(ImageSide):
    """The image's tokens; projections of the image side are applied to the prompt side."""

    def __init__(self, embedding: Tensor, position: Tensor, projected: dict[torch.nn.Linear, Tensor]) -> None:
        """As :class:`ImageSide`, in token layout."""
        super().__init__(embedding, position, projected)
        self.keys, self.position = self.keys.contiguous(), self.position.contiguous()

    def read(self, attention: Attention, queries: Tensor) -> Tensor:
        """As :meth:`ImageSide.read`."""
        if self.is_shared and queries.device.type != "cuda":
            return super().read(attention, queries)
        if self.is_shared:
            return self._read_together(attention, queries)
        # q . (W k + b) = (q W) . k + a constant, which softmax ignores.
        reach = _through(attention.q_proj(queries), attention.k_proj.weight, attention.num_heads)
        gathered = read_or_none(self.keys, self.position, reach, attention.num_heads)
        if gathered is None:
            weights = torch.bmm(reach.to(self.keys.dtype), self._with_position().transpose(1, 2)).softmax(-1)
            gathered = torch.bmm(weights, self.keys)
        gathered = torch.unflatten(gathered.to(reach.dtype), 1, (attention.num_heads, -1))
        # The weights sum to 1, so projecting the mean equals the mean of the projections, including the bias.
        values = torch.unflatten(attention.v_proj.weight, 0, (attention.num_heads, -1)).transpose(1, 2)
        heads = gathered @ values
        projected: Tensor = attention.out_proj(attention._recombine_heads(heads) + attention.v_proj.bias)
        return projected

    def _read_together(self, attention: Attention, queries: Tensor) -> Tensor:
        """The tokens of all prompts attend to the image that they share: one product a head, not one a prompt."""
        n_heads = attention.num_heads
        k = attention._separate_heads(self._project(attention.k_proj, with_position=True), n_heads)[0]
        v = attention._separate_heads(self._project(attention.v_proj, with_position=False), n_heads)[0]
        q = attention._separate_heads(attention.q_proj(queries), n_heads) / math.sqrt(k.shape[-1])
        weights = torch.bmm(q.transpose(0, 1).flatten(1, 2), k.transpose(1, 2)).softmax(-1)
        heads = torch.unflatten(torch.bmm(weights, v), 1, (len(queries), -1)).transpose(0, 1)
        projected: Tensor = attention.out_proj(attention._recombine_heads(heads))
        return projected

    def write(self, layer: TwoWayAttentionBlock, queries: Tensor, values: Tensor) -> None:
        """As :meth:`ImageSide.write`."""
        attention = layer.cross_attn_image_to_token
        n_heads = attention.num_heads
        k = attention.k_proj(queries)
        heads = attention._separate_heads(attention.v_proj(values), n_heads)
        out = torch.unflatten(attention.out_proj.weight, 1, (n_heads, -1)).permute(1, 2, 0)
        reached = (heads @ out + attention.out_proj.bias / n_heads).flatten(1, 2)
        reach = _through(k, attention.q_proj.weight, n_heads)
        # q's bias times each token's k: the constants differ between tokens, so softmax does not ignore them.
        bias = _bias_of(k, attention.q_proj.bias, n_heads)
        renewed = write_or_none(self.keys, self.position, reach, bias, reached, layer.norm4)
        if renewed is None:
            weights = self._scores(attention, k, reach, bias).softmax(2).flatten(1, 2)
            weights, reached = weights.to(self.keys.dtype), reached.to(self.keys.dtype)
            keys = torch.baddbmm(self.keys.expand(len(k), -1, -1), weights.transpose(1, 2), reached)
            renewed = layer.norm4(keys)
        self._renew(renewed)

    def _scores(self, attention: Attention, k: Tensor, reach: Tensor, bias: Tensor) -> Tensor:
        """Of each head's tokens of the prompts with image tokens: (n, heads, t, h w)."""
        n_heads = attention.num_heads
        if self.is_shared:
            q = attention._separate_heads(self._project(attention.q_proj, with_position=True), n_heads)[0]
            k = attention._separate_heads(k, n_heads) / math.sqrt(q.shape[-1])
            # One product per head for all prompts: (heads, n x t, d) by (heads, d, h x w).
            scores = torch.bmm(k.transpose(0, 1).flatten(1, 2), q.transpose(1, 2))
            return torch.unflatten(scores, 1, (-1, k.shape[2])).transpose(0, 1)
        scores = torch.bmm(reach.to(self.keys.dtype), self._with_position().transpose(1, 2))
        return torch.unflatten(scores, 1, (n_heads, -1)).add_(bias)

    @staticmethod
    def _apply(projection: torch.nn.Linear, tokens: Tensor) -> Tensor:
        some = tokens[:1] if tokens.stride(0) == 0 else tokens
        projected: Tensor = projection(some.to(projection.weight.dtype))
        return projected


class FastPromptDecoder(PromptDecoder):
    """As :class:`PromptDecoder`, with fewer multiplications."""

    def __init__(self, decoder: MaskDecoder, features: ImageFeatures) -> None:
        """Convert the up-scaling weights and the image's finer features to token layout."""
        height, width = features.size_hw
        kind = "cpu" if features.embedding.device.type == "cpu" else "other"
        super().__init__(decoder, features, max(1, _TOKENS_AT_ONCE[kind] // (height * width)))
        dc1, _, _, dc2, _ = decoder.output_upscaling
        self.weights = (dc1.weight.permute(0, 2, 3, 1).flatten(1), dc2.weight.permute(0, 2, 3, 1).flatten(1))
        finer, fine = features.high_res
        # (2 h, 2 w) as (h, w, 2, 2), and (4 h, 4 w) as (h, w, 2, 2, 2, 2).
        fine = (fine[0] + dc1.bias[:, None, None]).view(-1, height, 2, width, 2)
        finer = (finer[0] + dc2.bias[:, None, None]).view(-1, height, 2, 2, width, 2, 2)
        self.fine = fine.permute(1, 3, 2, 4, 0).reshape(height * width, -1)
        self.finer = finer.permute(1, 4, 2, 5, 3, 6, 0).reshape(4 * height * width, -1)
        self.drawing = fused_drawing(decoder.output_upscaling, self.weights, (self.fine, self.finer), features.size_hw)

    def predict(
        self, sparse: Tensor, dense: Tensor, *, multimask_output: bool, floor: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """As :meth:`PromptDecoder.predict`, a few prompts at a time on each core."""

        def predict(part: list[Tensor]) -> tuple[Tensor, Tensor]:
            sparse, dense = part
            shared = dense[:1] if dense.stride(0) == 0 else dense
            return super(FastPromptDecoder, self).predict(
                sparse, shared, multimask_output=multimask_output, floor=floor
            )

        parts = batch_iterator(self.drawn_at_once, sparse, dense.expand(len(sparse), -1, -1, -1))
        logits, scores = zip(*in_parts(predict, parts, sparse.device), strict=True)
        return torch.cat(logits), torch.cat(scores)

    def _image(self, embedding: Tensor) -> ImageSide:
        embedding = embedding.to(self.features.embedding.dtype)
        return FastImageSide(embedding, self.features.position, self.projected if len(embedding) == 1 else {})

    def _drawn(self, keys: Tensor, hyper: Tensor, some: slice) -> Tensor:
        (height, width), n = self.features.size_hw, len(keys)
        if (drawn := draw_or_none(self.drawing, keys, hyper[:, some])) is not None:
            return drawn
        _, ln1, act1, _, act2 = self.decoder.output_upscaling
        first, second = (weight.expand(n, -1, -1) for weight in self.weights)
        fine = torch.baddbmm(self.fine.expand(n, -1, -1), keys, first).view(n, 4 * height * width, -1)
        fine = act1(F.layer_norm(fine, ln1.weight.shape, ln1.weight, ln1.bias, ln1.eps))
        finer = act2(torch.baddbmm(self.finer.expand(n, -1, -1), fine, second)).view(n, 16 * height * width, -1)
        hyper = hyper.to(finer.dtype)
        planes: Tensor = (hyper[:, some] @ finer.transpose(1, 2)).view(n, -1, height, width, 2, 2, 2, 2)
        return planes.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(n, -1, 4 * height, 4 * width)


def _through(tokens: Tensor, weight: Tensor, n_heads: int) -> Tensor:
    """Apply the other side's projection (d, c) to tokens (n, t, d), scaled for attention: (n, heads x t, c)."""
    heads = torch.unflatten(tokens, 2, (n_heads, -1)).transpose(1, 2)
    reach = heads @ torch.unflatten(weight, 0, (n_heads, -1))
    return reach.mul_(1.0 / math.sqrt(heads.shape[-1])).flatten(1, 2)


def _bias_of(tokens: Tensor, bias: Tensor, n_heads: int) -> Tensor:
    """The product of the other side's bias (d,) and each head of tokens (n, t, d), scaled: (n, heads, t, 1)."""
    heads = torch.unflatten(tokens, 2, (n_heads, -1)).transpose(1, 2)
    met: Tensor = (heads * bias.view(1, n_heads, 1, -1)).sum(-1, keepdim=True) / math.sqrt(heads.shape[-1])
    return met
