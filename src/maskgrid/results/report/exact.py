"""The exact response to each threshold: what lies between the grid's points and beside them, by replay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from maskgrid.automatic.replay.curves import CURVES, CountCurve, count_curve
from maskgrid.automatic.replay.image_replay import ImageReplay
from maskgrid.io.progress import shown
from maskgrid.plan.passes import passes_of
from maskgrid.plan.plan import Plan
from maskgrid.results.report.samples import read_replays
from maskgrid.results.statistics.spread import ImageCounts

# Of more images a few chosen by hash have to do: each needs its candidates read and takes up to a second.
_MOST_IMAGES = 100


@dataclass(frozen=True, slots=True)
class ExactCurves:
    """Curves of the mean count over images, all else at the baseline.

    Attributes:
        n_images: how many images.
        of_all: whether these are all images of the run.
        curves: the curves by parameter.
    """

    n_images: int
    of_all: bool
    curves: Mapping[str, CountCurve]


def exact_curves(plan: Plan, names: Sequence[str], images: ImageCounts) -> ExactCurves:
    """Compute the curves of those of the parameters that have one.

    Raises:
        maskgrid.io.errors.UserError: a table is missing or truncated.
    """
    wanted = [name for name in names if name in CURVES]
    of_all = len(images.keys) <= _MOST_IMAGES
    found: dict[str, list[CountCurve]] = {name: [] for name in wanted}
    replays = read_replays(plan, images.keys if of_all else images.sampled) if wanted else {}
    baseline, n_images = plan.baseline, 0
    for by_checkpoint in shown(replays.values(), len(replays), "exact curves", "images"):
        replay = by_checkpoint.get(baseline.checkpoint)
        if replay is None or not {pass_.name for pass_ in passes_of(baseline.generator)} <= replay.candidates.keys():
            continue
        image = ImageReplay.of(replay.candidates, baseline, 0.0, replay.in_image)
        n_images += 1
        for name in wanted:
            found[name].append(count_curve(image, baseline, name))
    return ExactCurves(n_images, of_all, {name: CountCurve.mean(curves) for name, curves in found.items() if curves})
