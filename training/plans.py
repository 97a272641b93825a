"""The training schedules: sizes, steps, learning rates, and which prompts and targets come at which step."""

import math
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ImagePlan:
    """The schedule for still images.

    Attributes:
        side_px: width and height of the scenes.
        input_px: width and height of the network's input, to which scenes are enlarged.
        n_images, n_targets: images per batch, prompts per image.
        n_boxes: how many of the prompts are boxes from step ``best`` on; the others are clicks.
        steps: total number of steps.
        rate: highest learning rate.
        rise: number of warm-up steps, over which the rate grows to ``rate``.
        last_rate: learning rate at the end, as a share of ``rate``.
        disc: first steps, in which the target is a disc around the click, so that nearness is learnt first.
        grow: number of steps after that, in which targets are cut to a disc that grows until it covers the image.
        average: step from which the weight of the best of three masks grows, until step ``best``.
        best: step from which the best mask has weight ``most_best``; the mean of all three has the rest, so that a mask
            that is never the best still learns.
        most_best: 0 to 1.
        easy: number of steps at the start with easy scenes.
        follow_up: probability of a second round with corrections, from step ``best`` on.
        least_area_frac: objects that cover a smaller share of the image are not clicked.
        full_area_frac: objects that cover a smaller share are clicked less often.
        hard_share: share of the scenes drawn in proportion to their shortfall, where it was measured.
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
        """Radius of the disc to which targets are cut, as a share of the side; None once targets are whole objects."""
        if step < self.disc:
            return 0.15
        if step < self.disc + self.grow:
            return 0.15 + 1.3 * (step - self.disc) / self.grow
        return None

    def best_share(self, step: int) -> float:
        """Weight of the best of three masks against the mean of all three, 0 to 1."""
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
    """The schedule for the memory, on clips.

    Attributes:
        side_px: width and height of the clips.
        input_px: width and height of the network's input, to which frames are enlarged.
        pool: number of clips drawn before training.
        length: frames per clip.
        n_clips, n_objects: clips per batch, tracked objects per clip.
        scenes: number of scenes drawn before training, for prompts on still images.
        n_clicked, n_targets: scenes per batch, prompts per scene.
        steps: total number of steps.
        rate: highest learning rate.
        rise: number of warm-up steps, over which the rate grows to ``rate``.
        short: number of steps with windows of three frames; as many with five follow, then all others with eight.
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
        """Frames per window."""
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
    """The settings of the IoU head's final fit.

    Attributes:
        batches, n_images, n_targets: what to record: number of batches, images per batch, prompts per image.
        n_boxes: how many of the prompts are boxes; the others are clicks.
        least_area_frac: objects that cover a smaller share of the image get no prompt.
        ground_share: weight of the ground among the targets; a large object has 1.
        steps, batch: number of steps of the fit, and records per step.
        rate, weight_decay: learning rate and weight decay of the fit.
        quantile: the quantile of the true IoU to predict. The median has the smallest error; with a higher quantile,
            more masks pass a threshold of 0.8, good and bad.
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
