"""Prompts of an image through the network: one encoder pass, and for each prompt what sam2's ``predict`` gives.

With one prompt at a time the masks and scores are those of ``SAM2ImagePredictor.predict`` bit for bit. The decoder's
kernels give other last bits as soon as two prompts share a batch, which is why more is a choice and not the default.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from sam2.modeling.sam2_base import SAM2Base
from sam2.utils.amg import batch_iterator
from torch import Tensor

from maskgrid.config.prompts import PromptConfig
from maskgrid.dataset.objects import Prompt
from maskgrid.masks.rle import decode, encode_planes
from maskgrid.network.components import fill_small_components
from maskgrid.network.memory import with_less, with_smaller_chunks
from maskgrid.network.predictor import chunk_px, make_predictor, masks_at_once

# How sam2 turns a mask into logits (SAM2Base._use_mask_as_output): 1 to 10 and 0 to -10.
_SCALE, _BIAS = 20.0, -10.0


@dataclass(frozen=True, slots=True)
class PromptedMasks:
    """What the network drew for one prompt: all masks, or the best alone.

    Attributes:
        mask_index: int64 (n,), each mask's position among those that the decoder returned.
        predicted_iou: float32 (n,).
        counts: COCO's compressed run-length codes, of the image's size.
    """

    mask_index: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    counts: list[bytes]


@dataclass(frozen=True, slots=True)
class _Inputs:
    """A batch of prompts of one kind, in the model's frame; the arguments of the predictor's ``_predict``."""

    point_coords: Tensor | None
    point_labels: Tensor | None
    boxes: Tensor | None
    mask_input: Tensor | None


# What the decoder makes of a batch: logits (n, c, h, w) and predicted IoU (n, c).
_Prediction = tuple[Tensor, NDArray[np.float32]]


class Prompter:
    """Runs prompts of images through one model."""

    def __init__(self, model: SAM2Base, config: PromptConfig) -> None:
        """Wrap a model that is loaded and on its device.

        Args:
            model: sam2's own model object, as from :func:`maskgrid.load_model`.
            config: the parameters of ``predict``.
        """
        self.predictor = make_predictor(model)
        self.config = config
        self.chunk_px = chunk_px(self.predictor.device)

    def run(self, image: NDArray[np.uint8], prompts: Sequence[Prompt]) -> list[PromptedMasks]:
        """What each prompt gives with the config's own parameters (see :meth:`run_settings`)."""
        return self.run_settings(image, prompts, [self.config])[0]

    @torch.no_grad()
    def run_settings(
        self, image: NDArray[np.uint8], prompts: Sequence[Prompt], settings: Sequence[PromptConfig]
    ) -> list[list[PromptedMasks]]:
        """Segment the objects that prompts point at, with one encoder pass for all settings.

        The decoder runs once for each combination of ``multimask_output`` and ``refine_rounds``; the thresholds of all
        settings are applied to its logits.

        Args:
            image: uint8 (H, W, 3) RGB.
            prompts: any number, of any kinds; masks are of the image's size.
            settings: the parameters, with ``prompts_per_batch`` as in the config that this object was made with.

        Returns:
            For each setting what each prompt gives, in their order.

        Where memory runs out, fewer masks are up-sampled at once, which changes no result, and then fewer prompts are
        decoded at once.

        Raises:
            FloatingPointError: the network returned values that are not numbers.
            ImageTooLargeError: the device's memory does not hold one mask of the image.
            MachineError: the device has gone, or its memory does not hold the network's work on one prompt.
        """
        # No more than there are: halving starts where it makes a difference.
        most = max(map(len, batches(prompts, self.config.prompts_per_batch)), default=1)
        return with_less(lambda size: self._run(image, prompts, settings, size), most)

    def _run(
        self,
        image: NDArray[np.uint8],
        prompts: Sequence[Prompt],
        settings: Sequence[PromptConfig],
        prompts_per_batch: int,
    ) -> list[list[PromptedMasks]]:
        size_hw = (int(image.shape[0]), int(image.shape[1]))
        drawn: list[dict[int, PromptedMasks]] = [{} for _ in settings]
        self.predictor.set_image(image)
        for batch in batches(prompts, prompts_per_batch):
            inputs = self._inputs([prompts[index] for index in batch], size_hw)
            predictions: dict[tuple[bool, int], _Prediction] = {}
            for setting, masks in zip(settings, drawn, strict=True):
                of_decoder = setting.multimask_output, setting.refine_rounds
                if of_decoder not in predictions:
                    predictions[of_decoder] = self._decode(inputs, *of_decoder)
                masks |= dict(zip(batch, self._draw(*predictions[of_decoder], setting, size_hw), strict=True))
        self.predictor.reset_predictor()
        return [[masks[index] for index in range(len(prompts))] for masks in drawn]

    def _inputs(self, prompts: list[Prompt], size_hw: tuple[int, int]) -> _Inputs:
        """The prompts of a batch as tensors, by sam2's own conversion."""
        side_hw = self.predictor.model.sam_prompt_encoder.mask_input_size
        codes = [prompt.mask_counts for prompt in prompts if prompt.mask_counts is not None]
        mask_input, coords, labels, boxes = self.predictor._prep_prompts(
            _stack([prompt.point_coords for prompt in prompts]),
            _stack([prompt.point_labels for prompt in prompts]),
            _stack([prompt.box_xyxy for prompt in prompts]),
            _stack([mask_logits(decode(code, size_hw), side_hw) for code in codes]),
            not prompts[0].normalized,
        )
        return _Inputs(coords, labels, boxes, mask_input)

    def _decode(self, inputs: _Inputs, multimask_output: bool, refine_rounds: int) -> _Prediction:
        logits, scores, low_res = self._predict(inputs, multimask_output)
        for _ in range(refine_rounds):
            # As in sam2's notebooks: the best mask as a prompt beside the given ones, and one mask of it.
            best = _best(scores)
            mask_input = low_res[torch.arange(len(best)), torch.from_numpy(best)][:, None]
            inputs = _Inputs(inputs.point_coords, inputs.point_labels, inputs.boxes, mask_input)
            logits, scores, low_res = self._predict(inputs, multimask_output=False)
        return logits, scores

    def _draw(
        self, logits: Tensor, scores: NDArray[np.float32], setting: PromptConfig, size_hw: tuple[int, int]
    ) -> Iterator[PromptedMasks]:
        for planes, row, best_index in zip(logits, scores, _best(scores), strict=True):
            kept = np.arange(len(row)) if setting.keep == "all" else np.array([best_index])
            yield PromptedMasks(kept, row[kept], self._full_size(planes[torch.from_numpy(kept)], setting, size_hw))

    def _predict(self, inputs: _Inputs, multimask_output: bool) -> tuple[Tensor, NDArray[np.float32], Tensor]:
        """Logits (n, c, h, w), predicted IoU (n, c), and the logits clamped, as a next step takes them."""
        logits, scores, low_res = self.predictor._predict(
            inputs.point_coords,
            inputs.point_labels,
            inputs.boxes,
            inputs.mask_input,
            multimask_output=multimask_output,
            return_logits=True,
        )
        numbers: NDArray[np.float32] = scores.float().cpu().numpy()
        if not np.isfinite(numbers).all() or bool(logits.isnan().any()):
            raise FloatingPointError("the network returned scores or logits that are not numbers")
        return logits, numbers, low_res

    def _full_size(self, logits: Tensor, setting: PromptConfig, size_hw: tuple[int, int]) -> list[bytes]:
        """Logits (n, h, w) as masks of the image's size, a few at a time."""
        threshold, upsample = setting.mask_threshold, self.predictor._transforms.upsample
        filled = fill_small_components(logits, threshold, setting.max_hole_area, setting.max_sprinkle_area)

        def codes(chunk_px: int) -> list[bytes]:
            chunks = batch_iterator(masks_at_once(chunk_px, size_hw), filled)
            return [code for (chunk,) in chunks for code in encode_planes(upsample(chunk, size_hw) > threshold)]

        counts, self.chunk_px = with_smaller_chunks(codes, self.chunk_px, size_hw)
        return counts


