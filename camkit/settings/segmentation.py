"""What a segmentation network learns from pseudo masks, and how its program shows it photos afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from camkit.defaults import MASK_THRESHOLD
from camkit.errors import UsageError
from camkit.settings.crf import CrfParameters
from camkit.settings.option import check, option

ALPHA = 0.08
Preset = Literal["light", "deeplabv2", "largefov", "upernet-swin", "resnet38"]
"""Their recipes stand beside all others, under the same names."""
Bright = Literal["background", "foreground"]
Fusion = Literal["mean", "max-logits", "max"]
"""Of scales and mirror images: the mean of probabilities, or the largest logits or probabilities."""

Resizing = Literal["pillow", "bilinear", "factor", "corners"]
"""How photos are brought to a scale. pillow: as everywhere in camkit. The others are bilinear, without a filter:
DeepLab v2's as when its figures were published, the same with the torch of today, which divides coordinates by the
scale itself rather than by the ratio of sizes, and ResNet38's, corner to corner."""

ARCHITECTURES: Mapping[Preset, str] = {
    "light": "light",
    "deeplabv2": "deeplabv2-resnet101",
    "largefov": "largefov-vgg16",
    "upernet-swin": "upernet-swin-t",
    "resnet38": "resnet38",
}


@dataclass(frozen=True)
class Teaching:
    """How pseudo masks teach. Without saliency all options about it have no effect, and are refused."""

    threshold: float | None = option(
        None,
        "Of a maps store: a pixel belongs to the class with the largest map where that is above. Default: {usual}.",
        low=0.0, high=1.0, facts={"usual": MASK_THRESHOLD},
    )  # fmt: skip
    soft: bool = option(False, "Of a probs store: learn probabilities, not the most probable class.", flags=["--soft"])
    balanced: bool = option(
        False, "Cross entropy counts the background half, and all objects together the other half.",
        flags=["--balanced"],
    )  # fmt: skip
    saliency_is: Bright = option("foreground", "What is bright in the saliency maps.")
    alpha: float = option(
        ALPHA, "Of saliency's loss, whose weight grows with how well saliency fits the labels. {default}.",
        low=0.0,
    )  # fmt: skip
    saliency_weight: float | None = option(None, "This weight instead, whether saliency fits or not.", low=0.0)
    saliency_hard: bool = option(
        False, "No loss of its own: what is not salient is background in the labels.", flags=["--saliency-hard"]
    )

    def __post_init__(self) -> None:
        check(self)
        if self.soft and self.balanced:
            raise UsageError("--balanced goes by the labels, which --soft has none of: give one of the two")
        if self.soft and self.saliency_hard:
            raise UsageError("--saliency-hard changes labels, which --soft has none of: give one of the two")
        if self.saliency_weight is not None and self.saliency_hard:
            raise UsageError("--saliency-weight has no effect with --saliency-hard: give one of the two")

    def check_saliency(self, *, given: bool, changes: Mapping[str, object]) -> None:
        """UsageError for what has no effect without saliency maps."""
        about = ("saliency_is", "alpha", "saliency_weight", "saliency_hard")
        for name in about:
            if name in changes and not given:
                raise UsageError(f"--{name.replace('_', '-')} has no effect without --saliency FOLDER")


@dataclass(frozen=True)
class Looking:
    """How photos are looked at: at which scales, and what becomes of what is seen."""

    scales: tuple[float, ...] = option((1.0,), "Scales of the photo: {presets}.", low=0.01, high=16, metavar="S,S,…")
    flip: bool = option(False, "Also see every photo mirrored: {presets}.", flags=["--flip/--no-flip"])
    fusion: Fusion = option(
        "mean", "Of scales: the mean of probabilities, or the largest logits or probabilities: {presets}."
    )
    resizing: Resizing = "pillow"
    crf: CrfParameters = field(default_factory=CrfParameters)

    def __post_init__(self) -> None:
        check(self)


SIX = (0.5, 0.75, 1.0, 1.25, 1.5, 1.75)
LOOKING: Mapping[Preset, Looking] = {
    "light": Looking(
        (0.75, 1.0, 1.25), flip=True,
        crf=CrfParameters(gauss_sxy=1, bilateral_sxy=67, bilateral_srgb=3, bilateral_compat=4),
    ),
    "deeplabv2": Looking(
        (1.0, 0.75, 0.5), fusion="max-logits", resizing="bilinear",
        crf=CrfParameters(gauss_sxy=1, bilateral_sxy=67, bilateral_srgb=3, bilateral_compat=4),
    ),
    "largefov": Looking(
        SIX, flip=True, crf=CrfParameters(bilateral_sxy=121, bilateral_srgb=5, bilateral_compat=4)
    ),
    "upernet-swin": Looking(SIX, flip=True),
    "resnet38": Looking(
        (0.5, 0.75, 1.0, 1.25, 1.5), fusion="max", resizing="corners",
        crf=CrfParameters(gauss_sxy=4, bilateral_sxy=83, bilateral_srgb=5, bilateral_compat=3),
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Tiles:
    """Of photos that are too large to be seen at once."""

    tile: int = option(
        1024, "A photo with a longer side, as it is seen, is cut into squares of so many pixels.",
        low=64, high=16_384, metavar="PX",
    )  # fmt: skip
    overlap: int = option(128, "So much is seen around each square besides.", low=0, high=4096, metavar="PX")

    def __post_init__(self) -> None:
        check(self)
