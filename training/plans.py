"""How a training goes: sizes, steps, rates, and what is asked at which step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """The training on still images.

    Attributes:
        side_px: width and height of the scenes.
        input_px: width and height that the network takes, to which scenes are enlarged.
        n_images, n_targets: images in a batch, prompts in each.
        n_boxes: how many of the prompts are boxes, once ``best`` has come; the others are clicks.
        steps: how many steps in all.
        rate: highest learning rate.
        rise: steps in which the rate grows to it.
        last_rate: share of the highest rate that is left at the end.
        disc: steps at the start in which the target is a disc around the click: nearness is learnt first.
        grow: further steps in which objects are cut to a disc that grows until it holds the image.
        average: steps from which on the best of three masks is trained more and more, until ``best``.
        best: steps from which on it counts ``most_best``, and the average what is left, lest a mask is never the best.
        most_best: 0 to 1.
        easy: steps in which the scenes are easy ones.
        follow_up: chance of a second round with corrections, once ``best`` has come.
        least_area_frac: objects under this share of the image are not clicked.
        full_area_frac: objects under this share are clicked less often.
        hard_share: share of the scenes that are drawn by what their boxes lack, where that was measured.
    """

    side_px: int
    input_px: int
    n_images: int
    n_targets: int
    n_boxes: int
    steps: int
    rate: float
    rise: int
    last_rate: float
    disc: int
    grow: int
    average: int
    best: int
    most_best: float
    easy: int
    follow_up: float
    least_area_frac: float
    full_area_frac: float
    hard_share: float

    def rate_at(self, step: int) -> float:
        """The learning rate: a linear rise, then a half cosine down."""
        if step < self.rise:
            return self.rate * (step + 1) / self.rise
        gone = min(1.0, (step - self.rise) / max(1, self.steps - self.rise))
        return self.rate * (self.last_rate + (1 - self.last_rate) * 0.5 * (1 + math.cos(math.pi * gone)))

    def disc_radius_frac(self, step: int) -> float | None:
        """Radius of the disc that a target is cut to, as a share of the side; None once objects are whole."""
        if step < self.disc:
            return 0.15
        if step < self.disc + self.grow:
            return 0.15 + 1.3 * (step - self.disc) / self.grow
        return None

    def best_share(self, step: int) -> float:
        """How much the best of three masks counts against the average of them, 0 to 1."""
        return self.most_best * min(1.0, max(0.0, (step - self.average) / max(1, self.best - self.average)))


FIRST = ImagePlan(
    side_px=128,
    input_px=128,
    n_images=12,
    n_targets=8,
    n_boxes=2,
    steps=2500,
    rate=9e-4,
    rise=60,
    last_rate=0.2,
    disc=200,
    grow=600,
    average=500,
    best=1400,
    most_best=0.9,
    easy=900,
    follow_up=0.25,
    least_area_frac=0.003,
    full_area_frac=0.004,
    hard_share=0.0,
)
SECOND = ImagePlan(
    side_px=256,
    input_px=320,
    n_images=6,
    n_targets=10,
    n_boxes=5,
    steps=4300,
    rate=8e-4,
    rise=40,
    last_rate=0.03,
    disc=0,
    grow=0,
    average=-1,
    best=0,
    most_best=0.9,
    easy=0,
    follow_up=0.25,
    least_area_frac=0.0015,
    full_area_frac=0.003,
    hard_share=0.5,
)


@dataclass(frozen=True, slots=True)
class VideoPlan:
    """The training of the memory on clips.

    Attributes:
        side_px: width and height of the clips.
        input_px: width and height that the network takes, to which frames are enlarged.
        pool: how many clips are drawn ahead; ``length`` frames each.
        length: frames of a clip.
        n_clips, n_objects: clips in a batch, objects tracked in each.
        scenes: how many scenes are drawn ahead, to click in.
        n_clicked, n_targets: scenes in a batch, prompts in each.
        steps: how many steps in all.
        rate: highest learning rate.
        rise: steps in which the rate grows to it.
        short: steps at the start with windows of three frames; then five for as many, then eight.
    """

    side_px: int
    input_px: int
    pool: int
    length: int
    n_clips: int
    n_objects: int
    scenes: int
    n_clicked: int
    n_targets: int
    steps: int
    rate: float
    rise: int
    short: int

    def rate_at(self, step: int) -> float:
        """The learning rate: a linear rise, then a half cosine down to a fiftieth."""
        if step < self.rise:
            return self.rate * (step + 1) / self.rise
        gone = min(1.0, (step - self.rise) / max(1, self.steps - self.rise))
        return self.rate * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * gone)))

    def frames_at(self, step: int) -> int:
        """Frames of a window."""
        if step < self.short:
            return 3
        return 5 if step < 2 * self.short else 8


MEMORY = VideoPlan(
    side_px=256,
    input_px=320,
    pool=64,
    length=12,
    n_clips=6,
    n_objects=1,
    scenes=160,
    n_clicked=2,
    n_targets=8,
    steps=160,
    rate=5e-4,
    rise=15,
    short=25,
)


@dataclass(frozen=True, slots=True)
class CalibrationPlan:
    """The fit of the IoU head at the end.

    Attributes:
        batches, n_images, n_targets: how many records are taken: batches, images in each, prompts in each image.
        n_boxes: how many of the prompts are boxes; the others are clicks.
        least_area_frac: objects under this share of the image are not clicked.
        ground_share: weight of the ground among the targets, where a large object has 1.
        steps, batch: steps of the fit and records in each.
        rate, weight_decay: of the fit.
        quantile: which quantile of the true IoU is predicted. The median has the least error; above it, more masks
            pass a threshold of 0.8, good and bad.
    """

    batches: int
    n_images: int
    n_targets: int
    n_boxes: int
    least_area_frac: float
    ground_share: float
    steps: int
    batch: int
    rate: float
    weight_decay: float
    quantile: float


CALIBRATION = CalibrationPlan(
    batches=300,
    n_images=4,
    n_targets=16,
    n_boxes=5,
    least_area_frac=0.0015,
    ground_share=0.3,
    steps=1500,
    batch=512,
    rate=1e-3,
    weight_decay=0.05,
    quantile=0.8,
)
