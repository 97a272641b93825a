"""Run a model's mask decoder: as sam2 does, with less work and the same bits, or with the least work.

Kernels may give other last bits for other shapes. To make sure that the shorter way gives sam2's bits on this machine,
with this number of threads and this batch size, the first batch of each size runs both ways.
"""

import copy
import logging
from typing import Literal

import torch
from sam2.modeling.sam.mask_decoder import MaskDecoder
from sam2.sam2_image_predictor import SAM2ImagePredictor
from torch import Tensor

from maskgrid.network.allocator import freed_memory_given_back
from maskgrid.network.exact_decoder import ImageFeatures, PromptDecoder
from maskgrid.network.fast_decoder import FastPromptDecoder
from maskgrid.network.graphs import Graphs
from maskgrid.network.model import arithmetic_of

log = logging.getLogger(__name__)

Mode = Literal["exact", "fast"]
Prediction = tuple[Tensor, Tensor]

# Prompts whose masks are drawn at once by the shorter way. The first number that gives sam2's bits is taken.
_DRAWN_AT_ONCE = {"cpu": (8,), "other": (32, 8)}


class Decoding:
    """Decodes prompts of the image that a predictor holds."""

    def __init__(self, predictor: SAM2ImagePredictor, mode: Mode, graphs: Graphs | None = None) -> None:
        """Choose how to decode.

        Args:
            predictor: its transforms must leave logits at the decoder's resolution.
            mode: ``exact`` for sam2's bits, ``fast`` for the same within rounding.
            graphs: replays steps on a CUDA device; the image's features must then stay at the same place.
        """
        self.predictor, self.mode, self.graphs = predictor, mode, graphs
        decoder = predictor.model.sam_mask_decoder
        self.dtype = arithmetic_of(predictor.model)
        # Below float32, sam2's own decoder runs under autocast, whose bits the shorter way does not reproduce.
        self.can_shorten = decoder.use_high_res_features and (mode == "fast" or self.dtype == torch.float32)
        self.decoder = _cast(decoder, self.dtype) if self.can_shorten and self.dtype != torch.float32 else decoder
        self.is_equal: dict[tuple[int, bool], bool] = {}
        self.drawn_at_once = self._choices()[0]
        self._image: tuple[object, PromptDecoder] | None = None

    def predict(
        self,
        points: Tensor,
        labels: Tensor,
        mask_input: Tensor | None = None,
        *,
        multimask_output: bool = True,
        floor: float = 0.0,
    ) -> Prediction:
        """Predict masks and scores for clicks.

        Args:
            points: (n, 1, 2), in the model's frame.
            labels: int (n, 1).
            mask_input: (n, 1, 4 h, 4 w), logits of a mask in addition to each click, or None.
            multimask_output: three masks per click, or one.
            floor: a click with no score above it may get logits of 0.

        Returns:
            Logits float32 (n, masks, 4 h, 4 w), neither up-sampled nor clamped, and predicted IoU (n, masks), from
            sam2's decoder in the dtype of the network's arithmetic. With graphs, the next call may write over them.
        """
        if mask_input is not None:
            is_short = self.mode == "fast" and self.can_shorten
            way = self._shorter if is_short else self._as_sam2
            return way(points, labels, mask_input, multimask_output, floor)
        kind = len(points), multimask_output
        if self.mode == "exact" and self.can_shorten and kind not in self.is_equal:
            return self._compare(points, labels, multimask_output)
        is_short = self.can_shorten and (self.mode == "fast" or self.is_equal[kind])
        if self.graphs is None or not self.graphs.is_on:
            way = self._shorter if is_short else self._as_sam2
            return way(points, labels, None, multimask_output, floor)

        def step(points: Tensor, labels: Tensor) -> Prediction:
            self._image = None  # what is derived from the image must be computed anew in each replay
            way = self._shorter if is_short else self._as_sam2
            logits, scores = way(points, labels, None, multimask_output, 0.0)
            self._image = None
            return logits, scores

        logits, scores = self.graphs.run(("decoder", is_short, *kind), step, points, labels)
        return logits, scores

    def _as_sam2(
        self,
        points: Tensor,
        labels: Tensor,
        mask_input: Tensor | None,
        multimask_output: bool,
        floor: float,  # noqa: ARG002 - sam2 draws all
    ) -> Prediction:
        logits, scores, _ = self.predictor._predict(
            points, labels, mask_input=mask_input, multimask_output=multimask_output, return_logits=True
        )
        return logits, scores

    def _shorter(
        self, points: Tensor, labels: Tensor, mask_input: Tensor | None, multimask_output: bool, floor: float
    ) -> Prediction:
        encoder = self.predictor.model.sam_prompt_encoder
        sparse, dense = encoder(points=(points, labels), boxes=None, masks=mask_input)
        decoder = self._of_image()
        shared = dense[:1] if mask_input is None else dense
        logits, scores = decoder.predict(sparse.float(), shared.float(), multimask_output=multimask_output, floor=floor)
        return logits.float(), scores

    def _compare(self, points: Tensor, labels: Tensor, multimask_output: bool) -> Prediction:
        with freed_memory_given_back():
            theirs = self._as_sam2(points, labels, None, multimask_output, 0.0)
        is_equal = False
        for drawn_at_once in self._choices():
            if drawn_at_once > self.drawn_at_once:
                continue
            if drawn_at_once < self.drawn_at_once:
                self.drawn_at_once, self._image = drawn_at_once, None
                self.is_equal.clear()  # other sizes of batches were compared with another number
            ours = self._shorter(points, labels, None, multimask_output, 0.0)
            is_equal = all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))
            if is_equal:
                break
        # NaN equals nothing, so it says nothing about the kernels.
        if is_equal or all(bool(part.isfinite().all()) for part in theirs):
            self.is_equal[len(points), multimask_output] = is_equal
        if not is_equal:
            log.info(
                "batches of %d prompts run through sam2's own decoder: the shorter way differs in the last bits",
                len(points),
            )
        return theirs

    def _of_image(self) -> PromptDecoder:
        features, model = self.predictor._features, self.predictor.model
        if self._image is None or self._image[0] is not features:
            finer, fine = features["high_res_feats"]
            image = ImageFeatures(
                features["image_embed"].to(self.dtype),
                model.sam_prompt_encoder.get_dense_pe().to(self.dtype),
                (finer.to(self.dtype), fine.to(self.dtype)),
            )
            if self.mode == "fast":
                self._image = features, FastPromptDecoder(self.decoder, image)
            else:
                self._image = features, PromptDecoder(self.decoder, image, self.drawn_at_once)
        return self._image[1]

    def _choices(self) -> tuple[int, ...]:
        return _DRAWN_AT_ONCE["cpu" if self.predictor.device.type == "cpu" else "other"]

    def forget(self) -> None:
        """Release the image."""
        self._image = None


def _cast(decoder: MaskDecoder, dtype: torch.dtype) -> MaskDecoder:
    """Copy a decoder without autocast around it; what runs over all image tokens gets this dtype.

    The prompts' tokens stay float32: there are few, and every mask hangs on them.
    """
    copied: MaskDecoder = copy.deepcopy(decoder)
    copied.output_upscaling.to(dtype)
    for layer in copied.transformer.layers:
        layer.norm4.to(dtype)
    vars(copied).pop("forward", None)
    return copied
