"""Prompts for a video as people write them in Python: dicts, read like rows of a table, or ``FramePrompt``."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
from numpy.typing import NDArray

from maskgrid.dataset.annotations.object_sources import FORM, read_prompt, table_entry
from maskgrid.dataset.annotations.objects import BadPromptError, Prompt, PromptStatus
from maskgrid.io.errors import UserError
from maskgrid.masks import rle
from maskgrid.tracked.prompts.checked import VideoPrompt, tracker_prompts
from maskgrid.tracked.prompts.checks import PromptedFrames, number_from_0, round_number
from maskgrid.tracked.prompts.label_pictures import with_single_object
from maskgrid.tracked.records import FramePrompt, Frames, check_prompts

PromptLike = FramePrompt | Mapping[str, Any]
PromptsLike = PromptLike | Iterable[PromptLike]

# A table's columns; what an object is called does not matter here.
_KEYS = ("frame", *(name for name in FORM.optional if name != "category"), "round")


def prompts_of(given: PromptsLike, frames: Frames) -> list[FramePrompt]:
    """Check prompts, and convert dicts to the tracker's form.

    A dict is read like a row of a table of prompts: points of one object and frame add up. Values may be lists, tuples
    or arrays, and ``mask`` an array (H, W) or a PIL image, whose pixels above 0 are the object.

    Args:
        given: dicts or ``FramePrompt``, but not both; or a single one.
        frames: the video's frames.

    Raises:
        FramePromptError: a ``UserError`` about a ``FramePrompt`` that cannot be used.
        UserError: there is no prompt, or a dict cannot be used; the message has its place in the list.
    """
    prompts = [given] if isinstance(given, FramePrompt | Mapping) else _listed(given)
    if not prompts:
        raise UserError("prompts: there is none; pass at least one dict or FramePrompt per object")
    shown = [prompt for prompt in prompts if isinstance(prompt, FramePrompt)]
    rows = [prompt for prompt in prompts if isinstance(prompt, Mapping)]
    if shown and rows:
        raise UserError("prompts: there are dicts and FramePrompts; give all in one form")
    if rows:
        return _converted(rows, frames)
    check_prompts(shown, frames)
    return shown


def _listed(given: object) -> list[Any]:
    prompts = list(given) if isinstance(given, Iterable) and not isinstance(given, str | bytes) else [given]
    for number, prompt in enumerate(prompts):
        if not isinstance(prompt, FramePrompt | Mapping):
            raise UserError(f"prompts[{number}]: a prompt is a dict or a FramePrompt, not {type(prompt).__name__}")
    return prompts


def _converted(rows: Sequence[Mapping[str, Any]], frames: Frames) -> list[FramePrompt]:
    prompted, found = PromptedFrames(), list[VideoPrompt]()
    for index, row in enumerate(rows):
        try:
            found.append(_read(index, row, frames, prompted))
        except BadPromptError as error:
            raise UserError(f"prompts[{index}]: {error.message}") from None
    return tracker_prompts(found, frames.size_hw, {row.frame: row.frame for row in found if row.frame is not None})


def _read(index: int, row: Mapping[str, Any], frames: Frames, prompted: PromptedFrames) -> VideoPrompt:
    cells = {name: value for name, value in _cells(row, frames.size_hw).items() if not _is_empty(value)}
    object_id, frame = _object_id(cells), _frame(cells, len(frames))
    round_ = round_number(cells.get("round"))
    entry = table_entry(index + 1, {**cells, "image": "video"})
    if entry.broken is not None:
        raise BadPromptError(PromptStatus.MALFORMED, entry.broken)
    entry = with_single_object(entry, object_id, frames.size_hw, Path())
    prompt: Prompt = read_prompt(entry, frames.size_hw, False, Path())
    prompted.add(object_id, frame, round_, prompt)
    return VideoPrompt("", index, object_id, str(object_id), None, None, frame, round_, prompt, PromptStatus.OK, None)


def _cells(row: Mapping[str, Any], size_hw: tuple[int, int]) -> dict[str, Any]:
    """A dict's values as those of a table's row."""
    if unknown := [name for name in row if name not in _KEYS]:
        raise BadPromptError(
            PromptStatus.MALFORMED, f"there is no key {unknown[0]!r}; a prompt has {', '.join(sorted(_KEYS))}"
        )
    cells = {name: _plain(value) for name, value in row.items() if name != "mask"}
    return {**cells, "mask": _mask(row.get("mask"), size_hw)}


def _plain(value: Any) -> Any:  # noqa: ANN401
    """Arrays, tensors and tuples as lists, and numpy's numbers as Python's."""
    plain = value.tolist() if hasattr(value, "tolist") else value
    return [_plain(part) for part in plain] if isinstance(plain, list | tuple) else plain


def _mask(mask: Any, size_hw: tuple[int, int]) -> Any:  # noqa: ANN401
    """A mask as a table has it: an array as its run-length code, a path as text."""
    if isinstance(mask, Path):
        return str(mask)
    if isinstance(mask, Mapping | list | str) or _is_empty(mask):
        return {name: _plain(part) for name, part in mask.items()} if isinstance(mask, Mapping) else mask
    array: NDArray[Any] = np.asarray(mask.cpu() if hasattr(mask, "cpu") else mask)  # torch's are maybe on a GPU
    if isinstance(mask, PIL.Image.Image) and array.ndim == 3:
        array = np.any(array[..., :3], axis=-1)
    if array.shape != size_hw or array.dtype.kind not in "buif":
        raise BadPromptError(
            PromptStatus.MALFORMED_MASK,
            f"a mask is an array of the frame's shape {size_hw}, not {array.dtype} of shape {array.shape}",
        )
    return rle.compressed(rle.encode(array > 0), size_hw)


def _is_empty(value: Any) -> bool:  # noqa: ANN401
    """Whether a value is None, or a cell that pandas calls empty."""
    return value is None or (isinstance(value, float) and value != value)


def _object_id(cells: Mapping[str, Any]) -> int:
    value = cells.get("object_id")
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value // 1:
        raise BadPromptError(
            PromptStatus.MALFORMED,
            f"object_id is {value!r}; give a whole number, the same in all prompts of one object",
        )
    return int(value)


def _frame(cells: Mapping[str, Any], n_frames: int) -> int:
    number = number_from_0(cells.get("frame"))
    if number is None:
        raise BadPromptError(PromptStatus.MALFORMED, f"the frame is {cells.get('frame')!r}, and no number from 0 on")
    if number >= n_frames:
        raise BadPromptError(
            PromptStatus.MISSING_FRAME, f"there is no frame {number}; frames count from 0 to {n_frames - 1}"
        )
    return number
