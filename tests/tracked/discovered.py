"""Generators with given masks, and frames for them."""

import numpy as np

from maskgrid.masks import rle


class GivenMasks:
    """A generator with fixed masks for each frame; the first pixel is the frame number."""

    def __init__(self, by_pixel):
        self.by_pixel = by_pixel

    def candidates(self, pixels):
        return self.by_pixel[int(pixels[0, 0, 0])]

    def replay(self, masks, output_mode):
        assert output_mode == "coco_rle"
        return [record(mask, 0.9) for mask in masks]


class InTurn:
    """A generator that gives the masks of prompts, those of the next list each time."""

    def __init__(self, lists):
        self.lists = lists
        self.prompts = iter(lists)

    def candidates(self, pixels):
        return next(self.prompts)

    def replay(self, prompts, output_mode):
        return [record(one.mask, 1 - one.object_id / 100) for one in prompts]


def record(mask, predicted_iou):
    """A generator's record of a mask."""
    segmentation = rle.compressed(rle.encode(mask), mask.shape)
    return {"segmentation": segmentation, "predicted_iou": predicted_iou, "area": int(mask.sum())}


class Painted:
    """Frames with or without a disc on a plain ground, or with it aside; the first pixel is the frame number."""

    size_hw = 64, 64

    def __init__(self, there):
        self.there = there
        rows, columns = np.mgrid[:64, :64]
        self.disc = (rows - 30) ** 2 + (columns - 34) ** 2 < 150
        self.aside = np.roll(self.disc, -14, 1)

    def __len__(self):
        return len(self.there)

    def masks(self, frame):
        return {True: [self.disc], False: [], "aside": [self.aside]}[self.there[frame]]

    def read(self, frame):
        pixels = np.full((64, 64, 3), 60, np.uint8)
        for mask in self.masks(frame):
            pixels[mask] = 230, 40, 40
        pixels[0, 0] = frame
        return pixels

    def generator(self):
        return GivenMasks({frame: self.masks(frame) for frame in range(len(self))})
