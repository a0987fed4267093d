"""A dense CRF's numbers, as the methods' papers and programs have them, and what its energies are made of."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal, Self

from camkit.defaults import MASK_THRESHOLD
from camkit.settings.option import NO_CHANGES, changed, check, option, preset_of

Preset = Literal["psa", "irn", "dcsm", "icd"]
Unary = Literal["soft", "hard"]
Share = Literal["present", "all"]
Engine = Literal["native", "pydensecrf"]


@dataclass(frozen=True)
class CrfParameters:
    """Rounds of mean field, and two kernels: of position alone, and of position and colour.

    sxy, srgb  standard deviations, in pixels and in levels of 0 … 255
    compat     what two pixels with unlike labels cost, at most
    """

    iterations: int = option(10, "Of mean field. {default}.", low=0, metavar="N")
    gauss_sxy: float = option(3.0, "How far neighbours reach. {default}.", low=0, outside="low", metavar="PX")
    gauss_compat: float = option(3.0, "What their unlike labels cost. {default}.", low=0)
    bilateral_sxy: float = option(
        80.0, "How far pixels of like colour reach. {default}.", low=0, outside="low", metavar="PX"
    )
    bilateral_srgb: float = option(
        13.0, "How unlike their colours may be, of 0 … 255. {default}.", low=0, outside="low", metavar="LEVELS"
    )
    bilateral_compat: float = option(10.0, "What their unlike labels cost. {default}.", low=0)

    def __post_init__(self) -> None:
        check(self)

    def scaled(self, factor: float) -> Self:
        """For an image that is smaller by this factor than the one the distances are meant for."""
        return replace(self, gauss_sxy=self.gauss_sxy / factor, bilateral_sxy=self.bilateral_sxy / factor)


@dataclass(frozen=True)
class Scale:
    """Asked for, and kept as the distances that it divides."""

    scale_factor: float = option(
        1.0, "Photos are smaller by this factor than what the distances are meant for: divides both.",
        low=0, outside="low",
    )  # fmt: skip

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True)
class CrfSettings:
    """A CRF's kernels, and how energies are made of what a store holds.

    alpha  of signed scores it is about what is above 0
    """

    parameters: CrfParameters = field(default_factory=CrfParameters)
    unary: Unary = option(
        "soft",
        "soft: -log of maps, positive scores or probabilities. hard: of the labels they give, or of masks, which may "
        "be wrong.",
    )
    alpha: float = option(
        4.0, "Soft, of maps: background is (1 - largest map)^ALPHA. {default}; a larger one widens objects.",
        low=0, outside="low",
    )  # fmt: skip
    confidence: float = option(
        0.7, "Hard: how probable it is that a label is right. {default}.",
        low=0, high=1, outside="both", what="a probability",
    )  # fmt: skip
    background: float = option(
        MASK_THRESHOLD, "Hard, of maps: a pixel is background unless a map is above. {default}.", low=0, high=1
    )
    share: Share = option(
        "present",
        "Hard: the rest of the confidence goes to the labels present in the image, or (icd) to all there are.",
    )

    def __post_init__(self) -> None:
        check(self)


PRESETS: Mapping[Preset, CrfSettings] = {
    "psa": CrfSettings(),
    "irn": CrfSettings(CrfParameters(bilateral_sxy=50, bilateral_srgb=5), "hard"),
    "dcsm": CrfSettings(
        CrfParameters(gauss_compat=1, bilateral_sxy=30, bilateral_srgb=10, bilateral_compat=1), alpha=1
    ),
    "icd": CrfSettings(unary="hard", confidence=0.5, share="all"),
}


def settings_of(preset: Preset = "psa", changes: Mapping[str, Any] = NO_CHANGES) -> CrfSettings:
    """A preset with some of it changed, by the names of the fields of CrfSettings and CrfParameters.

    `scale_factor` among the changes: the photos are smaller by this factor than those the distances are meant for.
    """
    known = preset_of(PRESETS, preset)
    parameters = changed(known.parameters, changes, CrfSettings, Scale)
    scale = changed(Scale(), changes, CrfSettings, CrfParameters)
    settings = changed(known, changes, CrfParameters, Scale)
    return replace(settings, parameters=parameters.scaled(scale.scale_factor))
