"""The two types that travel through camkit: a `Record` goes into a step, an `Activation` comes out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Size = tuple[int, int]
"""Height and width, in this order, in pixels."""



def no_classes() -> np.ndarray:
    """The classes of an activation that has none, or that is about all classes at once."""
    return np.empty(0, dtype=np.int64)


@dataclass(frozen=True, eq=False, slots=True)
class Activation:
    """What a stage found in one image; the store it lies in says which kind it is (maps, probs, scores, masks …).

    values   maps, signed: [C_i, h, w]; probs: [1 + C_i, h, w], background first; scores: [num_classes]; masks: [H, W]
    classes  [C_i] int64, ascending: the foreground class each map belongs to (empty for scores and masks)
    size     (H, W) of the photo
    notes    what a method wants remembered (rounds run, centres …); anything JSON can hold
    """

    id: str
    values: np.ndarray
    classes: np.ndarray
    size: Size
    notes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, slots=True)
class Record:
    """One image on its way into a step. A field is None when the stage did not ask for it.

    size      (H, W) of the photo, upright
    image     [h, w, 3] uint8 RGB, at the size the network is to see
    classes   [C_i] int64, ascending: classes present according to the labels; None: the labels do not say
    upstream  the activation of the same image in the input store
    truth     [H, W] the ground truth mask: 0 background, class + 1, 255 to be ignored
    """

    id: str
    size: Size
    image: np.ndarray | None = None
    classes: np.ndarray | None = None
    upstream: Activation | None = None
    truth: np.ndarray | None = None
