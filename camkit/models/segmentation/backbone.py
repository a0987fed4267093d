"""Trunks of the zoo as backbones of segmentation networks."""

from __future__ import annotations

from collections.abc import Callable

from camkit.models.classifier import ClassifierNetwork, Shapes

FRONT = "backbone."


def backbone_shapes(shapes: Shapes) -> Shapes:
    """Those under keys that start so, without that start."""
    return {key.removeprefix(FRONT): shape for key, shape in shapes.items() if key.startswith(FRONT)}


def bare(build: Callable[[Shapes], ClassifierNetwork] | None, shapes: Shapes) -> tuple[ClassifierNetwork, int]:
    """The trunk for the shapes of `backbone.…` without its linear layer, and the channels of its features."""
    if build is None:
        raise ValueError("the trunk is not built so")
    network = build({**backbone_shapes(shapes), "head.weight": (1, 1)})
    channels = network.head.in_features
    del network.head
    return network, channels
