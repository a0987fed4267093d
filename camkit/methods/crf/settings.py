"""What a CRF is told for each kind of input, and the numbers that the methods' papers and programs use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from math import inf
from typing import Any, Literal, get_args

from camkit.defaults import MASK_THRESHOLD
from camkit.errors import UsageError
from camkit.methods.crf.parameters import CrfParameters

Preset = Literal["psa", "irn", "dcsm", "icd"]
Unary = Literal["soft", "hard"]
Share = Literal["present", "all"]


@dataclass(frozen=True)
class CrfSettings:
    """A CRF's kernels, and how energies are made of what a store holds.

    unary       soft: −log of maps or probs; hard: of labels that are right with the probability `confidence`
    alpha       soft, of maps and of what is above 0 of signed scores: background is (1 − largest map)^alpha
    background  hard, of maps: below this a pixel is background
    share       hard: the rest of the confidence goes to the labels present in the image, or to all the store's
    """

    parameters: CrfParameters = field(default_factory=CrfParameters)
    unary: Unary = "soft"
    alpha: float = 4.0
    confidence: float = 0.7
    background: float = MASK_THRESHOLD
    share: Share = "present"


PRESETS: Mapping[Preset, CrfSettings] = {
    "psa": CrfSettings(),
    "irn": CrfSettings(CrfParameters(bilateral_sxy=50, bilateral_srgb=5), "hard"),
    "dcsm": CrfSettings(
        CrfParameters(gauss_compat=1, bilateral_sxy=30, bilateral_srgb=10, bilateral_compat=1), alpha=1
    ),
    "icd": CrfSettings(unary="hard", confidence=0.5, share="all"),
}

NO_CHANGES: Mapping[str, Any] = {}
ABOVE_ZERO = ("gauss_sxy", "bilateral_sxy", "bilateral_srgb", "alpha", "scale_factor")
FROM_ZERO = ("iterations", "gauss_compat", "bilateral_compat")


def settings_of(preset: Preset, changes: Mapping[str, Any] = NO_CHANGES) -> CrfSettings:
    """A preset with some of it changed, by the names of the fields of CrfSettings and CrfParameters.

    `scale_factor` among the changes: the photos are smaller by this factor than those the distances are meant for.
    """
    if preset not in PRESETS:
        raise UsageError(f"--preset {preset} is not known; known are {', '.join(get_args(Preset))}")
    _check_ranges(changes)
    changes = dict(changes)
    factor = changes.pop("scale_factor", 1.0)
    kernels = {name: changes.pop(name) for name in asdict(PRESETS[preset].parameters) if name in changes}
    parameters = replace(PRESETS[preset].parameters, **kernels).scaled(factor)
    return replace(PRESETS[preset], parameters=parameters, **changes)


def _check_ranges(changes: Mapping[str, Any]) -> None:
    for name, value in changes.items():
        option = f"--{name.replace('_', '-')} {value}"
        if name in ABOVE_ZERO and not 0 < value < inf:
            raise UsageError(f"{option}: give a number above 0")
        if name in FROM_ZERO and not 0 <= value < inf:
            raise UsageError(f"{option}: give 0 or more")
        if name == "confidence" and not 0 < value < 1:
            raise UsageError(f"{option}: give a probability between 0 and 1")
        if name == "background" and not 0 <= value <= 1:
            raise UsageError(f"{option}: give a value of maps, 0 to 1")
        if (name == "unary" and value not in get_args(Unary)) or (name == "share" and value not in get_args(Share)):
            raise UsageError(f"{option} is not known")
