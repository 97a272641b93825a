"""Search for the best setting, on all images and on all but each fold, with the same budget and seed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import differential_evolution
from scipy.stats.qmc import Halton

from maskgrid.config.settings import Setting
from maskgrid.config.tuning import TuneConfig
from maskgrid.results.tuning.evaluation import Evaluator
from maskgrid.results.tuning.judgement import loss, n_masks
from maskgrid.results.tuning.space import SearchSpace

# The share of the settings that are spread over the whole space; the others go where the first were good.
_SPREAD_SHARE = 0.5
_AT_ONCE = 256
_POPULATION = 24
_LEAST_GENERATIONS = 5
_LEAST_POPULATION = 5  # differential_evolution's own limit


@dataclass(slots=True)
class Budget:
    """Counts the settings tried, shows them, and says when it is time to stop.

    Attributes:
        n_settings: how many to try.
        seconds: how long to try; None for no limit.
        show: takes the number of settings that were just tried.
        n_tried: how many were tried.
        began_s: when the search began.
    """

    n_settings: int
    seconds: float | None
    show: Callable[[int], None]
    n_tried: int = 0
    began_s: float = 0.0

    def __post_init__(self) -> None:
        self.began_s = time.monotonic()

    @property
    def is_late(self) -> bool:
        """Whether the time is up."""
        return self.seconds is not None and time.monotonic() - self.began_s > self.seconds

    def count(self, evaluator: Evaluator) -> None:
        """Take note of what has been measured."""
        new = len(evaluator.columns) - self.n_tried
        self.n_tried += new
        self.show(min(new, max(0, self.n_settings - self.n_tried + new)))


@dataclass(frozen=True, slots=True)
class Found:
    """What the search found.

    Attributes:
        best: the best on all images.
        folds: bool (folds, images), the images of each fold.
        tuned: for each fold, the best on the others.
    """

    best: Setting
    folds: NDArray[np.bool_]
    tuned: tuple[Setting, ...]


def folds_of(n_images: int, n_folds: int, seed: int) -> NDArray[np.bool_]:
    """Part the images at random into folds of equal size, or nearly: bool (folds, images)."""
    n_folds = min(n_folds, n_images)
    place = np.random.default_rng(seed).permutation(n_images) % n_folds
    return np.stack([place == fold for fold in range(n_folds)])


def search(
    evaluator: Evaluator,
    space: SearchSpace,
    sweep: Sequence[Setting],
    config: TuneConfig,
    budget: Budget,
) -> Found:
    """Find the best setting on all images and, for each fold, on the images of the others.

    What is tried for a fold is chosen without a look at its images: first settings spread over the space, the same for
    all, then those of a search on the other images.

    Args:
        evaluator: measures settings; may have measured some.
        space: what can be tried.
        sweep: the sweep's settings, which are tried in any case.
        config: the section ``tune``.
        budget: how many settings, how long.
    """
    folds = folds_of(len(evaluator.images), config.folds, config.seed)
    shares = _spread(evaluator, space, sweep, config, budget)
    spread = list(evaluator.settings.values())
    whole = np.ones((1, len(evaluator.images)), np.bool_)
    chosen = []
    # The same for each, whatever the others found: a fold's search must not hear of its images.
    n_each = (budget.n_settings - budget.n_tried) // (1 + len(folds))
    for number, judged_on in enumerate(np.concatenate([whole, ~folds])):
        own = _refine(evaluator, space, shares, judged_on, n_each, config.seed + number, budget)
        chosen.append(_plain(best_of([*spread, *own], evaluator, judged_on), evaluator, space, judged_on))
    # What was tried for a fold may be tried for all images, whose figure is no promise anyway.
    best = best_of(list(evaluator.settings.values()), evaluator, whole[0])
    return Found(_plain(best, evaluator, space, whole[0]), folds, tuple(chosen[1:]))


def _plain(best: Setting, evaluator: Evaluator, space: SearchSpace, judged_on: NDArray[np.bool_]) -> Setting:
    """The setting without the filters that do nothing for it, judged on some images."""
    while others := space.without(best):
        sums = evaluator.of([best, *others])[:, judged_on].sum(axis=1)
        losses = loss(evaluator.goal, sums)
        place = int(np.argmin(losses[1:])) + 1
        if losses[place] > losses[0]:
            break
        best = others[place - 1]
    return best


def best_of(settings: Sequence[Setting], evaluator: Evaluator, judged_on: NDArray[np.bool_]) -> Setting:
    """The setting of least loss on some images, bool (images,); among equals the one with fewer masks."""
    sums = evaluator.of(settings)[:, judged_on].sum(axis=1)
    losses, counts = loss(evaluator.goal, sums), n_masks(sums)
    return min(zip(losses, counts, settings, strict=True), key=lambda one: (one[0], one[1], one[2].id))[2]


def _spread(
    evaluator: Evaluator, space: SearchSpace, sweep: Sequence[Setting], config: TuneConfig, budget: Budget
) -> NDArray[np.float64]:
    """Measure the sweep's settings and others all over the space; return their places, float64 (settings, axes + 1)."""
    evaluator.measure(sweep)
    budget.count(evaluator)
    n_axes = len(space.axes) + 1
    n_spread = max(_POPULATION, round((config.settings - budget.n_tried) * _SPREAD_SHARE))
    shares = Halton(n_axes, rng=np.random.default_rng(config.seed)).random(n_spread)
    n_done = 0
    while n_done < n_spread and (n_done < _POPULATION or not budget.is_late):
        evaluator.measure([space.at(row) for row in shares[n_done : n_done + _AT_ONCE]])
        n_done = min(n_done + _AT_ONCE, n_spread)
        budget.count(evaluator)
    tried: NDArray[np.float64] = shares[:n_done]
    return tried


def _refine(
    evaluator: Evaluator,
    space: SearchSpace,
    shares: NDArray[np.float64],
    judged_on: NDArray[np.bool_],
    n_settings: int,
    seed: int,
    budget: Budget,
) -> list[Setting]:
    """Search on from the best places, by differential evolution; return the settings tried."""
    goal, tried = evaluator.goal, dict[str, Setting]()

    def losses(places: NDArray[np.float64]) -> NDArray[np.float64]:
        settings = [space.at(row) for row in places.T]
        tried.update({setting.id: setting for setting in settings})
        sums = evaluator.of(settings)[:, judged_on].sum(axis=1)
        budget.count(evaluator)
        found: NDArray[np.float64] = loss(goal, sums)
        return found

    size = min(_POPULATION, max(_LEAST_POPULATION, n_settings // _LEAST_GENERATIONS))
    n_generations = n_settings // size
    if n_generations < 1 or budget.is_late:
        return []
    first = shares[np.argsort(losses(shares.T), kind="stable")[:size]]
    tried.clear()
    if len(first) >= _LEAST_POPULATION:
        differential_evolution(
            losses,
            [(0.0, 1.0)] * shares.shape[1],
            init=first,
            maxiter=n_generations,
            rng=np.random.default_rng(seed),
            callback=lambda *_: budget.is_late,
            polish=False,
            tol=0.0,
            updating="deferred",
            vectorized=True,
        )
    return list(tried.values())
