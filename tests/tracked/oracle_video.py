"""sam2's own video predictor as the oracle, and clips and prompts for both sides."""

import copy
from pathlib import Path

import av
import numpy as np
import PIL.Image
import scipy.ndimage
import torch

from maskgrid.dataset.demo import draw_clip
from maskgrid.tracked.options import TrackOptions
from maskgrid.tracked.records import FramePrompt

VIDEO = Path(__file__).parents[3] / "shared" / "photos" / "bedroom.mp4"


def sam2_predictor(**hydra):
    """``SAM2VideoPredictor`` with the demo checkpoint, built by sam2."""
    from sam2.build_sam import build_sam2_video_predictor

    from maskgrid.network.checkpoints import resolve_checkpoint
    from maskgrid.network.model import built_by

    overrides = [f"++model.{name}={value}" for name, value in hydra.items()]
    checkpoint = resolve_checkpoint("demo", None)
    predictor = built_by(build_sam2_video_predictor, checkpoint, hydra_overrides_extra=overrides)
    attend = predictor.memory_attention.forward

    def attend_in_float32(*, memory, **named):
        # sam2's memory features are bfloat16; unless an object pointer promotes them, its float32 weights refuse them.
        return attend(memory=memory.float(), **named)

    predictor.memory_attention.forward = attend_in_float32
    return predictor


def sam2_logits(predictor, folder, prompts, direction="forward", start=None, most=None, **init):
    """Logits by frame, collected like in sam2's notebook: each (objects, H, W), from the last pass over the frame."""
    with torch.inference_mode():
        state = predictor.init_state(str(folder), **init)
        found = {}
        for round_ in sorted({prompt.round for prompt in prompts}):
            for prompt in prompts:
                if prompt.round == round_:
                    give(predictor, state, prompt)
            for reverse in {"forward": [False], "backward": [True], "both": [False, True]}[direction]:
                for frame, _, logits in predictor.propagate_in_video(state, start, most, reverse):
                    found[frame] = logits[:, 0].numpy().copy()
    return found


def give(predictor, state, prompt):
    if prompt.mask is not None:
        predictor.add_new_mask(state, prompt.frame, prompt.object_id, prompt.mask)
    else:
        predictor.add_new_points_or_box(
            state,
            prompt.frame,
            prompt.object_id,
            prompt.point_coords,
            prompt.point_labels,
            prompt.clear_old_points,
            box=prompt.box_xyxy,
        )


def write_jpegs(folder, frames):
    """Write frames in the form that sam2 needs: JPEG files with numbers for names."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    for number, pixels in enumerate(frames):
        PIL.Image.fromarray(pixels).save(Path(folder) / f"{number:05d}.jpg", quality=92)
    return Path(folder)


def clip_folder(folder, seed=0, n_frames=8, size_hw=(120, 160)):
    """Write a generated clip as JPEG files; return the folder and the objects' masks."""
    clip = draw_clip(seed, n_frames, size_hw)
    return write_jpegs(folder, clip.frames), clip.masks


def click(mask, frame=0, object_id=1, **more):
    """A click on an object."""
    rows, columns = np.nonzero(mask)
    middle = len(rows) // 2
    return FramePrompt(
        frame,
        object_id,
        point_coords=np.array([[columns[middle], rows[middle]]], np.float32),
        point_labels=np.array([1], np.int32),
        **more,
    )


def boxed(mask, frame=0, object_id=1, **more):
    """An object's box."""
    rows, columns = np.nonzero(mask)
    box = np.array([columns.min(), rows.min(), columns.max() + 1, rows.max() + 1], np.float32)
    return FramePrompt(frame, object_id, box_xyxy=box, **more)


def painted(mask, frame=0, object_id=1, **more):
    """An object's mask."""
    return FramePrompt(frame, object_id, mask=mask, **more)


def innermost(mask):
    """The pixel of a mask, x and y, farthest from its border."""
    depth = scipy.ndimage.distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    row, column = np.unravel_index(int(depth.argmax()), depth.shape)
    return column, row


def with_attributes(model, **attributes):
    other = copy.copy(model)
    for name, value in attributes.items():
        assert hasattr(other, name)
        setattr(other, name, value)
    return other


def random_case(random, masks):
    makers = (click, boxed, painted)
    prompts = []
    for round_ in range(random.integers(1, 4)):
        for _ in range(random.integers(1, 4)):
            frame, index = random.integers(len(masks)), random.integers(2)
            make = makers[random.integers(3)]
            prompts.append(make(masks[frame, index], int(frame), int(index) + 1, round=round_))
    options = TrackOptions(
        direction=str(random.choice(["forward", "backward", "both"])),
        non_overlap_masks=bool(random.integers(2)),
        add_all_frames_to_correct_as_cond=bool(random.integers(2)),
    )
    memory = {
        "num_maskmem": int(random.integers(1, 5)),
        "max_obj_ptrs_in_encoder": int(random.integers(2, 6)),
        "memory_temporal_stride_for_eval": int(random.integers(1, 3)),
        "max_cond_frames_in_attn": int(random.choice([-1, 2])),
    }
    return prompts, options, memory


def video_frames(stop, step):
    """Frames of a real video."""
    with av.open(str(VIDEO)) as container:
        decoded = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
        return [pixels for number, pixels in zip(range(stop), decoded, strict=False) if number % step == 0]
