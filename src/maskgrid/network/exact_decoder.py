"""The mask decoder for the prompts of one image, without the work that sam2 repeats for every prompt.

``MaskDecoder.predict_masks`` repeats the image for every prompt and draws every mask. But without mask prompts, all
prompts see the same image up to the end of the first layer, and scores are known before masks are drawn. So this module
computes the first layer's image side once, and draws no masks of prompts whose scores are all below the floor. All
arithmetic is done by sam2's own modules, in their order.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.modeling.sam.transformer import Attention, TwoWayAttentionBlock
from sam2.utils.amg import batch_iterator
from torch import Tensor


@dataclass(frozen=True, slots=True)
class ImageFeatures:
    """The features of an image that the decoder reads.

    Attributes:
        embedding: (1, c, h, w).
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
    """The image's tokens; they and the prompts' tokens attend to each other."""

    def __init__(self, embedding: Tensor, position: Tensor, projected: dict[torch.nn.Linear, Tensor]) -> None:
        """Start with the image as the prompts see it before the first layer.

        Args:
            embedding: (n, c, h, w), including what mask prompts add; n is 1 if all prompts share it.
            position: (1, c, h, w).
            projected: cache of the shared image's projections; read and extended.
        """
        self.keys = embedding.flatten(2).permute(0, 2, 1)
        self.position = position.flatten(2).permute(0, 2, 1)
        self.is_shared = len(embedding) == 1
        self.projected = projected
        self._placed: Tensor | None = None

    def read(self, attention: Attention, queries: Tensor) -> Tensor:
        """Let tokens (n, t, c) attend to the image; return what they gather, (n, t, c)."""
        k = self._project(attention.k_proj, with_position=True)
        v = self._project(attention.v_proj, with_position=False)
        return _attend(attention, attention.q_proj(queries), k, v)

    def write(self, layer: TwoWayAttentionBlock, queries: Tensor, values: Tensor) -> None:
        """Let the image attend to tokens (n, t, c), keys and values; afterwards each prompt has its own image."""
        attention = layer.cross_attn_image_to_token
        q = self._project(attention.q_proj, with_position=True)
        gathered = _attend(attention, q, attention.k_proj(queries), attention.v_proj(values))
        self._renew(layer.norm4(gathered.add_(self.keys)))

    def _renew(self, keys: Tensor) -> None:
        self.keys, self._placed = keys, None
        if self.is_shared:
            self.position, self.is_shared = self.position.contiguous(), False

    def _with_position(self) -> Tensor:
        if self._placed is None:
            self._placed = self.keys + self.position
        return self._placed

    def _project(self, projection: torch.nn.Linear, *, with_position: bool) -> Tensor:
        if projection in self.projected:
            return self.projected[projection]
        tokens = self._with_position() if with_position else self.keys
        if not self.is_shared:
            return self._apply(projection, tokens)
        # As a batch of two: torch multiplies a batch of one in another way.
        self.projected[projection] = self._apply(projection, tokens.expand(2, -1, -1))[:1]
        return self.projected[projection]

    @staticmethod
    def _apply(projection: torch.nn.Linear, tokens: Tensor) -> Tensor:
        projected: Tensor = projection(tokens)
        return projected


