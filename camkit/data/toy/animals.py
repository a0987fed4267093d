"""Lynx and hound, finch and heron: the two of a pair share body, limbs and coats, and differ by the head."""

from __future__ import annotations

import numpy as np

from camkit.data.toy.shapes import (
    BODY,
    HEAD,
    LIMB,
    Coat,
    Colour,
    Figure,
    Piece,
    corners,
    curve,
    ellipse,
    hsv,
    mix,
    moved_pieces,
    smooth,
    stroke,
)

_DARK: Colour = (38, 32, 30)
_PALE: Colour = (238, 226, 206)
_HEAD_SIZE = {"lynx": 0.133, "hound": 0.153, "finch": 0.139, "heron": 0.172}


def quadruped(rng: np.random.Generator, name: str) -> Figure:
    coat = _fur(rng)
    length, depth, leg = rng.uniform(0.9, 1.1), rng.uniform(0.9, 1.12), rng.uniform(0.3, 0.4)
    torso = smooth(
        [(-0.5, -0.1), (-0.3, -0.2 * depth), (0, -0.16 * depth), (0.3, -0.21 * depth), (0.47, -0.1), (0.46, 0.1),
         (0.28, 0.21 * depth), (0, 0.16 * depth), (-0.25, 0.13), (-0.46, 0.14)]
    )  # fmt: skip
    torso[:, 0] *= length
    nape = (0.62 * length, -rng.uniform(0.22, 0.36))
    neck = stroke([(0.3 * length, -0.04), (0.45 * length, -0.12), nape], [0.34 * depth, 0.3, 0.2])
    legs = [_leg(rng, x * length, leg, near) for near in (False, True) for x in (-0.36, 0.34)]
    head = moved_pieces(_HEADS[name](coat), size=_HEAD_SIZE[name], turn=rng.uniform(-14, 14), by=nape)
    return Figure(
        (
            _tail(rng, -0.46 * length),
            *legs[0], *legs[1],
            Piece(torso, BODY), Piece(neck, BODY),
            *legs[2], *legs[3],
            *head,
        ),
        coat,
    )  # fmt: skip


def bird(rng: np.random.Generator, name: str) -> Figure:
    coat = _feathers(rng)
    plump, tilt = rng.uniform(0.9, 1.15), rng.uniform(-18, 8)
    body = smooth(
        [(0.36, -0.2), (0.42, 0.02 * plump), (0.2, 0.24 * plump), (-0.12, 0.22 * plump), (-0.45, 0.1), (-0.5, 0.02),
         (-0.2, -0.13 * plump), (0.12, -0.25)]
    )  # fmt: skip
    tail = smooth([(-0.36, 0.0), (-0.62, 0.0), (-0.88, 0.06), (-0.86, 0.15), (-0.6, 0.15), (-0.36, 0.12)])
    head = moved_pieces(_HEADS[name](coat), size=_HEAD_SIZE[name], turn=rng.uniform(-10, 10) - tilt, by=(0.34, -0.22))
    upper = [Piece(tail, LIMB, coat.second, 0.75, 0.6), Piece(body, BODY), *_wing(rng, coat), *head]
    return Figure((*_bird_legs(rng), *moved_pieces(upper, size=1, turn=tilt, by=(0, 0))), coat)


def _fur(rng: np.random.Generator) -> Coat:
    base = hsv(rng.uniform(0.04, 0.12), rng.uniform(0.15, 0.65), rng.uniform(0.4, 0.9))
    second = mix(base, _DARK if rng.random() < 0.7 else _PALE, rng.uniform(0.5, 0.8))
    pattern = str(rng.choice(["plain", "stripes", "spots", "patches"], p=[0.2, 0.3, 0.3, 0.2]))
    return Coat(base, second, pattern, float(rng.uniform(0.1, 0.18)), int(rng.integers(1 << 30)))


def _feathers(rng: np.random.Generator) -> Coat:
    base = hsv(rng.random(), rng.uniform(0.15, 0.6), rng.uniform(0.5, 0.95))
    second = mix(base, _DARK, rng.uniform(0.3, 0.65))
    pattern = str(rng.choice(["plain", "spots", "patches"], p=[0.5, 0.3, 0.2]))
    return Coat(base, second, pattern, float(rng.uniform(0.08, 0.14)), int(rng.integers(1 << 30)))


