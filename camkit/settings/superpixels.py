"""How photos are cut into superpixels, and until when these are merged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from camkit.settings.option import check, option

Pairs = Literal["adjacent", "all"]
How = Literal["average", "vote"]

LARGEST = 1e9


@dataclass(frozen=True)
class Felzenszwalb:
    """How an image is cut up."""

    scale: float = option(100.0, "Larger gives fewer and larger superpixels.", low=0, high=LARGEST)
    sigma: float = option(0.8, "Of the Gaussian that smooths the photo first, in pixels.", low=0, high=100)
    min_size: int = option(20, "Smaller superpixels are joined to a neighbour.", low=1, high=int(LARGEST), metavar="PX")

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class Merging:
    """Until when superpixels are merged, and which: those that touch, or any two.

    most  so many remain, where there were more
    """

    most: int = option(
        64, "Merge until so many are left (ICD: {published}), the most alike to --ckpt and the smallest first.",
        low=1, flags=["--merge"], metavar="N",
    )  # fmt: skip
    pairs: Pairs = option(
        "adjacent", "Merge those that touch, or any two, as ICD's program does.", flags=["--merge-pairs"]
    )

    def __post_init__(self) -> None:
        check(self)


PRESETS = {"published": Merging()}
