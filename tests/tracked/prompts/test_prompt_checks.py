"""Unusable prompts are found, each with a reason."""

import numpy as np
import pytest

from maskgrid.tracked.records import FramePrompt, FramePromptError, check_prompts

POINT = np.array([[3, 4]], np.float32)
LABEL = np.array([1], np.int32)
BOX = np.array([1, 1, 5, 5], np.float32)
MASK = np.ones((6, 8), np.bool_)


class FourFrames:
    size_hw = 6, 8

    def __len__(self):
        return 4


GOOD = [
    FramePrompt(0, 1, POINT, LABEL),
    FramePrompt(3, 1, box_xyxy=BOX),
    FramePrompt(2, 1, POINT, LABEL, BOX),
    FramePrompt(2, -5, mask=MASK),
    FramePrompt(2, 1, POINT, LABEL, clear_old_points=False),
]
BAD = {
    "no frame 4": FramePrompt(4, 1, POINT, LABEL),
    "no frame -1": FramePrompt(-1, 1, POINT, LABEL),
    "no points": FramePrompt(0, 1),
    "no points, no box": FramePrompt(0, 1, POINT[:0], LABEL[:0]),
    "label": FramePrompt(0, 1, POINT),
    "needs a label": FramePrompt(0, 1, POINT, LABEL[:0]),
    "(n, 2)": FramePrompt(0, 1, [1, 2], [1, 1]),
    "(4,)": FramePrompt(0, 1, box_xyxy=[1, 2, 3]),
    "arrays of numbers": FramePrompt(0, 1, [[1, 2], [3]], [1, 1]),
    "not a number": FramePrompt(0, 1, box_xyxy=BOX * np.float32("nan")),
    "cannot be combined": FramePrompt(0, 1, POINT, LABEL, mask=MASK),
    "8 x 7 pixels, but the frame 8 x 6": FramePrompt(0, 1, mask=np.ones((7, 8), np.bool_)),
    "clear_old_points": FramePrompt(0, 1, box_xyxy=BOX, clear_old_points=False),
}


def test_good_prompts_pass():
    check_prompts(GOOD, FourFrames())


@pytest.mark.parametrize("words", BAD)
def test_bad_prompts_are_refused(words):
    prompt = BAD[words]
    with pytest.raises(FramePromptError, match=f"object 1, frame {prompt.frame}") as caught:
        check_prompts([GOOD[0], prompt, GOOD[1]], FourFrames())
    assert caught.value.prompt is prompt
    assert words in caught.value.message
