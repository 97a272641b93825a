"""Made masklets and true objects, drawn by formulas: the same on every machine. Arrays are (frames, objects, H, W)."""

from dataclasses import dataclass

import numpy as np

SIZE_HW = (60, 80)


@dataclass(frozen=True)
class Case:
    """True objects, masklets, and pixels that do not count (frames, H, W), or None."""

    truth: np.ndarray
    masks: np.ndarray
    void: np.ndarray | None = None


def disc(y, x, radius, size_hw=SIZE_HW):
    rows, columns = np.ogrid[: size_hw[0], : size_hw[1]]
    return (rows - y) ** 2 + (columns - x) ** 2 <= radius**2


def nothing(size_hw=SIZE_HW):
    return np.zeros(size_hw, np.bool_)


def moving(n_frames, *tracks):
    """Stack discs (y, x, radius) that functions of the frame give; None for no pixel."""
    planes = [[nothing() if (at := track(t)) is None else disc(*at) for track in tracks] for t in range(n_frames)]
    return np.array(planes)


def _first(t):
    return 20 + t, 15 + 4 * t, 9


def _second(t):
    return None if 4 <= t < 6 else (40, 65 - 5 * t, 11)


def _third(t):
    return (10, 10 + 6 * t, 6) if t >= 5 else None


def _off(track, dy, dx, change=0):
    def moved(t):
        at = track(t)
        return at and (at[0] + dy, at[1] + dx, at[2] + change)

    return moved


def _swapped(t):
    return _first(t) if t < 6 else _second(t)


def _swapped_back(t):
    return _second(t) if t < 6 else _first(t)


def _cut(track, start, stop):
    return lambda t: track(t) if start <= t < stop else None


def _edges():
    """Masks at the edges of the image, a full one, and single pixels."""
    full, half, pixel, other = (nothing() for _ in range(4))
    full[:], half[:, :40], pixel[-1, -1], other[-2, -3] = True, True, True, True
    return Case(np.array([[full, pixel], [half, nothing()], [half, pixel]]), np.array([[half, other]] * 3))


def cases():
    truth = moving(10, _first, _second, _third)
    void = np.zeros((10, *SIZE_HW), np.bool_)
    void[:, 15:35, 20:40] = True
    long = (_off(_first, 1, -2, 1), _off(_second, 2, 3, -2), _off(_third, 0, 1), lambda t: (50, 70, 7))
    return {
        "the truth itself": Case(truth, truth),
        "shifted": Case(truth, moving(10, *(_off(track, 1, 2, 1) for track in (_first, _second, _third)))),
        "swapped": Case(truth, moving(10, _swapped, _swapped_back, _third)),
        "an extra masklet": Case(truth, moving(10, *long)),
        "fewer masklets than objects": Case(truth, moving(10, _off(_second, 0, 4))),
        "broken in two": Case(truth, moving(10, _cut(_first, 0, 5), _cut(_first, 5, 10), _off(_second, 3, 0))),
        "never there": Case(truth, moving(10, lambda t: None, lambda t: None, lambda t: None)),
        "void pixels": Case(truth & ~void[:, None], moving(10, *long), void),
        "at the edges": _edges(),
        "one object in two masklets": Case(truth[:, :1], moving(10, _off(_first, 3, 3), _off(_first, -2, 0, -3))),
    }
