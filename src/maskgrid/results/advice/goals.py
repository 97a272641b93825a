"""Goals by which ``recommend`` chooses a setting."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

GoalName = Literal["masks", "coverage", "steady", "f1", "recall", "panoptic"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What to look for among the settings.

    Attributes:
        name: ``masks`` and ``coverage``: the mean nearest to ``target``; ``steady``: the count changes least when a
            threshold moves by one step; ``f1``, ``recall`` and ``panoptic``: the best against ground truth; no
            table has ``panoptic``, so ``recommend`` does not offer it.
        target: masks per image, or a share of the image from 0 to 1.
        min_masks: leave out settings with fewer masks per image on average.
        max_masks: leave out settings with more.
    """

    name: GoalName
    target: float | None = None
    min_masks: float | None = None
    max_masks: float | None = None

    @property
    def needs_truth(self) -> bool:
        """Whether the goal needs annotated objects."""
        return self.name in ("f1", "recall", "panoptic")

    def loss(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """Distance of values from the goal: less is better; NaN stays NaN."""
        if self.name in ("masks", "coverage"):
            return np.abs(values - (self.target or 0.0))
        return values if self.name == "steady" else -values

    def words(self) -> str:
        """Describe the goal for people."""
        names = {
            "masks": f"{self.target or 0:g} masks per image",
            "coverage": f"{100 * (self.target or 0):g} % of an image covered by masks",
            "steady": "the count that changes least when a threshold moves by one step",
            "f1": "the best F1 at IoU 0.5 against the annotated objects",
            "recall": "the best average recall (AR@1000) against the annotated objects",
            "panoptic": "the best panoptic quality against the annotated objects, each pixel in one mask",
        }
        least = [] if self.min_masks is None else [f"at least {round(self.min_masks, 1):g}"]
        most = [] if self.max_masks is None else [f"at most {round(self.max_masks, 1):g}"]
        limits = " and ".join([*least, *most])
        return names[self.name] + (f"; {limits} masks per image" if limits else "")

    def allows(self, n_masks: float) -> bool:
        """Return whether a setting with this many masks per image is within the limits."""
        return (self.min_masks is None or n_masks >= self.min_masks) and (
            self.max_masks is None or n_masks <= self.max_masks
        )
