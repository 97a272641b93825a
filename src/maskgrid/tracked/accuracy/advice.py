"""Which setting of automatic tracking to take, by its accuracy against ground truth."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from maskgrid.config.models import BASELINE
from maskgrid.config.settings import differences, values_of
from maskgrid.config.sweep import find
from maskgrid.io.errors import UserError
from maskgrid.io.tables import read_table
from maskgrid.io.wording import count, number, share, table_lines
from maskgrid.plan.plan import Plan
from maskgrid.tracked.accuracy.page import best_first
from maskgrid.tracked.accuracy.tables import ACCURACY, ACCURACY_SETTINGS

Row = dict[str, Any]

_MEASURES = {"j_and_f": "J&F", "j": "J", "f": "F", "hota": "HOTA", "idf1": "IDF1"}
_MOST_SETTINGS = 12
_N_RESAMPLINGS = 1000
_SEED = 20240729


def has_accuracies(plan: Plan) -> bool:
    """Whether masklets were measured against true objects."""
    tracking = plan.config.tracking
    return (
        tracking is not None and tracking.ground_truth is not None and plan.layout.tracked.accuracy_settings.is_file()
    )


def recommend_tracking(plan: Plan) -> str:
    """Recommend the setting of tracking with the best J&F, as text.

    Raises:
        UserError: masklets were not measured, or no object was.
    """
    if plan.tracking.ground_truth is None:
        raise UserError(
            "recommend: --tracking needs true objects to measure masklets against; set tracking.ground_truth"
        )
    ranked = best_first(read_table(plan.layout.tracked.accuracy_settings, schema=ACCURACY_SETTINGS).to_pylist())
    if not ranked or ranked[0]["j_and_f"] is None:
        raise UserError("recommend: --tracking: no true object was measured; accuracy_videos.parquet says why")
    best = ranked[0]
    lines = [
        "Goal: the best J&F of masklets against true objects.",
        "",
        f"Take {best['setting']}: {_difference(plan, best['setting'])}",
        f"  measured on {count(best['n_truth'], 'object')} of {count(best['n_videos'], 'video')}",
        *(f"  {title:<6}  {number(best[name], 3)}" for name, title in _MEASURES.items()),
    ]
    if len(ranked) == 1:
        return "\n".join([*lines, "", "There is one setting; tracking.sweep compares several."])
    lines += ["", *_how_sure(plan, ranked), "", *_listed(plan, ranked)]
    if best["setting"] != BASELINE:
        lines += ["", "To make it the baseline of your config:", "", _config_lines(plan, best["setting"])]
    return "\n".join(lines)


def _difference(plan: Plan, name: str) -> str:
    found = [setting for setting in plan.track_settings if setting.label == name]
    if plan.tracking.prompts is not None or not found:
        return "objects from prompts have one setting"
    return differences(found[0], find(plan.track_settings, BASELINE, "tracking.sweep"))


def _how_sure(plan: Plan, ranked: Sequence[Row]) -> list[str]:
    """In how many resamplings of the videos no setting is better."""
    rows = read_table(plan.layout.tracked.accuracy, schema=ACCURACY).to_pylist()
    videos = sorted({row["video_key"] for row in rows if row["n_frames"]})
    if len(videos) < 2:
        return ["How sure: unknown, for there is one video."]
    names = [row["setting"] for row in ranked]
    sums, counts = (np.zeros((len(names), len(videos))) for _ in range(2))
    for row in rows:
        if row["n_frames"] and row["setting"] in names:
            place = names.index(row["setting"]), videos.index(row["video_key"])
            sums[place] += row["j_and_f"]
            counts[place] += 1
    means = _resampled(sums, counts)
    frac = float((means[0] >= means.max(axis=0)).mean())
    return [
        f"How sure: over {_N_RESAMPLINGS:,} resamplings of the {len(videos)} videos, no other setting's J&F is "
        f"higher in {share(frac, 0)}."
    ]


def _resampled(sums: NDArray[np.float64], counts: NDArray[np.float64]) -> NDArray[np.float64]:
    """Each setting's mean in each resampling, float64 (settings, resamplings)."""
    n_videos = sums.shape[1]
    draws = np.random.default_rng(_SEED).multinomial(n_videos, np.full(n_videos, 1 / n_videos), _N_RESAMPLINGS)
    return np.asarray((sums @ draws.T) / np.maximum(1, counts @ draws.T))


def _listed(plan: Plan, ranked: Sequence[Row]) -> list[str]:
    head = ["setting", *_MEASURES.values()]
    shown = ranked[:_MOST_SETTINGS]
    lines = table_lines([head, *([row["setting"], *(number(row[name], 3) for name in _MEASURES)] for row in shown)])
    words = ["", *(_difference(plan, row["setting"]) for row in shown)]
    width = max(map(len, lines))
    return ["All settings:"] + [
        f"  {line.ljust(width)}  {word}".rstrip() for line, word in zip(lines, words, strict=True)
    ]


def _config_lines(plan: Plan, name: str) -> str:
    """The config lines with the setting's values that are not the baseline's."""
    setting, baseline = (find(plan.track_settings, one, "tracking.sweep") for one in (name, BASELINE))
    automatic, generator = (
        _changed(setting.automatic, baseline.automatic),
        _changed(setting.generator, baseline.generator),
    )
    block: Row = {"tracking": {"automatic": automatic}} if automatic else {}
    block |= {"generator": generator} if generator else {}
    text: str = yaml.safe_dump(block, sort_keys=False, allow_unicode=True, default_flow_style=False)
    return text.rstrip()


def _changed(mine: Any, theirs: Any) -> Row:  # noqa: ANN401
    """The values of a section's model that differ."""
    before = values_of(theirs)
    return {name: value for name, value in values_of(mine).items() if value != before[name]}
