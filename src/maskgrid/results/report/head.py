"""The top of the report: what was run, the results in a few figures, and which parameter matters most."""

from maskgrid.config.models import BASELINE, DEMO
from maskgrid.config.settings import differences, swept_parameters
from maskgrid.io.wording import count, interval, number, parameter, share, some
from maskgrid.pages.markup import NOTHING, Html, element, join, paragraph, section, text
from maskgrid.plan.plan import Plan
from maskgrid.results.explorer.page import toy_note
from maskgrid.results.exports.facts import source_name
from maskgrid.results.report.data import ReportData
from maskgrid.results.statistics.bootstrap import REPLICATES
from maskgrid.results.statistics.curves import Answered
from maskgrid.results.statistics.effects import is_full_grid
from maskgrid.results.statistics.moves import Move

# Fewer images than this may have an order of parameters of their own.
_FEW_IMAGES = 30
# A parameter that comes first in a smaller share of the resamples is not told apart from the next.
_SURE_FRAC = 0.95
_MOST_MOVES = 6
# Less is rounding.
_NOTHING = 1e-9


def title(plan: Plan) -> str:
    """The page's title: the dataset and the checkpoints."""
    return f"{source_name(plan)}, {_checkpoints(plan)}"


def _checkpoints(plan: Plan) -> str:
    """The checkpoints, without the folders of own weights, which are private."""
    names = dict.fromkeys(setting.checkpoint.rsplit("/", 1)[-1] for setting in plan.settings)
    return some(["demo network" if name == DEMO else name for name in names])


def head(data: ReportData) -> Html:
    """The title, what was run and when, and which parameter matters most."""
    about = [_checkpoints(data.plan), count(len(data.images.keys), "image"), count(len(data.results), "setting")]
    # When is not in the page: the same images and settings give the same bytes.
    line = element("p", {"class": "about"}, text(" · ".join(about)), element("span", {"id": "made"}))
    name = element("h1", {}, text(source_name(data.plan)))
    return element(
        "div",
        {"class": "head", "id": "top"},
        element("div", {}, name, line, toy_note(data.plan)),
        _most_important(data),
    )


def summary_section(data: ReportData) -> Html:
    """The results in a few figures and sentences."""
    words = [*_moves(data), *_sentences(data)]
    return section("summary", "Summary", _cards(data), *words)


def _cards(data: ReportData) -> Html:
    base, cards = data.baseline, []
    if base is not None:
        ends = interval(base.row["n_masks_low"], base.row["n_masks_high"])
        cards += [
            _card(number(base.n_masks), f"masks per image at the baseline; 95 % interval {ends}"),
            _card(share(base.coverage), "of an image covered by them"),
        ]
    if len(data.results) > 1:
        counts = [one.n_masks for one in data.results]
        cards.append(_card(interval(min(counts), max(counts)), "masks per image over all settings"))
    n_failed = data.failures.n_all
    failed = _card(f"{n_failed:,}", "inputs without masks" if n_failed != 1 else "input without masks")
    return element("div", {"class": "cards"}, *cards, element("a", {"href": "#failures"}, failed))


def _card(figure: str, name: str) -> Html:
    return element("div", {"class": "card"}, element("b", {}, text(figure)), element("span", {}, text(name)))


def _most_important(data: ReportData) -> Html:
    """Which parameter moves the count most, over which values, and how sure that is, in a sentence or two."""
    if not data.moves:
        return NOTHING
    first, *others = data.moves
    if first.range < _NOTHING:
        return _lead("", "None of the swept parameters changes the number of masks of these images.")
    verdict = f"{first.parameter} matters most" if others else f"{first.parameter} is the only parameter swept"
    words = (
        f": from {parameter(first.fewest_at)} to {parameter(first.most_at)} the mean count goes from "
        f"{number(first.fewest)} to {number(first.most)} masks per image."
    )
    return _lead(verdict, f"{words} {_how_sure(first, others, len(data.images.keys))}")


def _lead(verdict: str, words: str) -> Html:
    return element("p", {"class": "lead"}, element("b", {}, text(verdict)), text(words))


def _how_sure(first: Move, others: list[Move], n_images: int) -> str:
    """How sure it is that this parameter comes first, for these images and for others."""
    if n_images == 1:
        return "One image says nothing about others."
    few = "; other images may differ, as these are few" if n_images < _FEW_IMAGES else ""
    if not others:
        ends = interval(first.low, first.high)
        return f"The difference has a 95 % interval of {ends} over {n_images:,} images{few}."
    often = f"in {share(first.first_frac, 0)} of {REPLICATES:,} resamples of the {n_images:,} images"
    if first.first_frac >= _SURE_FRAC:
        return f"It moves the count further than any other {often}{few}."
    rival = max(others, key=lambda one: one.first_frac)
    return f"These images hardly tell it apart from {rival.parameter}: it comes first only {often}{few}."


def _moves(data: ReportData) -> list[Html]:
    """How far each parameter moves the count, and what that means."""
    if not data.moves:
        return []
    of_each = [f"{one.parameter} {number(one.range)} ({interval(one.low, one.high)})" for one in data.moves]
    mixed = "" if is_full_grid([one.setting for one in data.results]) else " The sweep is no full grid, so effects mix."
    return [
        paragraph(
            f"How far each parameter moves the mean count between its values of fewest and of most masks, a mean "
            f"over all else, with 95 % intervals over images: {some(of_each, _MOST_MOVES)}. Other values than those "
            f"tried may move it further.{mixed}"
        )
    ]


def _sentences(data: ReportData) -> list[Html]:
    swept = swept_parameters(data.plan.settings)
    if not swept:
        return [paragraph("There is one setting and no sweep.")]
    about = ", ".join(f"{name} ({count(len(values), 'value')})" for name, values in swept.items())
    sentences = [f"The sweep varies {about}."]
    if len(data.results) > 1:
        fewest, most = (pick(data.results, key=lambda one: one.n_masks) for pick in (min, max))
        sentences.append(f"Fewest masks: {_extreme(fewest, data)}. Most: {_extreme(most, data)}.")
    base = data.baseline
    if base is not None and base.setting.label != BASELINE:
        sentences.append(f"The baseline is {base.setting.label}.")
    return [element("p", {}, text(" ".join(sentences)), _recommend(data))]


def _recommend(data: ReportData) -> Html:
    if len(data.results) < 2:
        return NOTHING
    return join([text(" Which setting to take: "), element("code", {}, text("maskgrid recommend")), text(".")])


def _extreme(result: Answered, data: ReportData) -> str:
    return f"{number(result.n_masks)} at {differences(result.setting, data.plan.baseline)}"