def _leg(rng: np.random.Generator, x: float, leg: float, near: bool) -> list[Piece]:
    swing = rng.uniform(-0.16, 0.16)
    x += 0.0 if near else 0.09
    foot = (x + swing, 0.12 + leg + (0.0 if near else -0.03))
    knee = (x + swing * 0.3 + 0.03, 0.14 + leg * 0.5)
    thigh = stroke([(x, 0.02), knee, foot], [0.2, 0.12, 0.085])
    shade = 0.95 if near else 0.62
    paw = ellipse(foot[0] + 0.03, foot[1] + 0.01, 0.075, 0.042)
    return [Piece(thigh, LIMB, None, shade), Piece(paw, LIMB, None, shade)]


def _tail(rng: np.random.Generator, x: float) -> Piece:
    up = rng.uniform(-0.35, 0.25)
    path = curve([(x, -0.06), (x - 0.15, -0.06 + up * 0.3), (x - rng.uniform(0.18, 0.36), up)])
    return Piece(stroke(path, np.linspace(0.11, 0.06, len(path))), LIMB, None, 0.85)


def _wing(rng: np.random.Generator, coat: Coat) -> list[Piece]:
    if rng.random() < 0.7:
        outline = smooth([(0.26, -0.1), (0.1, -0.14), (-0.25, -0.06), (-0.62, 0.1), (-0.3, 0.12), (0.05, 0.1)])
        feathers = stroke([(-0.02, 0.05), (-0.3, 0.06), (-0.55, 0.09)], [0.015, 0.02, 0.01])
    else:
        outline = smooth([(0.22, -0.08), (0.16, -0.4), (-0.12, -0.72), (-0.3, -0.66), (-0.26, -0.3), (-0.16, 0.0)])
        feathers = stroke([(-0.02, -0.1), (-0.1, -0.35), (-0.2, -0.6)], [0.015, 0.02, 0.01])
    return [Piece(outline, LIMB, coat.second, 1.0, 0.8), Piece(feathers, LIMB, coat.second, 0.7, 0)]


def _bird_legs(rng: np.random.Generator) -> list[Piece]:
    colour = hsv(rng.uniform(0.04, 0.13), 0.6, rng.uniform(0.45, 0.75))
    length, pieces = rng.uniform(0.3, 0.4), []
    for x, shade in ((0.06, 0.65), (-0.04, 1.0)):
        step = rng.uniform(-0.1, 0.1)
        foot = (x + step, 0.18 + length)
        pieces.append(
            Piece(
                stroke([(x, 0.1), (x + step * 0.2, 0.2 + length / 2), foot], [0.07, 0.045, 0.04]), LIMB, colour, shade
            )
        )
        toes = corners((foot[0] - 0.07, foot[1] + 0.02), (foot[0], foot[1] - 0.03), (foot[0] + 0.13, foot[1] + 0.02))
        pieces.append(Piece(toes, LIMB, colour, shade, 0))
    return pieces


def _lynx(coat: Coat) -> list[Piece]:
    """Seen from the front: pointed ears with tufts, white ruff. About 1 is the radius of the skull."""
    pieces = []
    for side in (-1, 1):
        ear = corners((side * 0.28, -0.75), (side * 0.95, -1.75), (side * 1.0, -0.4))
        inner = corners((side * 0.45, -0.8), (side * 0.88, -1.45), (side * 0.85, -0.6))
        tuft = corners((side * 0.8, -1.5), (side * 1.1, -2.15), (side * 0.97, -1.4))
        ruff = corners(
            (side * 0.6, -0.1), (side * 1.45, 0.35), (side * 1.15, 0.55), (side * 1.3, 0.95), (side * 0.3, 0.95)
        )
        pieces += [
            Piece(tuft, HEAD, _DARK, 1, 0), Piece(ear, HEAD, None, 0.95, 0.5),
            Piece(inner, HEAD, (206, 150, 136), 1, 0), Piece(ruff, HEAD, _PALE, 1, 0.5),
        ]  # fmt: skip
    pieces.append(Piece(ellipse(0, 0, 1.0, 0.92), HEAD, None, 1.08))
    pieces.append(Piece(ellipse(0, 0.5, 0.58, 0.42), HEAD, _PALE, 1, 0.6))
    for side in (-1, 1):
        pieces.append(Piece(ellipse(side * 0.42, -0.12, 0.22, 0.19), HEAD, (224, 190, 60), 1, 0))
        pieces.append(Piece(ellipse(side * 0.42, -0.12, 0.1, 0.18), HEAD, _DARK, 1, 0))
    pieces.append(Piece(corners((-0.22, 0.22), (0.22, 0.22), (0, 0.5)), HEAD, (160, 84, 78), 1, 0))
    return pieces


