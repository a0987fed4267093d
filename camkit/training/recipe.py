"""Every number that shapes a training, and the recipes of the papers. Imports nothing heavy: help must be instant."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from camkit.errors import UsageError
from camkit.types import Pooling

if TYPE_CHECKING:
    from camkit.methods.icd import Form, Vote
    from camkit.models.icd import Structure
    from camkit.models.levels import Features

Optimiser = Literal["sgd", "adamw"]
Schedule = Literal["poly", "poly-epoch", "cosine", "constant"]
Range = tuple[float, float]


@dataclass(frozen=True)
class Augmentation:
    """How a photo is varied before the network sees it.

    resize      longer side every photo is brought to first; None: as it is, but at most LARGEST_SIDE
    scale_range random factor on that size
    long_side   random longer side in pixels, instead of the two above
    crop        side of a random square, filled with the mean colour where the photo is smaller; None: all of it
    jitter      brightness, contrast and saturation change by up to this share, hue by a third of it
    """

    resize: int | None = None
    scale_range: Range = (1.0, 1.0)
    long_side: tuple[int, int] | None = None
    crop: int | None = None
    flip: bool = True
    jitter: float = 0.0


@dataclass(frozen=True)
class Recipe:
    """Optimisation, and what is trained.

    rate         learning rate of the trunk; the new layers' is `head_factor` times that
    warmup       epochs in which the rate rises from 0
    power        of the poly schedule (1 − t)^power
    clip         largest norm of the gradient; None: any
    ema          decay of the moving average of the weights, which is then validated and saved; None: no average
    freeze_norm  batch norms keep their running statistics
    norm_learns  their scale and offset learn
    freeze       modules whose weights stay as they are
    """

    epochs: int = 15
    batch_size: int = 16
    optimiser: Optimiser = "sgd"
    rate: float = 0.01
    head_factor: float = 10.0
    momentum: float = 0.9
    weight_decay: float = 5e-4
    schedule: Schedule = "poly"
    power: float = 0.9
    warmup: float = 0.0
    clip: float | None = None
    ema: float | None = None
    pooling: Pooling = "average"
    freeze_norm: bool = False
    norm_learns: bool = True
    freeze: tuple[str, ...] = ()
    seed: int = 0
    augmentation: Augmentation = Augmentation()


@dataclass(frozen=True)
class IcdRecipe:
    """What ICD learns, and how. Defaults are the paper's.

    Its program has bottom_up_weight 10, superpixel_vote `sign` and ignore_band 0.2.

    features          that directions are learned in (Table 5)
    structure         of the top-down branch (Table 6)
    hidden            channels of its fc6 and fc7 (b, c); None: 1,024 for networks as wide as published
    bottom_up         form of that loss (Table 4)
    bottom_up_weight  of that loss
    superpixel_vote   how superpixels get their score
    ignore_band       scores below this share of the photo's largest teach the top-down branch nothing
    top_down_warmup   epochs in which the top-down loss comes to its full weight
    """

    features: Features = "conv5"
    structure: Structure = "c"
    hidden: int | None = None
    bottom_up: Form = "square"
    bottom_up_weight: float = 1.0
    superpixel_vote: Vote = "mean"
    ignore_band: float = 0.0
    top_down_warmup: float = 2.0

    def __post_init__(self) -> None:
        if not 0 <= self.ignore_band < 1:
            raise UsageError(f"--ignore-band {self.ignore_band:g}: give a share, 0 or more and below 1")
        if not (0 < self.bottom_up_weight < math.inf and 0 <= self.top_down_warmup < math.inf):
            raise UsageError(
                f"--bottom-up-weight {self.bottom_up_weight:g} --top-down-warmup {self.top_down_warmup:g}: "
                "give a weight above 0, and 0 or more epochs"
            )
        if self.hidden is not None and self.structure in ("a", "d"):
            raise UsageError(f"--hidden {self.hidden} has no effect on --structure {self.structure}: leave it out")


PRESETS: Mapping[str, Recipe] = {
    # from nothing: a small network on small photos
    "scratch": Recipe(
        epochs=30, batch_size=32, optimiser="adamw", rate=2e-3, head_factor=1.0, weight_decay=0.02,
        schedule="cosine", warmup=1.0,
        augmentation=Augmentation(resize=320, scale_range=(0.6, 1.4), crop=224, jitter=0.2),
    ),
    "finetune": Recipe(
        rate=0.01, freeze_norm=True, augmentation=Augmentation(scale_range=(0.5, 1.5), crop=321, jitter=0.3)
    ),
    # Both programs hand the weight decay to SGD a second time, as its momentum: they train without any to speak of.
    "psa": Recipe(
        epochs=15, batch_size=16, rate=0.1, momentum=5e-4, weight_decay=5e-4, freeze_norm=True, norm_learns=False,
        augmentation=Augmentation(long_side=(256, 512), crop=448, jitter=0.3),
    ),
    "irn": Recipe(
        epochs=5, batch_size=16, rate=0.1, momentum=1e-4, weight_decay=1e-4, freeze_norm=True,
        freeze=("conv1", "bn1"), augmentation=Augmentation(long_side=(320, 640), crop=512),
    ),
    # 20,000 steps of two photos; its first 30,000, with the trunk frozen, are a run of their own with --freeze
    "dcsm": Recipe(
        epochs=4, batch_size=2, rate=1e-5, head_factor=1.0, schedule="constant", pooling="maximum",
        augmentation=Augmentation(resize=500, scale_range=(0.7, 1.4)),
    ),
    "icd": Recipe(
        epochs=20, batch_size=32, rate=1e-3, schedule="poly-epoch",
        augmentation=Augmentation(scale_range=(0.5, 1.5), crop=321),
    ),
    # of affinities; `stem` stands for the trunk's first modules
    "affinitynet": Recipe(
        epochs=8, batch_size=8, rate=0.1, momentum=5e-4, weight_decay=5e-4, freeze_norm=True, norm_learns=False,
        freeze=("stem",), augmentation=Augmentation(crop=448, jitter=0.3),
    ),
    "boundary": Recipe(
        epochs=3, batch_size=32, rate=0.1, head_factor=1.0, momentum=1e-4, weight_decay=1e-4, freeze_norm=True,
        norm_learns=False, freeze=("trunk",), augmentation=Augmentation(scale_range=(0.5, 1.5), crop=512),
    ),
}  # fmt: skip


def preset(name: str) -> Recipe:
    if name not in PRESETS:
        raise UsageError(f"--preset {name} is not known; known are {', '.join(PRESETS)}")
    return PRESETS[name]


def check_recipe(recipe: Recipe) -> None:
    """UsageError for numbers that cannot work."""
    augmentation = recipe.augmentation
    low, high = augmentation.scale_range
    shortest, longest = augmentation.long_side or (1, 1)
    wrong = {
        f"--long-side {shortest},{longest}: give the smaller one first": not 0 < shortest <= longest,
        f"--scale-range {low:g},{high:g}: give a low and a high factor above 0, the low one first": not 0 < low <= high,
        f"--rate {recipe.rate:g}: give a number above 0": not recipe.rate > 0,
        f"--clip {recipe.clip}: give a norm above 0": recipe.clip is not None and not recipe.clip > 0,
        f"--ema {recipe.ema}: give a decay in (0, 1), such as 0.999": recipe.ema is not None and not 0 < recipe.ema < 1,
        "--scale-range and --long-side both set the photos' size: give one": augmentation.long_side is not None
        and augmentation.scale_range != (1.0, 1.0),
        "--resize and --long-side both set the photos' size: give one": augmentation.long_side is not None
        and augmentation.resize is not None,
    }
    for message, is_wrong in wrong.items():
        if is_wrong:
            raise UsageError(message)
