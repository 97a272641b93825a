"""The parts of the report about scores and sizes of masks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from maskgrid import charts
from maskgrid.candidates import Candidates
from maskgrid.effects import swept_parameters
from maskgrid.markup import NOTHING, Column, Html, Row, details, element, paragraph, section, table, text
from maskgrid.passes import passes_of
from maskgrid.report_data import ReportData
from maskgrid.report_tables import legend, setting_name, stack
from maskgrid.samples import is_answered
from maskgrid.wording import count, number, share

_N_BINS = 50
_SIZES = (
    ("n_small_mean", "stability", "small (under 32 x 32 pixels)"),
    ("n_medium_mean", "nms", "medium (up to 96 x 96)"),
    ("n_large_mean", "kept", "large"),
)


def scores_section(data: ReportData) -> Html:
    """How the two scores are distributed, with the thresholds that the sweep tries."""
    parts = _baseline_candidates(data)
    iou = _join([part.proposed_iou for part in parts])
    stability = _join([_stability(data, part) for part in parts])
    if len(iou) == 0:
        return NOTHING
    words = paragraph(
        f"Over {count(len(data.samples), 'image')}, at the baseline's passes. Predicted IoU is that of all masks "
        "proposed; stability is that of the candidates recorded. Lines are the thresholds tried, the thick one the "
        "baseline's. A threshold in a steep part changes much when it moves a little."
    )
    figures = [
        _scores(data, "pred_iou_thresh", "predicted IoU", iou),
        _scores(data, "stability_score_thresh", "stability score", stability),
    ]
    return section("scores", "Scores", words, element("div", {"class": "figures"}, *figures))


def _baseline_candidates(data: ReportData) -> list[Candidates]:
    baseline = data.plan.baseline
    return [
        sample.replays[baseline.checkpoint].candidates[pass_.name]
        for sample in data.samples
        if is_answered(sample, baseline)
        for pass_ in passes_of(baseline.generator)
    ]


def _stability(data: ReportData, part: Candidates) -> NDArray[np.float32]:
    generator = data.plan.baseline.generator
    column = part.recording.stability_score_offsets.index(float(generator.stability_score_offset))
    at_level = part.rows.mask_threshold == generator.mask_threshold
    scores: NDArray[np.float32] = part.rows.stability_scores[at_level, column]
    return scores


def _join(scores: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    return np.concatenate([np.empty(0, np.float32), *scores])


def _scores(data: ReportData, threshold: str, title: str, scores: NDArray[np.float32]) -> Html:
    if len(scores) == 0:
        return NOTHING
    counts, edges = np.histogram(np.clip(scores, 0.0, 1.0), _N_BINS, (0.0, 1.0))
    shares = (counts / len(scores)).tolist()
    tried = [float(value) for value in swept_parameters(data.plan.settings).get(threshold, [])]
    baseline = float(getattr(data.plan.baseline.generator, threshold))
    rows = [
        Row([text(f"{edges[at]:.2f} to {edges[at + 1]:.2f}"), text(f"{counts[at]}"), text(share(shares[at], 2))])
        for at in range(_N_BINS)
    ]
    columns = [Column(title, False), Column("masks"), Column("share")]
    return element(
        "figure",
        {},
        charts.histogram(shares, tried, baseline, title),
        details("Numbers", table(f"Distribution of {title}", columns, rows)),
    )


def sizes_section(data: ReportData) -> Html:
    """How large the masks of the exported settings are."""
    exported = {data.plan.baseline.id, *(setting.id for setting in data.plan.exported())}
    shown = [result for result in data.results if result.setting.id in exported]
    most = max((result.n_masks for result in shown), default=0.0)
    if most == 0:
        return NOTHING
    columns = [Column("setting", False), Column("masks per image", False)]
    columns += [Column(name.split()[0]) for _, _, name in _SIZES]
    rows = [
        Row(
            [
                setting_name(result),
                stack([(kind, result.row[name] / most) for name, kind, _ in _SIZES]),
                *(text(number(result.row[name], 2)) for name, _, _ in _SIZES),
            ],
            "baseline" if result.row["is_baseline"] else "",
        )
        for result in shown
    ]
    words = paragraph(
        "Mean masks per image by area, for the exported settings; the table of settings has them for all."
    )
    return section(
        "sizes",
        "Sizes of masks",
        words,
        legend((kind, name) for _, kind, name in _SIZES),
        table("Sizes of masks", columns, rows),
    )
