"""The mask decoder for the prompts of one image, less what sam2 does once a prompt and could do once.

``MaskDecoder.predict_masks`` repeats the image for every prompt and draws every mask. Without a mask as a prompt all
prompts see the same image up to the end of the first layer, and the scores are there before a mask is drawn: here the
first layer's side of the image is computed once, and prompts none of whose masks clears the floor are not drawn. All
arithmetic is that of sam2's own modules, in their order.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import Attention, TwoWayAttentionBlock
from sam2.utils.amg import batch_iterator
from torch import Tensor

# Prompts that are drawn at once; always so many, that the kernels are always the same.
DRAWN_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """What the decoder reads of an image.

    Attributes:
        embedding: (1, c, h, w), with the embedding of "no mask" added.
        position: (1, c, h, w), the positional encoding.
        high_res: (1, c / 8, 4 h, 4 w) and (1, c / 4, 2 h, 2 w).
    """

    embedding: Tensor
    position: Tensor
    high_res: tuple[Tensor, Tensor]

    @property
    def size_hw(self) -> tuple[int, int]:
        """Height and width of the embedding."""
        height, width = self.embedding.shape[-2:]
        return height, width


class ImageSide:
    """The image's tokens, which the prompts' tokens attend to and which attend to them."""

    def __init__(self, features: ImageFeatures) -> None:
        """Start with the image that all prompts share: (1, h x w, c)."""
        self.keys = features.embedding.flatten(2).permute(0, 2, 1)
        self.position = features.position.flatten(2).permute(0, 2, 1)
        self.is_shared = True
        self._placed: Tensor | None = None

    def read(self, attention: Attention, queries: Tensor) -> Tensor:
        """Tokens (n, t, c) attend to the image: what they gather, (n, t, c)."""
        return self._attend(
            attention,
            attention.q_proj(queries),
            self._project(attention.k_proj, self._with_position()),
            self._project(attention.v_proj, self.keys),
        )

    def write(self, layer: TwoWayAttentionBlock, queries: Tensor, values: Tensor) -> None:
        """The image attends to the tokens; from here on each prompt has its own."""
        attention = layer.cross_attn_image_to_token
        gathered = self._attend(
            attention,
            self._project(attention.q_proj, self._with_position()),
            attention.k_proj(queries),
            attention.v_proj(values),
        )
        self.keys, self._placed = layer.norm4(gathered.add_(self.keys)), None
        if self.is_shared:
            self.position, self.is_shared = self.position.contiguous(), False

    def _with_position(self) -> Tensor:
        if self._placed is None:
            self._placed = self.keys + self.position
        return self._placed

    def _project(self, projection: torch.nn.Linear, tokens: Tensor) -> Tensor:
        # As two prompts where it is one for all: for a batch of one, torch multiplies in another way.
        projected: Tensor = projection(tokens.expand(2, -1, -1))[:1] if self.is_shared else projection(tokens)
        return projected

    @staticmethod
    def _attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        n_prompts = max(len(q), len(k))
        heads = (
            attention._separate_heads(part, attention.num_heads).expand(n_prompts, -1, -1, -1) for part in (q, k, v)
        )
        gathered: Tensor = attention.out_proj(attention._recombine_heads(F.scaled_dot_product_attention(*heads)))
        return gathered


class PromptDecoder:
    """Predicts masks and scores of prompts without masks, three a prompt."""

    def __init__(self, decoder: MaskDecoder, features: ImageFeatures) -> None:
        """Prepare for the prompts of one image."""
        self.decoder, self.features = decoder, features

    def predict(self, sparse: Tensor, floor: float) -> tuple[Tensor, Tensor]:
        """Masks and scores of a batch of prompts.

        Args:
            sparse: (n, t, c), the prompts' embeddings.
            floor: prompts none of whose scores exceeds it are not drawn, and their logits are 0.

        Returns:
            Logits (n, 3, 4 h, 4 w) and predicted IoU (n, 3).
        """
        decoder = self.decoder
        own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        own = [decoder.obj_score_token.weight, *own] if decoder.pred_obj_scores else own
        tokens = torch.cat((torch.cat(own).expand(len(sparse), -1, -1), sparse), dim=1)
        queries, keys = self._transform(tokens)
        first = int(decoder.pred_obj_scores)
        scores = decoder.iou_prediction_head(queries[:, first])[:, 1:]
        mask_tokens = queries[:, first + 1 : first + 1 + decoder.num_mask_tokens]
        hyper = torch.stack([mlp(mask_tokens[:, i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], 1)
        height, width = self.features.size_hw
        logits = hyper.new_zeros(len(sparse), hyper.shape[1] - 1, 4 * height, 4 * width)
        # A floor of 0 keeps all; what is not a number is drawn, to be found.
        wanted = ~(scores <= floor).all(1) if floor > 0.0 else scores.new_ones(len(scores), dtype=torch.bool)
        self._draw(keys, hyper, wanted.nonzero()[:, 0], logits)
        return logits, scores

    def _transform(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        """The two-way transformer: the prompts' tokens (n, t, c) and the image's (n, h x w, c) after it."""
        return transform(self.decoder, tokens, ImageSide(self.features))

    def _draw(self, keys: Tensor, hyper: Tensor, prompts: Tensor, logits: Tensor) -> None:
        """Draw some of the prompts into ``logits``."""
        for (part,) in batch_iterator(DRAWN_AT_ONCE, prompts):
            # The last part is filled up: that a mask's bits do not depend on how many others are wanted.
            rows = torch.cat([part, part[-1:].expand(DRAWN_AT_ONCE - len(part))])
            logits[part] = self._upscale(keys[rows], hyper[rows])[: len(part), 1:]

    def _upscale(self, keys: Tensor, hyper: Tensor) -> Tensor:
        """All masks of some prompts, (n, 4, 4 h, 4 w), of their image tokens and mask tokens."""
        height, width = self.features.size_hw
        image = keys.transpose(1, 2).view(len(keys), -1, height, width)
        dc1, ln1, act1, dc2, act2 = self.decoder.output_upscaling
        fine, finer = self.features.high_res[1], self.features.high_res[0]
        upscaled = act1(ln1(dc1(image).add_(fine)))
        upscaled = act2(dc2(upscaled).add_(finer))
        return (hyper @ upscaled.flatten(2)).view(len(keys), -1, 4 * height, 4 * width)


def transform(decoder: MaskDecoder, tokens: Tensor, image: ImageSide) -> tuple[Tensor, Tensor]:
    """sam2's two-way transformer over the tokens of prompts (n, t, c) and those of an image."""
    queries, transformer = tokens, decoder.transformer
    for layer in transformer.layers:
        if layer.skip_first_layer_pe:
            queries = layer.self_attn(q=queries, k=queries, v=queries)
        else:
            placed = queries + tokens
            queries = queries + layer.self_attn(q=placed, k=placed, v=queries)
        queries = layer.norm1(queries)
        queries = layer.norm2(queries + image.read(layer.cross_attn_token_to_image, queries + tokens))
        queries = layer.norm3(queries + layer.mlp(queries))
        image.write(layer, queries + tokens, queries)
    gathered = image.read(transformer.final_attn_token_to_image, queries + tokens)
    return transformer.norm_final_attn(queries + gathered), image.keys
