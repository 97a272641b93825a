"""Objects in batches: which of them sam2's network can track together on a frame, and their memories as one.

sam2 tracks one object at a time. Its network takes several if their memories have the same form: as many spatial
memories and as many object pointers. What these hold, and from which frames, may differ.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

from maskgrid.network.memory import is_out_of_memory, release_memory
from maskgrid.tracked.propagation.state import State, reach_of

# An object's output on a frame, and its mask logits: what sam2's ``_run_single_frame_inference`` returns.
Found = tuple[State, Tensor]
# An object's outputs by frame, as the network reads them on a frame; the last argument says whether it goes backwards.
Recall = Callable[[State, int, bool], State]

_PROMPTS = "point_inputs", "mask_inputs", "prev_sam_mask_logits"


@dataclass(frozen=True, slots=True)
class History:
    """The frames that an object's memory on a frame is made of.

    Attributes:
        cond: conditioning frames, in sam2's order.
        near: tracked frames that the network can still read, the earliest first.
        form: the same for all objects whose memories have the same form.
    """

    cond: tuple[int, ...]
    near: tuple[int, ...]
    form: tuple[object, ...]


def history_of(outputs: State, frame: int, reverse: bool, model: SAM2Base) -> History:
    """Return an object's history before it is tracked on a frame.

    Args:
        outputs: the object's outputs by frame, from ``output_dict_per_obj``.
        frame: the frame to track.
        reverse: whether tracking goes backwards.
        model: the network, which decides how far back it looks.
    """
    reach, sign = reach_of(model), 1 if reverse else -1
    cond = tuple(outputs["cond_frame_outputs"])
    farthest = max(reach.features, reach.pointers)
    near = tuple(sorted(t for t in outputs["non_cond_frame_outputs"] if 0 < (t - frame) * sign <= farthest))
    if 0 <= model.max_cond_frames_in_attn < len(cond):  # some serve as frames without prompts, if they are near
        return History(cond, near, (*cond, None, *near))
    # sam2 can read pointers of the past alone.
    n_past = sum((t - frame) * sign >= 0 for t in cond)
    return History(cond, near, (len(cond), n_past, None, *near))


@dataclass(frozen=True, slots=True)
class Memories:
    """The memories of a batch's objects, in place of the outputs of one object.

    Attributes:
        outputs: the outputs by frame of all objects with the same history, joined, for each history.
        sizes: how many objects each of them is for.
        objects: each object's own outputs.
    """

    outputs: tuple[State, ...]
    sizes: tuple[int, ...]
    objects: tuple[State, ...]


@dataclass(frozen=True, slots=True)
class Member:
    """An object of a batch.

    Attributes:
        outputs: its outputs by frame.
        recalled: those of them that the network reads.
        history: of these.
    """

    outputs: State
    recalled: State
    history: History


class ObjectBatches:
    """Tracks all objects on a frame in batches, once sam2 asks for the first of them.

    Attributes:
        size: objects in a batch at most. Halved whenever the device's memory runs out.
    """

    def __init__(self, size: int, recall: Recall) -> None:
        """Set up with the number of objects that a batch may have, and with what they remember."""
        self.size, self._recall = size, recall
        self._frame = -1
        self._ready: dict[int, Found] = {}  # by the identity of an object's outputs

    def run(self, work: Callable[[State], Found], call: State, model: SAM2Base) -> Found:
        """Return what ``work(call)`` returns for one object, within rounding.

        Args:
            work: sam2's ``_run_single_frame_inference`` with these named arguments, for one object or for
                :class:`Memories`.
            call: the arguments for one object.
            model: the network.
        """
        if self.size == 1 or any(call.get(name) is not None for name in _PROMPTS) or call["is_init_cond_frame"]:
            return work(call)
        wanted, frame = id(call["output_dict"]), call["frame_idx"]
        if frame != self._frame or wanted not in self._ready:
            self._frame, self._ready = frame, self._run_all(work, call, model)
        return self._ready.pop(wanted)

    def _run_all(self, work: Callable[[State], Found], call: State, model: SAM2Base) -> dict[int, Found]:
        frame, found = call["frame_idx"], dict[int, Found]()
        objects = call["inference_state"]["output_dict_per_obj"].values()
        by_form: dict[object, list[Member]] = {}
        for outputs in objects:
            if frame not in outputs["cond_frame_outputs"]:  # else sam2 takes the prompt's mask
                recalled = self._recall(outputs, frame, call["reverse"])
                history = history_of(recalled, frame, call["reverse"], model)
                by_form.setdefault(history.form, []).append(Member(outputs, recalled, history))
        for members in by_form.values():
            members.sort(key=lambda member: member.history.cond)  # stable
            for batch, result in self._run_alike(work, call, members):
                found.update(zip(map(id, batch), result, strict=True))
        return found

    def _run_alike(
        self, work: Callable[[State], Found], call: State, members: Sequence[Member]
    ) -> Iterator[tuple[list[State], list[Found]]]:
        """Track objects whose memories have the same form; yield the objects of each batch and their results."""
        first = 0
        while first < len(members):
            batch = members[first : first + self.size]
            try:
                found = _run_batch(work, call, batch)
            except RuntimeError as error:
                if len(batch) == 1 or not is_out_of_memory(error):
                    raise
                found = None
            # After the except clause, whose traceback keeps the failed work's tensors alive.
            if found is None:
                self.size = (len(batch) + 1) // 2
                release_memory(f"{self.size} objects at once")
                continue
            yield [member.outputs for member in batch], found
            first += len(batch)


def memory_of(model: SAM2Base, prepare: Callable[..., Tensor], memories: Memories, call: State) -> dict[str, Any]:
    """Build the arguments for sam2's memory attention for all objects of a batch.

    Args:
        model: the network.
        prepare: sam2's ``_prepare_memory_conditioned_features``, as a function.
        memories: of the batch.
        call: the other named arguments of ``prepare``, for the whole batch.
    """
    recorder = _Recorder(model)
    for outputs, size in zip(memories.outputs, memories.sizes, strict=True):
        parts = {
            name: [part[:, :size] for part in call[name]]
            for name in ("current_vision_feats", "current_vision_pos_embeds")
        }
        prepare(recorder, output_dict=outputs, **{**call, **parts})
    # Objects first in memory, as the layers want them, or each layer would reorder; torch's linear layers then also
    # round as for one object, while in other layouts they add the bias in a step of its own.
    together = {
        name: torch.cat([one[name].transpose(0, 1) for one in recorder.memories]).transpose(0, 1)
        for name in ("memory", "memory_pos")
    }
    current = [part.transpose(0, 1).contiguous().transpose(0, 1) for part in call["current_vision_feats"]]
    places = {"curr": current, "curr_pos": call["current_vision_pos_embeds"]}
    return {**recorder.memories[0], **together, **places}


def joined(parts: Sequence[Tensor]) -> Tensor:
    """Join tensors along the first axis; without copying if they are slices of one tensor, in its order."""
    first = parts[0]
    if len(parts) == 1:
        return first
    step, storage = first.stride(0) * len(first), first.untyped_storage().data_ptr()
    for number, part in enumerate(parts):
        if (
            part.storage_offset() != first.storage_offset() + number * step
            or part.shape != first.shape
            or part.stride() != first.stride()
            or part.dtype != first.dtype
            or part.untyped_storage().data_ptr() != storage
        ):
            return torch.cat(list(parts))
    return first.as_strided((len(first) * len(parts), *first.shape[1:]), first.stride())


def _run_batch(work: Callable[[State], Found], call: State, batch: Sequence[Member]) -> list[Found]:
    if len(batch) == 1:
        return [work({**call, "output_dict": batch[0].outputs})]
    groups = [list(group) for _, group in groupby(batch, key=lambda member: member.history.cond)]
    objects = tuple(member.outputs for member in batch)
    memories = Memories(tuple(map(_joined_outputs, groups)), tuple(map(len, groups)), objects)
    output, masks = work({**call, "output_dict": memories, "batch_size": len(batch)})
    return list(zip(_split_output(output, len(batch)), torch.split(masks, 1), strict=True))


def _joined_outputs(group: Sequence[Member]) -> State:
    """The outputs of objects with the same history, as those of one object with a batch."""
    history = group[0].history
    return {
        kind: {t: _joined_output([member.recalled[kind][t] for member in group]) for t in frames}
        for kind, frames in (("cond_frame_outputs", history.cond), ("non_cond_frame_outputs", history.near))
    }


def _joined_output(outputs: Sequence[State]) -> State:
    features = [output["maskmem_features"] for output in outputs]
    # The positions are the same for all objects.
    positions = outputs[0]["maskmem_pos_enc"]
    return {
        "maskmem_features": None if any(part is None for part in features) else joined(features),
        "maskmem_pos_enc": positions and [part.expand(len(outputs), -1, -1, -1) for part in positions],
        "obj_ptr": joined([output["obj_ptr"] for output in outputs]),
    }


def _split_output(output: State, n: int) -> list[State]:
    """A batch's output as one for each object: slices, not copies."""
    positions = output["maskmem_pos_enc"]
    shared = {"maskmem_pos_enc": positions and [part[:1] for part in positions]}
    slices: Mapping[str, Sequence[Tensor | None]] = {
        name: [None] * n if value is None else torch.split(value, 1)
        for name, value in output.items()
        if name != "maskmem_pos_enc"
    }
    names = list(output)
    return [{name: shared[name] if name in shared else slices[name][index] for name in names} for index in range(n)]


class _Recorder:
    """A model in all but its memory attention, which notes what it is called with."""

    def __init__(self, model: SAM2Base) -> None:
        self._model = model
        self.memories: list[dict[str, Any]] = []

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        return getattr(self._model, name)

    def memory_attention(self, **named: Any) -> Tensor:  # noqa: ANN401
        self.memories.append(named)
        current: Tensor = named["curr"][0]
        return current
