"""sam2's video predictor, with lazily read frames and a choice of precision, working alike on every device."""

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, Self

import torch
from sam2 import sam2_video_predictor
from sam2.sam2_video_predictor import SAM2VideoPredictor, SAM2VideoPredictorVOS
from torch import Tensor
from torch.utils._pytree import tree_map_only

from maskgrid.io.errors import UserError
from maskgrid.network.components import fill_holes
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.propagation.batches import Memories, ObjectBatches, memory_of
from maskgrid.tracked.propagation.lazy_images import LazyImages
from maskgrid.tracked.propagation.samurai import Samurai, good_outputs, samurai_of
from maskgrid.tracked.propagation.state import Reach, State, reach_of
from maskgrid.tracked.records import Frames


class VideoPredictor(SAM2VideoPredictor):  # type: ignore[misc]
    """sam2's video predictor, changed to work on long videos and on machines without CUDA.

    Attributes:
        dtype: below float32, the network runs under ``torch.autocast``.
        hole_area: sam2's ``fill_hole_area``, which sam2 itself ignores without its CUDA extension.
        samurai: chooses masks and the frames to remember; None for sam2's own memory.
        batches: tracks objects together; None for one at a time.
    """

    dtype: torch.dtype = torch.float32
    hole_area: int = 0
    samurai: Samurai | None = None
    batches: ObjectBatches | None = None

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        """As sam2's; called by Hydra."""
        super().__init__(*arguments, **named)
        self.memory_attention.register_forward_pre_hook(_promote_memory, with_kwargs=True)

    def with_options(self, options: TrackOptions) -> Self:
        """Return a copy with other options that shares the network."""
        other = copy.copy(self)
        other.fill_hole_area = 0
        other.hole_area = options.fill_hole_area
        other.non_overlap_masks = options.non_overlap_masks
        other.clear_non_cond_mem_around_input = options.clear_non_cond_mem_around_input
        other.add_all_frames_to_correct_as_cond = options.add_all_frames_to_correct_as_cond
        other.samurai = samurai_of(options)
        together = options.objects_per_batch > 1
        other.batches = ObjectBatches(options.objects_per_batch, other._recalled) if together else None
        if other.batches is not None:
            # sam2 applies it within a batch: to one object at a time, it does nothing.
            other.non_overlap_masks_for_mem_enc = False
        return other

    @property
    def reach(self) -> Reach:
        """How far back tracking looks."""
        return reach_of(self, good_only=self.samurai is not None)

    def init_lazily(self, frames: Frames, options: TrackOptions) -> State:
        """``init_state``, but frames are read when needed; for a CUDA device also ahead, in a thread."""
        device = torch.device("cpu") if options.offload_video_to_cpu else self.device
        images = LazyImages(frames, self.image_size, device, reads_ahead=self.device.type == "cuda")
        loaded = images, *frames.size_hw
        with _replaced("load_video_frames", lambda **_: loaded):
            state: State = self.init_state(
                "",
                offload_video_to_cpu=options.offload_video_to_cpu,
                offload_state_to_cpu=options.offload_state_to_cpu,
            )
        return state

    def propagate_quietly(self, state: State, frames: range) -> Iterator[tuple[int, list[int], Tensor]]:
        """``propagate_in_video`` over consecutive frames, forwards or backwards, without a progress bar.

        Backwards, sam2 cannot start at frame 0: this then starts at frame 1, which gives the same result again.
        """
        reverse = frames.step < 0
        start = max(frames[0], 1) if reverse else frames[0]
        outputs = self.propagate_in_video(state, start, abs(frames[-1] - start), reverse)
        with _replaced("tqdm", lambda items, **_: items):  # called once, before the first output
            first = next(outputs)
        if first[0] in frames:
            yield first
        yield from outputs

    def _run_single_frame_inference(self, **arguments: Any) -> tuple[State, Tensor]:  # noqa: ANN401
        return self._run(arguments) if self.batches is None else self.batches.run(self._run, arguments, self)

    def _run(self, arguments: State) -> tuple[State, Tensor]:
        choice = None if self.samurai is None else self.samurai.choice(arguments, _objects_of(arguments))
        with self._autocast(), choice.made_by(self.sam_mask_decoder) if choice else nullcontext():
            output, masks = super()._run_single_frame_inference(**arguments)
        if self.hole_area > 0:
            masks = fill_holes(masks, self.hole_area)
            output["pred_masks"] = masks.to(output["pred_masks"].device)
        return output if choice is None else {**output, **choice.notes(masks)}, masks

    def _recalled(self, outputs: State, frame: int, reverse: bool) -> State:
        return outputs if self.samurai is None else good_outputs(outputs, frame, reverse)

    def _get_image_feature(self, *arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        with self._autocast():
            return super()._get_image_feature(*arguments, **named)

    def _run_memory_encoder(self, **arguments: Any) -> Any:  # noqa: ANN401
        with self._autocast():
            return super()._run_memory_encoder(**arguments)

    def _prepare_memory_conditioned_features(self, *, output_dict: State | Memories, **named: Any) -> Tensor:  # noqa: ANN401
        if not isinstance(output_dict, Memories) or self.num_maskmem == 0:  # then sam2 reads no memory
            if not isinstance(output_dict, Memories):
                output_dict = self._recalled(output_dict, named["frame_idx"], named["track_in_reverse"])
            features: Tensor = super()._prepare_memory_conditioned_features(output_dict=output_dict, **named)
            return features
        prepare = SAM2VideoPredictor._prepare_memory_conditioned_features
        attended: Tensor = self.memory_attention(**memory_of(self, prepare, output_dict, named))
        # (pixels, objects, channels) to (objects, channels, height, width), as sam2 does.
        objects, channels = attended.shape[1:]
        return attended.permute(1, 2, 0).view(objects, channels, *named["feat_sizes"][-1])

    def _autocast(self) -> torch.autocast:
        return torch.autocast(self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32)

    def _consolidate_temp_output_across_obj(self, state: State, *_: Any, **__: Any) -> State:  # noqa: ANN401
        # sam2 returns the full-size masks of all objects after each prompt; nothing here uses them.
        size_hw = state["video_height"], state["video_width"]
        return {"pred_masks_video_res": torch.zeros(1, 1, 1, 1, device=state["device"]).expand(1, 1, *size_hw)}

    def _clear_obj_non_cond_mem_around_input(self, state: State, frame_idx: int, obj_idx: int) -> None:
        # sam2 1.1.0 calls this method but does not define it; it has only one for all objects, by another name.
        reach = self.memory_temporal_stride_for_eval * self.num_maskmem
        outputs = state["output_dict_per_obj"][obj_idx]["non_cond_frame_outputs"]
        for frame in range(frame_idx - reach, frame_idx + reach + 1):
            outputs.pop(frame, None)


class CompiledVideoPredictor(VideoPredictor, SAM2VideoPredictorVOS):  # type: ignore[misc]
    """The same with sam2's ``vos_optimized``: parts of the network are compiled."""

    def __init__(self, *arguments: Any, **named: Any) -> None:  # noqa: ANN401
        """As sam2's; called by Hydra."""
        super().__init__(*arguments, **named)
        # With CUDA graphs, each call of a compiled part overwrites the output of the call before. sam2 copies some
        # outputs, but not the memory attention's (its issue 501), nor those for the image predictor.
        for part in (self.memory_attention, self.sam_prompt_encoder, self.sam_mask_decoder):
            part.forward = _copying(part.forward)

    def with_options(self, options: TrackOptions) -> Self:
        """As the base class.

        Raises:
            UserError: objects in batches.
        """
        if options.objects_per_batch > 1:
            raise UserError(
                "objects_per_batch: the compiled network takes one object at a time; remove objects_per_batch or "
                "vos_optimized"
            )
        return super().with_options(options)


def _objects_of(call: State) -> tuple[State, ...]:
    """The outputs of each object that a call is for."""
    outputs = call["output_dict"]
    return outputs.objects if isinstance(outputs, Memories) else (outputs,)


@contextmanager
def _replaced(name: str, value: object) -> Iterator[None]:
    """Replace a name in sam2's module for a while."""
    original = getattr(sam2_video_predictor, name)
    setattr(sam2_video_predictor, name, value)
    try:
        yield
    finally:
        setattr(sam2_video_predictor, name, original)


def _promote_memory(_: object, arguments: Any, named: State) -> tuple[Any, State]:  # noqa: ANN401
    """Convert a memory that has only features to float32.

    sam2 keeps features in bfloat16. Object pointers beside them promote the whole memory; without any, as on a frame
    before an object's first prompt, sam2 fails unless it runs under autocast.
    """
    dtype = torch.promote_types(named["memory"].dtype, named["memory_pos"].dtype)
    return arguments, {**named, "memory": named["memory"].to(dtype)}


def _copying(forward: Callable[..., Any]) -> Callable[..., Any]:
    def copied(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401
        return tree_map_only(Tensor, Tensor.clone, forward(*arguments, **named))

    return copied
