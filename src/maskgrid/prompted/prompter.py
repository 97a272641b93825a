"""Segment prompts on an image, for notebooks and for the stage ``prompt``.

One prompt at a time gives the masks and scores of ``SAM2ImagePredictor.predict`` bit for bit. With two in a batch the
decoder's kernels differ in the last bits, so the default is one.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sam2.modeling.sam2_base import SAM2Base
from sam2.utils.amg import batch_iterator
from torch import Tensor

from maskgrid.config.prompts import PromptConfig
from maskgrid.dataset.annotations.objects import Prompt
from maskgrid.dataset.pixels.images import ImageLike, rgb_pixels
from maskgrid.io.errors import UserError
from maskgrid.masks.rle import encode_planes
from maskgrid.network.components import fill_small_components
from maskgrid.network.memory import device_errors, with_less, with_smaller_chunks
from maskgrid.network.predictor import chunk_px, make_predictor, masks_at_once
from maskgrid.prompted.inputs import Inputs, batches, inputs_from_arguments, inputs_of

Mask = TypeVar("Mask")

_LESS_MEMORY = "Take a smaller image or fewer prompts at once, or end other programs on the device"


@dataclass(frozen=True, slots=True)
class PromptedMasks:
    """The masks of one prompt: all of them, or only the best.

    Attributes:
        mask_index: int64 (n,), each mask's position in the decoder's output.
        predicted_iou: float32 (n,).
        counts: COCO's compressed run-length codes, at the image's size.
    """

    mask_index: NDArray[np.int64]
    predicted_iou: NDArray[np.float32]
    counts: list[bytes]


@dataclass(frozen=True, slots=True)
class _Tensors:
    """A batch of prompts in the model's frame: the arguments of the predictor's ``_predict``."""

    point_coords: Tensor | None
    point_labels: Tensor | None
    boxes: Tensor | None
    mask_input: Tensor | None


# The decoder's output for a batch: logits (n, c, h, w) and predicted IoU (n, c).
_Prediction = tuple[Tensor, NDArray[np.float32]]


class Prompter:
    """Segments prompts with the parameters and results of ``SAM2ImagePredictor``.

    Example:
        >>> prompter = Prompter(load_model("demo"))
        >>> prompter.set_image("photo.jpg")
        >>> masks, predicted_iou, logits = prompter.predict(box=[10, 20, 110, 160])
    """

    def __init__(
        self,
        model: SAM2Base,
        mask_threshold: float = 0.0,
        max_hole_area: float = 0.0,
        max_sprinkle_area: float = 0.0,
    ) -> None:
        """Wrap a model.

        Args:
            model: sam2's own model object on its device, for instance from :func:`maskgrid.load_model`.
            mask_threshold: the logit above which a pixel belongs to a mask. This and the areas apply to
                :meth:`predict`; :meth:`run_settings` takes them from its settings.
            max_hole_area: fill holes up to this area, in pixels of the low-resolution logits. sam2 needs its CUDA
                extension for this; maskgrid does it on every device.
            max_sprinkle_area: remove islands up to this area.
        """
        self.predictor = make_predictor(model)
        self.mask_threshold = mask_threshold
        self.max_hole_area, self.max_sprinkle_area = max_hole_area, max_sprinkle_area
        self.chunk_px = chunk_px(self.predictor.device)

    def set_image(self, image: ImageLike) -> None:
        """Run the encoder on an image, for the following calls of :meth:`predict`.

        Args:
            image: uint8 (H, W, 3) RGB, a PIL image, or a path.

        Raises:
            UserError: it is not such an image, or cannot be read.
            MachineError: the device has failed, or its memory is too small.
        """
        with device_errors(_LESS_MEMORY):
            self.predictor.set_image(rgb_pixels(image))

    @torch.no_grad()
    def predict(
        self,
        point_coords: ArrayLike | None = None,
        point_labels: ArrayLike | None = None,
        box: ArrayLike | None = None,
        mask_input: ArrayLike | None = None,
        multimask_output: bool = True,
        return_logits: bool = False,
        normalize_coords: bool = True,
    ) -> tuple[NDArray[Any], NDArray[np.float32], NDArray[np.float32]]:
        """Segment the object that a prompt shows on the current image.

        Several prompts of one kind may come at once, along a first dimension b; the results have it too if b > 1.

        Args:
            point_coords: (n, 2) or (b, n, 2), x before y, in pixels of the image.
            point_labels: (n,) or (b, n), 1 for a point on the object and 0 for one beside it.
            box: (4,) or (b, 4), XYXY in pixels of the image.
            mask_input: logits from an earlier call, one mask per prompt, (1, h, w) or (b, 1, h, w). Or, unlike in
                sam2, any boolean mask (H, W) of the image.
            multimask_output: return three masks per prompt (part, object, whole) instead of one.
            return_logits: return logits instead of masks.
            normalize_coords: False if points and boxes are in 0..1 of the image, not in pixels.

        Returns:
            Masks, bool (c, H, W), or float32 logits; their predicted IoU, float32 (c,); and their low-resolution
            logits, float32 (c, h, w), clamped to -32..32, for ``mask_input``.

        Raises:
            UserError: no image was set, or there is no prompt or an unusable one.
            FloatingPointError: the network returned values that are not numbers.
            MachineError: the device has failed, or its memory is too small.
        """
        if not self.predictor._is_image_set:
            raise UserError("predict: no image is set; call set_image first")
        size_hw: tuple[int, int] = self.predictor._orig_hw[0]
        arguments = point_coords, point_labels, box, mask_input, not normalize_coords
        inputs = inputs_from_arguments(*arguments, size_hw, self._side_hw)
        with device_errors(_LESS_MEMORY):
            logits, scores, low_res = self._predict(self._tensors(inputs), multimask_output)
            flat = fill_small_components(
                logits.flatten(0, 1), self.mask_threshold, self.max_hole_area, self.max_sprinkle_area
            )
            masks = self._full_size(
                flat, size_hw, lambda part: (part if return_logits else part > self.mask_threshold).cpu().numpy()
            )
        of_one = 0 if len(scores) == 1 else ...
        found = np.stack(masks).reshape(*scores.shape, *size_hw)
        return found[of_one], scores[of_one], low_res.float().cpu().numpy()[of_one]

    def run(self, image: NDArray[np.uint8], prompts: Sequence[Prompt], config: PromptConfig) -> list[PromptedMasks]:
        """:meth:`run_settings` for one setting."""
        return self.run_settings(image, prompts, [config])[0]

    @torch.no_grad()
    def run_settings(
        self, image: NDArray[np.uint8], prompts: Sequence[Prompt], settings: Sequence[PromptConfig]
    ) -> list[list[PromptedMasks]]:
        """Segment prompts, with one encoder pass for all settings.

        The decoder runs once for each combination of ``multimask_output`` and ``refine_rounds``; each setting's
        thresholds are then applied to its logits.

        If memory runs out, fewer masks are upsampled at once, which changes no result, and then fewer prompts are
        decoded at once.

        Args:
            image: uint8 (H, W, 3) RGB.
            prompts: any number, of any kinds; masks have the image's size.
            settings: the parameters; ``prompts_per_batch`` is the same in all.

        Returns:
            For each setting, the masks of each prompt, in order.

        Raises:
            FloatingPointError: the network returned values that are not numbers.
            ImageTooLargeError: the device's memory cannot hold one mask of the image.
            MachineError: the device has failed, or its memory is too small for the network with one prompt.
        """
        # The largest actual batch, so that the first halving already makes a difference.
        most = max(map(len, batches(prompts, settings[0].prompts_per_batch)), default=1)
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
            inputs = self._tensors(inputs_of([prompts[index] for index in batch], size_hw, self._side_hw))
            predictions: dict[tuple[bool, int], _Prediction] = {}
            for setting, masks in zip(settings, drawn, strict=True):
                of_decoder = setting.multimask_output, setting.refine_rounds
                if of_decoder not in predictions:
                    predictions[of_decoder] = self._decode(inputs, *of_decoder)
                masks |= dict(zip(batch, self._draw(*predictions[of_decoder], setting, size_hw), strict=True))
        self.predictor.reset_predictor()
        return [[masks[index] for index in range(len(prompts))] for masks in drawn]

    @property
    def _side_hw(self) -> tuple[int, int]:
        side_hw: tuple[int, int] = self.predictor.model.sam_prompt_encoder.mask_input_size
        return side_hw

    def _tensors(self, inputs: Inputs) -> _Tensors:
        """Convert a batch to the model's frame, with sam2's own code."""
        mask_input, coords, labels, boxes = self.predictor._prep_prompts(
            inputs.point_coords, inputs.point_labels, inputs.box_xyxy, inputs.mask_logits, not inputs.normalized
        )
        return _Tensors(coords, labels, boxes, mask_input)

    def _decode(self, inputs: _Tensors, multimask_output: bool, refine_rounds: int) -> _Prediction:
        logits, scores, low_res = self._predict(inputs, multimask_output)
        for _ in range(refine_rounds):
            # As in sam2's notebooks: prompt with the best mask too, and ask for a single mask.
            best = _best(scores)
            mask_input = low_res[torch.arange(len(best)), torch.from_numpy(best)][:, None]
            inputs = _Tensors(inputs.point_coords, inputs.point_labels, inputs.boxes, mask_input)
            logits, scores, low_res = self._predict(inputs, multimask_output=False)
        return logits, scores

    def _draw(
        self, logits: Tensor, scores: NDArray[np.float32], setting: PromptConfig, size_hw: tuple[int, int]
    ) -> Iterator[PromptedMasks]:
        threshold = setting.mask_threshold
        for planes, row, best_index in zip(logits, scores, _best(scores), strict=True):
            kept = np.arange(len(row)) if setting.keep == "all" else np.array([best_index])
            filled = fill_small_components(
                planes[torch.from_numpy(kept)], threshold, setting.max_hole_area, setting.max_sprinkle_area
            )
            counts = self._full_size(filled, size_hw, lambda part: encode_planes(part > threshold))
            yield PromptedMasks(kept, row[kept], counts)

    def _predict(self, inputs: _Tensors, multimask_output: bool) -> tuple[Tensor, NDArray[np.float32], Tensor]:
        """Return logits (n, c, h, w), predicted IoU (n, c), and the clamped logits, for use as ``mask_input``."""
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

    def _full_size(
        self, logits: Tensor, size_hw: tuple[int, int], make: Callable[[Tensor], Iterable[Mask]]
    ) -> list[Mask]:
        """Upsample logits (n, h, w) to the image a few at a time, and convert them to masks with ``make``."""
        upsample = self.predictor._transforms.upsample

        def made(chunk_px: int) -> list[Mask]:
            chunks = batch_iterator(masks_at_once(chunk_px, size_hw), logits)
            return [mask for (chunk,) in chunks for mask in make(upsample(chunk, size_hw))]

        masks, self.chunk_px = with_smaller_chunks(made, self.chunk_px, size_hw)
        return masks


def _best(scores: NDArray[np.float32]) -> NDArray[np.int64]:
    """The index of each prompt's best mask (n,); on ties the first, as in sam2's notebooks."""
    best: NDArray[np.int64] = scores.argmax(axis=1)
    return best
