"""DCSM's numbers: METHODS.md's section on it, and the paper's section 3.3 and 4."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from camkit.errors import UsageError
from camkit.settings.option import NO_CHANGES, changed, check, option, preset_of

Backprop = Literal["guided", "plain", "input"]

INPUT_SIZE = 500
"""Longer side of the photo where neither the user nor the checkpoint says: the paper's."""


@dataclass(frozen=True)
class DcsmSettings:
    """What is made of gradients, and at which scales of the photo.

    layers    None: the network's `gradient_layers`; "input": the photo. Of a convolution: behind its batch norm
    backprop  guided: only positive gradients pass a ReLU; plain; or input: Simonyan's baseline, plain and of the photo
    """

    layers: tuple[str, ...] | None = option(
        None,
        "Whose gradients count: of those that camkit info --layers CKPT lists, or parts of them (layer3.0.conv1), or "
        "input. Default: listed there too.",
        metavar="NAME,…",
    )
    backprop: Backprop = "guided"
    candidates: int = option(
        3, "So many classes compete at least, the highest scores. 0: nothing is subtracted. {guided}.",
        low=0, metavar="N",
    )  # fmt: skip
    candidate_threshold: float = option(0.5, "Classes that score above compete too: {default}.", low=0.0, high=1.0)
    alpha: float = option(3.0, "Of tanh: {guided}.", low=0.01, high=1000)
    normalise: bool = option(True, "Divide by the maximum before tanh.", flags=["--normalise/--no-normalise"])
    upsample_channels: bool = option(
        False, "Upsample every channel, then take the maximum: the paper's formula, slower by far.",
        flags=["--upsample-channels"],
    )  # fmt: skip
    scales: tuple[float, ...] = option(
        (0.8, 1.0, 1.2), "Scales whose maps are averaged: {guided}.", low=0.01, high=16, metavar="S,S,…"
    )

    def __post_init__(self) -> None:
        check(self)
        if self.layers == ():
            raise UsageError("--layers: give at least one")

    @property
    def guided(self) -> bool:
        return self.backprop == "guided"


PRESETS: Mapping[Backprop, DcsmSettings] = {
    "guided": DcsmSettings(),
    "plain": DcsmSettings(backprop="plain"),
    "input": DcsmSettings(("input",), "input", candidates=0, alpha=8.0, scales=(1.0,)),
}


def settings_of(backprop: Backprop = "guided", changes: Mapping[str, Any] = NO_CHANGES) -> DcsmSettings:
    """What the paper does with this back-propagation, some of it changed, by the names of DcsmSettings' fields."""
    known = preset_of(PRESETS, backprop, "--backprop")
    if backprop == "input" and "layers" in changes:
        raise UsageError("--backprop input is about the layer input alone; leave out --layers, or take plain or guided")
    return changed(known, changes)