def _hound(coat: Coat) -> list[Piece]:
    """Seen from the side: long muzzle, hanging ear."""
    muzzle = smooth([(0.1, -0.5), (0.9, -0.2), (1.75, -0.05), (1.85, 0.3), (1.4, 0.55), (0.5, 0.7), (0, 0.5)])
    ear = smooth([(-0.5, -0.65), (-0.05, -0.6), (0.1, 0.1), (-0.05, 1.0), (-0.45, 1.2), (-0.8, 0.7), (-0.75, -0.1)])
    collar = stroke([(-1.0, 0.05), (-0.55, 0.75), (0.05, 0.95)], [0.26, 0.26, 0.26])
    return [
        Piece(collar, HEAD, (196, 44, 48), 1, 0.5),
        Piece(ellipse(0, 0, 0.92, 0.8), HEAD, None, 1.08),
        Piece(muzzle, HEAD, None, 1.12, 0.8),
        Piece(ellipse(1.72, 0.02, 0.26, 0.2), HEAD, _DARK, 1, 0.6),
        Piece(stroke([(1.7, 0.4), (1.1, 0.42), (0.7, 0.35)], [0.07, 0.08, 0.05]), HEAD, _DARK, 1, 0),
        Piece(ellipse(0.42, -0.22, 0.15, 0.16), HEAD, _DARK, 1, 0),
        Piece(ellipse(0.46, -0.27, 0.05, 0.05), HEAD, (250, 250, 250), 1, 0),
        Piece(ear, HEAD, mix(coat.base, _DARK, 0.6), 1, 0.9),
    ]


def _finch(coat: Coat) -> list[Piece]:
    """Round, with a dark cap and a thick beak."""
    cap = smooth([(-0.85, -0.35), (-0.5, -0.9), (0.1, -1.0), (0.7, -0.7), (0.85, -0.3), (0.2, -0.25)])
    beak = smooth([(0.72, -0.35), (1.2, -0.2), (1.65, 0.12), (1.2, 0.28), (0.75, 0.35)], 3)
    return [
        Piece(ellipse(0, 0, 1.0, 0.98), HEAD, None, 1.08),
        Piece(ellipse(0.25, 0.35, 0.55, 0.42), HEAD, (216, 92, 58), 1, 0.4),
        Piece(cap, HEAD, _DARK, 1.2, 0.6),
        Piece(beak, HEAD, (240, 170, 52), 1, 0.8),
        Piece(stroke([(1.5, 0.1), (1.1, 0.05), (0.75, 0.03)], [0.03, 0.06, 0.06]), HEAD, (140, 86, 30), 1, 0),
        Piece(ellipse(0.42, -0.12, 0.16, 0.16), HEAD, (20, 18, 18), 1, 0),
        Piece(ellipse(0.47, -0.17, 0.06, 0.06), HEAD, (250, 250, 250), 1, 0),
    ]


def _heron(coat: Coat) -> list[Piece]:
    """A bent neck, a dagger of a beak, a crest."""
    neck = curve([(-0.15, 0.3), (0.75, -0.5), (-0.45, -1.0), (0.2, -1.95)], 11)
    beak = corners((0.55, -2.2), (2.0, -1.82), (0.5, -1.78))
    crest = smooth([(0.3, -2.2), (-0.2, -2.2), (-0.95, -1.75), (-0.3, -1.95), (0.2, -1.95)])
    return [
        Piece(stroke(neck, np.linspace(0.85, 0.34, len(neck))), HEAD, None, 1.08),
        Piece(crest, HEAD, _DARK, 1.2, 0.3),
        Piece(ellipse(0.28, -2.0, 0.46, 0.3, 8), HEAD, _PALE, 1, 0.8),
        Piece(beak, HEAD, (236, 178, 66), 1, 0.5),
        Piece(stroke([(0.75, -2.06), (0.35, -2.12), (-0.1, -2.12)], [0.1, 0.14, 0.08]), HEAD, _DARK, 1, 0),
        Piece(ellipse(0.42, -2.03, 0.09, 0.09), HEAD, (250, 220, 60), 1, 0),
    ]


_HEADS = {"lynx": _lynx, "hound": _hound, "finch": _finch, "heron": _heron}
