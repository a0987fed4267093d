"""Where everything in a scene stands: objects, what hides parts of them, and what is merely there."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from camkit.data.toy import props
from camkit.data.toy.backdrop import Setting, choose_setting
from camkit.data.toy.figures import BOATS, TOY_CLASSES, draw_figure
from camkit.data.toy.paint import Placed, place
from camkit.data.toy.shapes import HEAD, Figure, Piece, part_areas
from camkit.types import Size

SHORT_SIDE, LONG_SIDE = 128, 224
HIDDEN_HEADS = 0.06
_OCCLUDED = 0.28
_CUT = 0.12
_DRAUGHT = 0.05


@dataclass(frozen=True)
class Cast:
    """What a scene is about: it stays when a layout has to be tried again."""

    size: Size
    classes: tuple[int, ...]
    hidden: tuple[bool, ...]


@dataclass(frozen=True, eq=False)
class Layout:
    """placed: the farthest first; areas: [objects, 3] pixels of head, body and limbs, were nothing hidden."""

    size: Size
    setting: Setting
    placed: tuple[Placed, ...]
    areas: np.ndarray
    hidden: tuple[bool, ...]


def choose_cast(seed: int, index: int) -> Cast:
    """The first classes of every ten scenes are all ten, in random order; further objects are any."""
    rng = np.random.default_rng([seed, index, 0])
    tens = np.random.default_rng([seed, index // len(TOY_CLASSES), 1]).permutation(len(TOY_CLASSES))
    classes = [int(tens[index % len(TOY_CLASSES)])]
    for _ in range(int(rng.choice(3, p=[0.6, 0.3, 0.1]))):
        again = rng.random() < 0.15
        others = [c for c in range(len(TOY_CLASSES)) if c not in classes]
        classes.append(classes[0] if again else int(rng.choice(others)))
    hidden = tuple(bool(rng.random() < HIDDEN_HEADS) for _ in classes)
    return Cast(_choose_size(rng), tuple(classes), hidden)


def _choose_size(rng: np.random.Generator) -> Size:
    long, short = int(rng.integers(160, LONG_SIDE + 1)), int(rng.integers(SHORT_SIDE, 168))
    shape = rng.random()
    if shape < 0.25:
        return short, short
    short = min(short, long)
    return (short, long) if shape < 0.7 else (long, short)


def lay_out(rng: np.random.Generator, cast: Cast) -> Layout:
    boats, land = any(c in BOATS for c in cast.classes), any(c not in BOATS for c in cast.classes)
    setting = choose_setting(rng, cast.size, boats=boats, land=land)
    slots = rng.permutation(len(cast.classes))
    objects, areas = [], []
    for number, class_index in enumerate(cast.classes, start=1):
        slot = (int(slots[number - 1]), len(slots))
        figure = draw_figure(rng, class_index)
        area = np.array(part_areas(figure))
        size = _object_size(rng, figure, float(area.sum()), cast.size, slot[1])
        placed = _put(rng, figure, size, cast.size, setting, slot, afloat=class_index in BOATS)
        objects.append(replace(placed, number=number, class_index=class_index, floats=class_index in BOATS))
        areas.append(area * size**2)
    objects_and_covers = []
    for placed in sorted(objects, key=lambda p: p.floor):
        objects_and_covers += [placed, *_covers(rng, placed, cast.hidden[placed.number - 1], setting, cast.size)]
    scenery = _scenery(rng, setting, cast.size)
    return Layout(cast.size, setting, (*scenery, *objects_and_covers), np.array(areas), cast.hidden)


def _object_size(rng: np.random.Generator, figure: Figure, area: float, size: Size, objects: int) -> float:
    """Pixels per unit: objects cover about 6 to 45 % of the scene, but are not much larger than it."""
    largest = {1: 0.5, 2: 0.25, 3: 0.16}[objects]
    share = float(np.exp(rng.uniform(np.log(0.085), np.log(largest))))
    points = np.concatenate([piece.outline for piece in figure.pieces])
    width, height = points.max(axis=0) - points.min(axis=0)
    room = 1.02 if objects == 1 else 0.8
    fitting = min(room * size[1] / width, 0.92 * size[0] / height)
    return float(min(np.sqrt(share * size[0] * size[1] / area), fitting))


def _put(
    rng: np.random.Generator,
    figure: Figure,
    size: float,
    scene: Size,
    setting: Setting,
    slot: tuple[int, int],
    *,
    afloat: bool,
) -> Placed:
    height, width = scene
    points = np.concatenate([piece.outline for piece in figure.pieces]) * size
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    turn = float(np.clip(rng.normal(0, 4 if afloat else 5), -15, 15))
    mirrored = bool(rng.random() < 0.5)
    middle = (slot[0] + rng.uniform(0.3, 0.7)) / slot[1] * width
    half = (right - left) / 2
    if slot[1] == 1 and 2 * half < width:
        middle = rng.uniform(half, width - half)
    if rng.random() < _CUT:
        middle = rng.choice([0.0, float(width)]) + rng.choice([-1, 1]) * half * rng.uniform(0.3, 0.8)
    else:
        middle = float(np.clip(middle, min(half, width / 2), max(width - half, width / 2)))
    first, last = (
        (setting.horizon, min(setting.shore, height)) if afloat else (max(setting.shore, setting.horizon), height)
    )
    lowest = max(first + 0.25 * (last - first), (bottom - top) + 0.01 * height)
    highest = last - 0.02 * height
    floor = rng.uniform(min(lowest, highest), highest)
    centre = (left + right) / 2 * (-1 if mirrored else 1)
    return place(figure, (middle - centre, floor), size, turn, mirrored, _DRAUGHT if afloat else 0.0)


def _covers(rng: np.random.Generator, placed: Placed, hide_head: bool, setting: Setting, scene: Size) -> list[Placed]:
    """What lies before an object: over its head if that is to be hidden, else perhaps over another part; water."""
    wave = [_wave(placed, setting)] if placed.floats else []
    if hide_head:
        head = np.concatenate([piece.outline for piece in placed.figure.pieces if piece.part == HEAD])
        return [*wave, _cover_of(rng, head, placed.floor, afloat=placed.floats, whole=True)]
    if rng.random() >= _OCCLUDED:
        return wave
    others = [piece for piece in placed.figure.pieces if piece.part != HEAD]
    piece = others[int(rng.integers(len(others)))]
    if rng.random() < 0.5:
        return [*wave, _cover_of(rng, _shrunk(piece, 0.7), placed.floor, afloat=placed.floats, whole=False)]
    foot = (float(piece.outline[:, 0].mean()), placed.floor + 0.02 * scene[0])
    maker = props.tuft if placed.floats or rng.random() < 0.5 else props.bush
    return [*wave, place(maker(rng), foot, placed.size * rng.uniform(0.35, 0.6), 0, False)]


def _wave(placed: Placed, setting: Setting) -> Placed:
    low = np.concatenate([piece.outline for piece in placed.figure.pieces])
    low = low[low[:, 1] > placed.floor - 0.15 * placed.size]
    left, right = low[:, 0].min(), low[:, 0].max()
    foot = (float(left + right) / 2, placed.floor + 0.01 * placed.size)
    return place(props.wave(setting.water), foot, float(right - left), placed.turn / 2, False)


def _shrunk(piece: Piece, share: float) -> np.ndarray:
    centre = piece.outline.mean(axis=0)
    return np.asarray(centre + (piece.outline - centre) * share)


def _cover_of(rng: np.random.Generator, points: np.ndarray, floor: float, *, afloat: bool, whole: bool) -> Placed:
    """A post or a bush over all of the points (`whole`) or through the midst of them."""
    (left, top), (right, bottom) = points.min(axis=0), points.max(axis=0)
    wide, middle = right - left, (left + right) / 2
    foot = max(floor, bottom) + 2
    if whole and not afloat and rng.random() < 0.6:
        width, height = 1.45 * wide, 1.35 * (foot - top)
        return place(props.bush(rng, 1.0, height / width), (middle, foot + 0.1 * height), width, 0, False)
    width = 1.06 * wide if whole else float(np.clip(0.3 * wide, 3, 12))
    height = foot - top + rng.uniform(0.3, 2) * wide
    return place(props.post(rng, 1.0, height / width), (middle, foot), width, 0, False)


def _scenery(rng: np.random.Generator, setting: Setting, scene: Size) -> list[Placed]:
    """Trees on the horizon, and things lying about; the farthest first."""
    height, width = scene
    ground = max(setting.shore, setting.horizon, 0)
    found: list[Placed] = []
    if setting.horizon > 0 and setting.shore <= setting.horizon:
        for _ in range(int(rng.integers(0, 4))):
            foot = (rng.uniform(0, width), setting.horizon + rng.uniform(0, 0.06) * height)
            found.append(place(props.tree(rng), foot, height * rng.uniform(0.07, 0.2), 0, False))
    if ground >= height:
        return found
    makers = (props.rock, props.ball, props.crate, props.bush, props.tuft)
    for _ in range(int(rng.integers(0, 4))):
        maker = makers[int(rng.choice(len(makers), p=[0.3, 0.2, 0.15, 0.15, 0.2]))]
        depth = rng.uniform(0.1, 1)
        foot = (rng.uniform(0, width), ground + depth * (height - ground))
        found.append(
            place(maker(rng), foot, height * (0.05 + 0.11 * depth) * rng.uniform(0.7, 1.2), rng.uniform(-6, 6), False)
        )
    return sorted(found, key=lambda p: p.floor)
