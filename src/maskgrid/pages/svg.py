"""Charts as inline SVG: scales, axes and marks. They need no script and follow the page's colours."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from maskgrid.pages.markup import Html, element, join, text

_LEFT, _RIGHT, _TOP, _BOTTOM = 52.0, 14.0, 12.0, 42.0


@dataclass(frozen=True, slots=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    stop: float

    def at(self, value: float) -> float:
        """The position of a value, in pixels."""
        share = (value - self.low) / (self.high - self.low) if self.high > self.low else 0.5
        return self.start + share * (self.stop - self.start)

    def ticks(self, about: int = 5) -> list[float]:
        """Round values along the scale."""
        if self.high <= self.low:
            return [self.low]
        raw = (self.high - self.low) / about
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= raw * 0.999)
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [round(index * step, 10) for index in range(first, last + 1)]


@dataclass(frozen=True, slots=True)
class Frame:
    """The area of a chart with its two axes."""

    width: float
    height: float
    x: Scale
    y: Scale
    x_title: str
    y_title: str

    def draw(self, label: str, marks: Sequence[Html], x_ticks: Sequence[float] | None = None) -> Html:
        """Draw the chart with its axes; ``label`` describes it in words."""
        axes = [_y_tick(self, value) for value in self.y.ticks()]
        axes += [_x_tick(self, value) for value in (self.x.ticks() if x_ticks is None else x_ticks)]
        middle_y = (self.y.start + self.y.stop) / 2
        titles = [
            words((self.x.start + self.x.stop) / 2, self.height - 6, self.x_title, "axis middle"),
            element(
                "text",
                {"class": "axis middle", "transform": f"translate(13 {px(middle_y)}) rotate(-90)"},
                text(self.y_title),
            ),
        ]
        return picture(self.width, self.height, label, [*axes, *titles, *marks])


def frame(
    x_values: Sequence[float],
    y_values: Sequence[float],
    titles: tuple[str, str],
    size: tuple[float, float] = (480, 300),
) -> Frame:
    """A frame around values, with a margin; the y axis starts at 0 if that wastes little space."""
    width, height = size
    x_low, x_high = _roomy(min(x_values), max(x_values))
    y_low, y_high = _roomy(min(y_values), max(y_values))
    if min(y_values) >= 0 and min(y_values) < 0.6 * max(y_values):
        y_low = 0.0
    return Frame(
        width,
        height,
        Scale(x_low, x_high, _LEFT, width - _RIGHT),
        Scale(y_low, y_high, height - _BOTTOM, _TOP),
        *titles,
    )


def picture(width: float, height: float, label: str, marks: Sequence[Html]) -> Html:
    """An SVG image that screen readers read as a whole, by its label."""
    attributes = {
        "viewBox": f"0 0 {px(width)} {px(height)}",
        "width": px(width),
        "height": px(height),
        "role": "img",
        "aria-label": label,
    }
    return element("svg", attributes, *marks)


def words(x: float, y: float, content: str, kind: str) -> Html:
    """Text at a position."""
    return element("text", {"x": px(x), "y": px(y), "class": kind}, text(content))


def line(points: Sequence[tuple[float, float]], kind: str) -> Html:
    """A line through points."""
    return element("polyline", {"points": _points(points), "class": kind})


def area(upper: Sequence[tuple[float, float]], lower: Sequence[tuple[float, float]], kind: str) -> Html:
    """The area between two lines."""
    return element("polygon", {"points": _points([*upper, *reversed(lower)]), "class": kind})


def dot(x: float, y: float, radius: float, kind: str, title: str) -> Html:
    """A dot with a tooltip."""
    place = {"cx": px(x), "cy": px(y), "r": px(radius), "class": kind}
    return element("circle", place, element("title", {}, text(title)))


def box(x: float, y: float, width: float, height: float, kind: str, opacity: float, title: str) -> Html:
    """A filled rectangle with a tooltip."""
    place = {"x": px(x), "y": px(y), "width": px(max(width, 0.0)), "height": px(max(height, 0.0)), "class": kind}
    if opacity < 1:
        place["fill-opacity"] = f"{opacity:.3f}"
    return element("rect", place, element("title", {}, text(title)) if title else join([]))


def px(value: float) -> str:
    """A coordinate with at most one decimal: enough for any screen, and the same on every machine."""
    return f"{value:.1f}".removesuffix(".0")


def _points(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{px(x)},{px(y)}" for x, y in points)


def _roomy(low: float, high: float) -> tuple[float, float]:
    room = (high - low) * 0.05 or abs(high) * 0.1 or 0.5
    return low - room, high + room


def _y_tick(frame: Frame, value: float) -> Html:
    y = frame.y.at(value)
    grid = line([(frame.x.start, y), (frame.x.stop, y)], "grid")
    return join([grid, words(frame.x.start - 6, y + 4, f"{value:g}", "tick end")])


def _x_tick(frame: Frame, value: float) -> Html:
    x = frame.x.at(value)
    mark = line([(x, frame.y.start), (x, frame.y.start + 4)], "rule")
    return join([mark, words(x, frame.y.start + 17, f"{value:g}", "tick middle")])
