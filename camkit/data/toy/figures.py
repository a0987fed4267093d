"""The ten classes, in pairs that are hard to tell apart, and how each is drawn."""

from __future__ import annotations

import numpy as np

from camkit.data.toy.animals import bird, quadruped
from camkit.data.toy.boats import boat
from camkit.data.toy.shapes import Figure
from camkit.data.toy.vehicles import rail_vehicle, road_vehicle

TOY_CLASSES = ("lynx", "hound", "finch", "heron", "bus", "van", "train", "tram", "sloop", "dhow")
BOATS = (TOY_CLASSES.index("sloop"), TOY_CLASSES.index("dhow"))
RAILS_SHARE = {"train": 0.85, "tram": 0.15}


def draw_figure(rng: np.random.Generator, class_index: int) -> Figure:
    name = TOY_CLASSES[class_index]
    if name in ("lynx", "hound"):
        return quadruped(rng, name)
    if name in ("finch", "heron"):
        return bird(rng, name)
    if name in ("bus", "van"):
        return road_vehicle(rng, name)
    if name in RAILS_SHARE:
        return rail_vehicle(rng, name, rails=bool(rng.random() < RAILS_SHARE[name]))
    return boat(rng, name)
