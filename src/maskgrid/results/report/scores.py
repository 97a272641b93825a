"""Sections of the report: scores, sizes and accuracy of masks."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from maskgrid.automatic.candidates import Candidates
from maskgrid.config.settings import swept_parameters
from maskgrid.io.wording import count, interval, number, share
from maskgrid.pages.markup import (
    NOTHING,
    Column,
    Html,
    Row,
    details,
    element,
    join,
    meanings,
    paragraph,
    section,
    table,
    text,
)
from maskgrid.plan.passes import passes_of
from maskgrid.results.advice.evidence import ranked_by
from maskgrid.results.advice.goals import Goal
from maskgrid.results.advice.steadiness import steadiness_of
from maskgrid.results.report import charts
from maskgrid.results.report.data import ReportData
from maskgrid.results.report.overview import legend, setting_name, shown_rows, stack
from maskgrid.results.report.samples import is_answered
from maskgrid.results.statistics.curves import Answered, not_dominated

_N_BINS = 50
_SIZES = (
    ("n_small_mean", "stability", "small (under 32 x 32 pixels)"),
    ("n_medium_mean", "nms", "medium (up to 96 x 96)"),
    ("n_large_mean", "kept", "large"),
)

# Column of the summary, heading, meaning.
_SHARES = (
    ("recall_50", "recall 0.5", "share of the objects that a mask of their own matches at IoU 0.5"),
    ("recall_75", "recall 0.75", "the same at IoU 0.75"),
    ("precision_50", "precision 0.5", "share of the masks that match an object at IoU 0.5"),
    ("ar_10", "AR@10", "recall averaged over IoU 0.5 to 0.95, of the 10 masks of best predicted IoU"),
    ("ar_100", "AR@100", "of the best 100"),
    ("ar_1000", "AR@1000", "of the best 1000"),
    ("ar_small", "AR small", "AR@1000 of objects up to 32 x 32 pixels"),
    ("ar_medium", "AR medium", "from there to 96 x 96 pixels"),
    ("ar_large", "AR large", "above"),
    ("best_iou_mean", "best IoU", "mean over objects of the IoU with the mask that fits best"),
)


def scores_section(data: ReportData) -> Html:
    """The distributions of the two scores, with the thresholds that the sweep tries."""
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
        Row.of(f"{edges[at]:.2f} to {edges[at + 1]:.2f}", f"{counts[at]}", share(shares[at], 2))
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
    """The sizes of the exported settings' masks."""
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
                setting_name(result, data),
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
        table("Masks per image by size", columns, rows),
    )


def accuracy_section(data: ReportData) -> Html:
    """How well settings find the annotated objects."""
    measured = [result for result in data.results if result.setting.id in data.accuracy]
    if not measured:
        return NOTHING
    first = data.accuracy[measured[0].setting.id]
    words = paragraph(
        f"Against {count(first['n_truth'], 'annotated object')} in {count(first['n_images'], 'image')}, whatever their "
        "categories, by COCO's rules. Masks of what nobody annotated lower the precision and are not wrong for that."
        + _which_images(first["n_images"], len(data.images.keys))
    )
    beside = element(
        "div", {"class": "beside"}, _chart(data, measured), element("div", {}, words, _best(data, measured))
    )
    return section("accuracy", "Against annotated objects", beside, _table(data))


def _which_images(n_annotated: int, n_images: int) -> str:
    if n_annotated == n_images:
        return ""
    return (
        f" Masks per image are those of these {n_annotated} images here, and of all {n_images} in the other tables and "
        "in what maskgrid recommend prints."
    )


def _best(data: ReportData, measured: list[Answered]) -> Html:
    """What ``recommend`` takes by each of two measures, with intervals."""
    steadiness = steadiness_of(data.results)
    sentences = []
    for goal, name, words in ((Goal("f1"), "f1_50", "F1 at IoU 0.5"), (Goal("recall"), "ar_1000", "average recall")):
        ranked = ranked_by(goal, measured, data.accuracy, steadiness)
        if not ranked:
            continue
        best = ranked[0]
        row = data.accuracy[best.setting.id]
        of_annotated, of_all = number(_masks_per_image(row)), number(best.n_masks)
        masks = (
            f"{of_annotated} masks per image" if of_annotated == of_all else f"{of_annotated} masks per annotated image"
        )
        over_all = "" if of_annotated == of_all else f", {of_all} over all images"
        sentences.append(
            element(
                "p",
                {},
                text(
                    f"Best {words}: {number(row[name], 3)} (95 % interval "
                    f"{interval(row[name + '_low'], row[name + '_high'], 3)}) at "
                ),
                setting_name(best, data),
                text(f", with {masks}{over_all}. How sure: "),
                element("code", {}, text(f"maskgrid recommend --{goal.name}")),
                text("."),
            )
        )
    return join(sentences)


def _masks_per_image(row: Mapping[str, Any]) -> float:
    return float(row["n_masks"] / row["n_images"])


def _chart(data: ReportData, measured: list[Answered]) -> Html:
    """Average recall against the number of masks."""
    rows = data.accuracy
    placed = [
        Answered(one.setting, {**one.row, "n_masks_mean": _masks_per_image(rows[one.setting.id])}) for one in measured
    ]
    best = not_dominated(placed, lambda one: float(rows[one.setting.id]["ar_1000"]))
    dots = [
        charts.SettingDot(
            one.setting,
            one.n_masks,
            100 * (recall := rows[one.setting.id]["ar_1000"]),
            f"{one.setting.label}: {number(one.n_masks)} masks, average recall {share(recall)}",
        )
        for one in placed
    ]
    chart = charts.settings_chart(
        dots,
        [one.setting.id for one in best],
        data.plan.baseline.id,
        ("masks per annotated image", "AR@1000, %"),
        "Average recall",
    )
    words = "On the line: no other setting finds as much with fewer masks, or more with as many."
    return element("figure", {}, element("div", {"class": "fitted"}, chart), element("figcaption", {}, text(words)))


def _table(data: ReportData) -> Html:
    columns = [
        Column("setting", False),
        Column("masks", hint="per annotated image"),
        Column("of all", hint="masks per image over all images"),
        Column("F1 0.5", hint="harmonic mean of recall and precision at IoU 0.5"),
        Column("95 % interval", hint="of F1, bootstrapped over images"),
        *(Column(title, hint=hint) for _, title, hint in _SHARES),
        Column("split", hint="over-segmentation: objects not found that consist of two masks or more"),
        Column("merged", hint="under-segmentation: masks without a match that consist of two objects or more"),
    ]
    rows = [_row(result, data) for result in shown_rows(data) if result.setting.id in data.accuracy]
    return join([meanings(columns), table("Settings against annotated objects", columns, rows, True)])


def _row(result: Answered, data: ReportData) -> Row:
    row = data.accuracy[result.setting.id]
    cells = [
        setting_name(result, data),
        text(number(_masks_per_image(row))),
        text(number(result.n_masks)),
        text(number(row["f1_50"], 3)),
        text(interval(row["f1_50_low"], row["f1_50_high"], 3)),
        *(text(number(row[name], 3)) for name, _, _ in _SHARES),
        text(row["n_over_segmented"]),
        text(row["n_under_segmented"]),
    ]
    return Row(cells, "baseline" if result.row["is_baseline"] else "")
