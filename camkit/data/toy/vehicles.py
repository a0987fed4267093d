"""Bus and van, train and tram: the two of a pair share body, wheels and paint, and differ by the front."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from camkit.data.toy.shapes import (
    BODY,
    HEAD,
    LIMB,
    NO_PART,
    Coat,
    Colour,
    Figure,
    Piece,
    box,
    corners,
    ellipse,
    hsv,
    mix,
    smooth,
    stroke,
)

_DARK: Colour = (34, 34, 38)
_GLASS: Colour = (70, 92, 108)
_STEEL: Colour = (150, 152, 156)
_LAMP: Colour = (255, 240, 190)
_WHITE: Colour = (240, 240, 236)
_FRONT_LENGTH = {"bus": 0.68, "van": 0.6, "train": 0.68, "tram": 0.74}


def road_vehicle(rng: np.random.Generator, name: str) -> Figure:
    coat = _paint(rng)
    length, top = rng.uniform(0.92, 1.12), -rng.uniform(0.44, 0.52)
    rear, front = -0.7 * length, 0.36 * length
    body = [
        Piece(box(rear, top, front + 0.03, 0.1, 0.05), BODY, None, 1, 0.7),
        *_windows(rng, rear + 0.05, front - 0.02, top + 0.08, -0.16, int(rng.integers(3, 5))),
        Piece(box(rear - 0.02, 0.06, front + 0.03, 0.12, 0.02), BODY, mix(coat.base, _DARK, 0.7), 1, 0.3),
    ]
    wheels = [*_wheel(rng, rear + 0.22 * length, 0.11, 0.115), *_wheel(rng, front - 0.08, 0.11, 0.115)]
    return Figure((*body, *_front(name, coat, front, top), *wheels), coat)


def rail_vehicle(rng: np.random.Generator, name: str, *, rails: bool) -> Figure:
    coat = _paint(rng)
    length, top = rng.uniform(0.95, 1.1), -rng.uniform(0.36, 0.42)
    rear, front = -0.95 * length, 0.5 * length
    split = rear + (front - rear) * rng.uniform(0.4, 0.5)
    body = [
        Piece(box(split - 0.06, top + 0.05, split + 0.06, 0.06), BODY, _DARK, 1.3, 0.2),
        *_carriage(rng, rear, split - 0.03, top, coat),
        *_carriage(rng, split + 0.03, front + 0.04, top, coat),
    ]
    bogies = [
        *_bogie(rng, rear + 0.17), *_bogie(rng, split - 0.19), *_bogie(rng, split + 0.19), *_bogie(rng, front - 0.03),
    ]  # fmt: skip
    underlay = _track(rng) if rails else ()
    return Figure((*bogies, *body, *_front(name, coat, front, top)), coat, underlay)


def _paint(rng: np.random.Generator) -> Coat:
    base = hsv(rng.random(), rng.uniform(0.35, 0.85), rng.uniform(0.5, 0.92))
    if rng.random() < 0.2:
        base = hsv(rng.random(), rng.uniform(0, 0.12), rng.uniform(0.6, 0.95))
    second = _WHITE if rng.random() < 0.5 else hsv(rng.random(), rng.uniform(0.3, 0.9), rng.uniform(0.3, 0.95))
    pattern = str(rng.choice(["plain", "band", "halves"], p=[0.3, 0.35, 0.35]))
    return Coat(base, second, pattern, float(rng.uniform(0.07, 0.13)), int(rng.integers(1 << 30)), 0.01)


def _windows(rng: np.random.Generator, left: float, right: float, top: float, bottom: float, count: int) -> list[Piece]:
    glass = mix(_GLASS, hsv(rng.uniform(0.5, 0.62), 0.4, 0.8), rng.uniform(0, 0.6))
    pitch, pieces = (right - left) / count, []
    for n in range(count):
        x = left + n * pitch
        pane = box(x, top, x + pitch * 0.86, bottom, 0.02)
        glint = corners(
            (x + pitch * 0.2, top), (x + pitch * 0.45, top), (x + pitch * 0.25, bottom), (x + pitch * 0.02, bottom)
        )
        pieces += [Piece(pane, BODY, glass, 1, 0), Piece(glint, BODY, mix(glass, _WHITE, 0.45), 1, 0)]
    return pieces


def _wheel(rng: np.random.Generator, x: float, y: float, radius: float) -> list[Piece]:
    return [
        Piece(ellipse(x, y - 0.01, radius * 1.18, radius * 1.18), BODY, _DARK, 0.6, 0),
        Piece(ellipse(x, y, radius, radius), LIMB, _DARK, 1.2, 0.6),
        Piece(ellipse(x, y, radius * 0.52, radius * 0.52), LIMB, _STEEL, rng.uniform(0.9, 1.3), 0.8),
    ]


def _carriage(rng: np.random.Generator, left: float, right: float, top: float, coat: Coat) -> list[Piece]:
    door = left + (right - left) * rng.uniform(0.42, 0.55)
    count = int(rng.integers(2, 4))
    roof = box(left + 0.02, top - 0.03, right - 0.02, top + 0.04, 0.02)
    return [
        Piece(roof, BODY, _STEEL, 0.8, 0.3),
        Piece(box(left, top, right, 0.08, 0.035), BODY, None, 1, 0.7),
        *_windows(rng, left + 0.04, door - 0.05, top + 0.08, top + 0.22, count),
        *_windows(rng, door + 0.07, right - 0.04, top + 0.08, top + 0.22, count),
        Piece(box(door - 0.035, top + 0.06, door + 0.045, 0.07, 0.01), BODY, mix(coat.base, _DARK, 0.45), 1, 0.2),
    ]


def _bogie(rng: np.random.Generator, x: float) -> list[Piece]:
    frame = Piece(box(x - 0.16, 0.06, x + 0.16, 0.13, 0.02), LIMB, _DARK, 1.2, 0.3)
    wheels = []
    for dx in (-0.09, 0.09):
        wheels.append(Piece(ellipse(x + dx, 0.13, 0.07, 0.07), LIMB, _DARK, 1.4, 0.6))
        wheels.append(Piece(ellipse(x + dx, 0.13, 0.03, 0.03), LIMB, _STEEL, 1, 0))
    return [frame, *wheels]


def _track(rng: np.random.Generator) -> tuple[Piece, ...]:
    """Gravel, sleepers and two rails, far longer than any vehicle."""
    wood = hsv(rng.uniform(0.05, 0.1), rng.uniform(0.2, 0.45), rng.uniform(0.25, 0.4))
    gravel = hsv(0.09, rng.uniform(0, 0.15), rng.uniform(0.45, 0.6))
    sleepers = [
        Piece(corners((x, 0.165), (x + 0.09, 0.165), (x + 0.06, 0.275), (x - 0.05, 0.275)), NO_PART, wood, 1, 0.3)
        for x in np.arange(-3, 3, 0.19)
    ]
    return (
        Piece(corners((-4, 0.15), (4, 0.15), (4, 0.32), (-4, 0.32)), NO_PART, gravel, 1, 0),
        *sleepers,
        Piece(box(-4, 0.185, 4, 0.2), NO_PART, _STEEL, 0.9, 0),
        Piece(box(-4, 0.235, 4, 0.255), NO_PART, _STEEL, 1.2, 0),
    )


def _front(name: str, coat: Coat, x: float, top: float) -> list[Piece]:
    share = np.array([_FRONT_LENGTH[name], 1])
    return [replace(piece, outline=(piece.outline - (x, 0)) * share + (x, 0)) for piece in _FRONTS[name](coat, x, top)]


def _bus(coat: Coat, x: float, top: float) -> list[Piece]:
    """A flat front, all windscreen, below a lit destination board."""
    return [
        Piece(box(x - 0.06, top - 0.12, x + 0.2, top + 0.03, 0.03), HEAD, _DARK, 1, 0.3),
        Piece(box(x - 0.03, top - 0.095, x + 0.17, top - 0.015, 0.01), HEAD, (255, 176, 40), 1, 0),
        Piece(box(x + 0.01, top - 0.075, x + 0.06, top - 0.035), HEAD, _DARK, 1, 0),
        Piece(box(x + 0.08, top - 0.075, x + 0.13, top - 0.035), HEAD, _DARK, 1, 0),
        Piece(box(x, top, x + 0.2, 0.1, 0.04), HEAD, None, 1.05, 0.7),
        Piece(box(x + 0.04, top + 0.05, x + 0.2, -0.1, 0.02), HEAD, (46, 62, 76), 1, 0),
        Piece(corners((x + 0.1, top + 0.05), (x + 0.15, top + 0.05), (x + 0.1, -0.1), (x + 0.05, -0.1)), HEAD, _STEEL),
        Piece(ellipse(x + 0.16, 0.01, 0.034, 0.034), HEAD, _LAMP, 1, 0),
        Piece(box(x - 0.01, 0.06, x + 0.22, 0.12, 0.02), HEAD, _DARK, 1.3, 0.3),
    ]


def _van(coat: Coat, x: float, top: float) -> list[Piece]:
    """A raked windscreen above a bonnet; a ladder on a rack."""
    cab = corners(
        (x, top + 0.01), (x + 0.07, top + 0.03), (x + 0.2, -0.17), (x + 0.34, -0.12), (x + 0.36, 0.1), (x, 0.1)
    )
    pane = corners((x + 0.02, top + 0.06), (x + 0.06, top + 0.06), (x + 0.16, -0.15), (x + 0.02, -0.15))
    ladder = [
        Piece(box(x + dx, top - 0.1, x + dx + 0.022, top - 0.02), HEAD, (226, 196, 120), 1, 0)
        for dx in np.arange(-0.29, 0.06, 0.07)
    ]
    return [
        Piece(box(x - 0.22, top - 0.04, x - 0.19, top + 0.02), HEAD, _DARK, 1, 0),
        Piece(box(x - 0.02, top - 0.04, x + 0.01, top + 0.02), HEAD, _DARK, 1, 0),
        *ladder,
        Piece(box(x - 0.33, top - 0.11, x + 0.1, top - 0.085), HEAD, (226, 196, 120), 1, 0),
        Piece(box(x - 0.33, top - 0.045, x + 0.1, top - 0.02), HEAD, (206, 172, 96), 1, 0),
        Piece(cab, HEAD, None, 1.05, 0.7),
        Piece(pane, HEAD, (46, 62, 76), 1, 0),
        Piece(corners((x + 0.21, -0.15), (x + 0.33, -0.11), (x + 0.33, -0.09), (x + 0.2, -0.12)), HEAD, _WHITE, 1, 0),
        Piece(ellipse(x + 0.31, -0.045, 0.036, 0.036), HEAD, _LAMP, 1, 0),
        Piece(box(x - 0.01, 0.06, x + 0.38, 0.12, 0.02), HEAD, _DARK, 1.3, 0.3),
    ]


def _train(coat: Coat, x: float, top: float) -> list[Piece]:
    """An engine: boiler, chimney, round lamp, cow-catcher."""
    chimney = corners((x + 0.16, top + 0.1), (x + 0.13, top - 0.1), (x + 0.27, top - 0.1), (x + 0.24, top + 0.1))
    catcher = corners((x + 0.22, 0.02), (x + 0.3, 0.02), (x + 0.44, 0.18), (x + 0.16, 0.18))
    return [
        Piece(box(x, top - 0.05, x + 0.09, 0.08, 0.02), HEAD, None, 0.9, 0.6),
        Piece(box(x + 0.02, top + 0.04, x + 0.075, top + 0.15), HEAD, _LAMP, 0.95, 0),
        Piece(chimney, HEAD, _DARK, 1.2, 0.8),
        Piece(box(x + 0.11, top - 0.13, x + 0.29, top - 0.08, 0.01), HEAD, (190, 60, 40), 1, 0.4),
        Piece(box(x + 0.06, top + 0.08, x + 0.3, 0.05, 0.05), HEAD, _DARK, 1.7, 1),
        Piece(box(x + 0.13, top + 0.08, x + 0.155, 0.05), HEAD, (206, 164, 70), 1, 0),
        Piece(catcher, HEAD, (190, 60, 40), 1, 0.4),
        Piece(ellipse(x + 0.3, top + 0.2, 0.075, 0.085), HEAD, _STEEL, 1, 0.5),
        Piece(ellipse(x + 0.3, top + 0.2, 0.052, 0.06), HEAD, _LAMP, 1, 0),
    ]


def _tram(coat: Coat, x: float, top: float) -> list[Piece]:
    """A glass front; a pantograph on the roof."""
    cab = smooth([(x, top), (x + 0.16, top + 0.01), (x + 0.24, top + 0.2), (x + 0.25, 0.06), (x, 0.08), (x, -0.1)], 4)
    pane = corners((x + 0.05, top + 0.06), (x + 0.16, top + 0.06), (x + 0.225, -0.09), (x + 0.05, -0.09))
    low, knee, high = (x - 0.06, top - 0.02), (x - 0.26, top - 0.13), (x - 0.06, top - 0.24)
    return [
        Piece(box(x - 0.16, top - 0.05, x + 0.06, top + 0.01, 0.01), HEAD, (170, 60, 50), 1, 0.3),
        Piece(stroke([low, ((low[0] + knee[0]) / 2, (low[1] + knee[1]) / 2), knee], [0.04] * 3), HEAD, _DARK, 1, 0),
        Piece(stroke([knee, ((high[0] + knee[0]) / 2, (high[1] + knee[1]) / 2), high], [0.04] * 3), HEAD, _DARK, 1, 0),
        Piece(box(x - 0.2, top - 0.275, x + 0.09, top - 0.235, 0.015), HEAD, _DARK, 1, 0),
        Piece(cab, HEAD, None, 1.05, 0.7),
        Piece(pane, HEAD, (46, 62, 76), 1, 0),
        Piece(
            corners((x + 0.1, top + 0.06), (x + 0.14, top + 0.06), (x + 0.1, -0.09), (x + 0.06, -0.09)), HEAD, _STEEL
        ),
        Piece(ellipse(x + 0.2, -0.02, 0.03, 0.03), HEAD, _LAMP, 1, 0),
        Piece(box(x + 0.05, top + 0.01, x + 0.15, top + 0.045), HEAD, (255, 176, 40), 1, 0),
    ]


_FRONTS: dict[str, Callable[[Coat, float, float], list[Piece]]] = {
    "bus": _bus,
    "van": _van,
    "train": _train,
    "tram": _tram,
}