def batches(prompts: Sequence[Prompt], prompts_per_batch: int) -> Iterator[list[int]]:
    """Positions of prompts that the decoder can take together: of one kind, with as many points.

    sam2 tells a batch by its points or boxes; masks alone it takes one by one.
    """
    groups: dict[object, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault((prompt.kind, prompt.n_points, prompt.normalized), []).append(index)
    for members in groups.values():
        size = 1 if prompts[members[0]].kind == "mask" else prompts_per_batch
        for start in range(0, len(members), size):
            yield members[start : start + size]


def mask_logits(mask: NDArray[np.bool_], side_hw: tuple[int, int]) -> NDArray[np.float32]:
    """A mask as the logits that ``predict`` takes for ``mask_input``.

    ``predict`` is made for the logits of an earlier prediction and says nothing of masks from elsewhere. They are
    turned into logits as sam2's video predictor does: 10 and -10, brought to the size by bilinear interpolation with
    antialiasing.

    Args:
        mask: bool (H, W).
        side_hw: the size of the model's mask input; (256, 256) for the official checkpoints.

    Returns:
        float32 (1, h, w).
    """
    planes = torch.from_numpy(mask.astype(np.float32))[None, None] * _SCALE + _BIAS
    resized = F.interpolate(planes, side_hw, mode="bilinear", align_corners=False, antialias=True)
    logits: NDArray[np.float32] = resized[0].numpy()
    return logits


def _best(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The index of each prompt's best mask (n,); of equal ones the first, as sam2's notebooks choose."""
    best: NDArray[np.int64] = scores.argmax(axis=1)
    return best


def _stack(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    """What the prompts of a batch have of one part, as one array; None where they have none."""
    given = [array for array in arrays if array is not None]
    return np.stack(given) if given else None