class PromptDecoder:
    """Predicts masks and scores for the prompts of one image."""

    def __init__(self, decoder: MaskDecoder, features: ImageFeatures, drawn_at_once: int = 8) -> None:
        """Prepare for the prompts of an image.

        Args:
            decoder: sam2's.
            features: the image's.
            drawn_at_once: prompts whose masks are drawn at once; constant, so that the kernels are always the same.
        """
        self.decoder, self.features, self.drawn_at_once = decoder, features, drawn_at_once
        self.projected: dict[torch.nn.Linear, Tensor] = {}

    def predict(
        self, sparse: Tensor, dense: Tensor, *, multimask_output: bool, floor: float = 0.0
    ) -> tuple[Tensor, Tensor]:
        """Predict masks and scores for a batch of prompts.

        Args:
            sparse: (n, t, c), the prompts' embeddings.
            dense: (n, c, h, w), embeddings of the mask prompts; (1, c, h, w) if there are none.
            multimask_output: three masks per prompt, or one.
            floor: a prompt with no score above it need not be drawn; its logits are then 0. A CUDA device draws all,
                since it would have to wait for the scores.

        Returns:
            Logits (n, masks, 4 h, 4 w) and predicted IoU (n, masks).
        """
        decoder = self.decoder
        image = self._image(self.features.embedding + dense)
        queries = transform(decoder, self._tokens(sparse), image)
        first = int(decoder.pred_obj_scores)
        scores = decoder.iou_prediction_head(queries[:, first])
        mask_tokens = queries[:, first + 1 : first + 1 + decoder.num_mask_tokens]
        hyper = torch.stack([mlp(mask_tokens[:, i]) for i, mlp in enumerate(decoder.output_hypernetworks_mlps)], 1)
        some = slice(1, None) if multimask_output else slice(None)
        scores = scores[:, some]
        if floor > 0.0 and scores.device.type != "cuda":
            # Negated, so that NaN scores are drawn too and get noticed.
            logits = self._draw(image.keys, hyper, (~(scores <= floor).all(1)).nonzero()[:, 0], some)
        else:
            logits = self._draw_all(image.keys, hyper, some)
        if multimask_output:
            return logits, scores
        if decoder.dynamic_multimask_via_stability:
            chosen: tuple[Tensor, Tensor] = decoder._dynamic_multimask_via_stability(logits, scores)
            return chosen
        return logits[:, :1], scores[:, :1]

    def _tokens(self, sparse: Tensor) -> Tensor:
        decoder = self.decoder
        own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        own = [decoder.obj_score_token.weight, *own] if decoder.pred_obj_scores else own
        return torch.cat((torch.cat(own).expand(len(sparse), -1, -1), sparse), dim=1)

    def _image(self, embedding: Tensor) -> ImageSide:
        return ImageSide(embedding, self.features.position, self.projected if len(embedding) == 1 else {})

    def _draw(self, keys: Tensor, hyper: Tensor, prompts: Tensor, some: slice) -> Tensor:
        """Draw some masks of some of the prompts; 0 for the others."""
        if len(prompts) == len(hyper):
            return self._draw_all(keys, hyper, some)
        (height, width), n_masks = self.features.size_hw, len(range(hyper.shape[1])[some])
        logits = hyper.new_zeros(len(hyper), n_masks, 4 * height, 4 * width)
        for (part,) in batch_iterator(self.drawn_at_once, prompts):
            logits[part] = self._drawn(keys[part], hyper[part], some).to(logits.dtype)
        return logits

    def _draw_all(self, keys: Tensor, hyper: Tensor, some: slice) -> Tensor:
        batches = batch_iterator(self.drawn_at_once, keys, hyper)
        parts = [self._drawn(some_keys, some_hyper, some) for some_keys, some_hyper in batches]
        return parts[0] if len(parts) == 1 else torch.cat(parts)

    def _drawn(self, keys: Tensor, hyper: Tensor, some: slice) -> Tensor:
        """Draw masks of prompts, as many as are drawn at once, or fewer."""
        n = len(keys)
        keys, hyper = self._filled(keys), self._filled(hyper)
        height, width = self.features.size_hw
        image = torch.unflatten(keys.transpose(1, 2), 2, (height, width))
        dc1, ln1, act1, dc2, act2 = self.decoder.output_upscaling
        finer, fine = self.features.high_res
        upscaled = act2(dc2(act1(ln1(dc1(image).add_(fine)))).add_(finer))
        planes = hyper @ upscaled.flatten(2)
        return torch.unflatten(planes, 2, (4 * height, 4 * width))[:n, some]

    def _filled(self, rows: Tensor) -> Tensor:
        # Up to a full batch, so that a mask's bits do not depend on how many others are drawn.
        missing = self.drawn_at_once - len(rows)
        return torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])]) if missing > 0 else rows


def transform(decoder: MaskDecoder, tokens: Tensor, image: ImageSide) -> Tensor:
    """Run sam2's two-way transformer over an image and the tokens of prompts (n, t, c); return the tokens."""
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
    after: Tensor = transformer.norm_final_attn(queries + gathered)
    return after


def _attend(attention: Attention, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Attention of projected tokens, each with one row per prompt or one row for all."""
    n_prompts = max(len(q), len(k))
    heads = (attention._separate_heads(part, attention.num_heads).expand(n_prompts, -1, -1, -1) for part in (q, k, v))
    gathered: Tensor = attention.out_proj(attention._recombine_heads(F.scaled_dot_product_attention(*heads)))
    return gathered
