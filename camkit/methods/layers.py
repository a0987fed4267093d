"""What a classifier's layers say of photos."""

from __future__ import annotations

import torch

from camkit.errors import UsageError
from camkit.methods.response import network_input
from camkit.types import Classifier


def layer_features(images: torch.Tensor, classifier: Classifier, layer: str | None = None) -> torch.Tensor:
    """Of a named layer, behind its ReLU, or (None) of the last one: images [B, 3, H, W] in [0, 255] → [B, D, h, w]."""
    x = network_input(images, classifier)
    if layer is None:
        return classifier.features(x)
    seen: list[torch.Tensor] = []
    handle = classifier.layers[layer].register_forward_hook(lambda module, inputs, output: seen.append(output))
    try:
        classifier.features(x)
    finally:
        handle.remove()
    return seen[-1].relu()


def check_layer(classifier: Classifier, layer: str | None) -> None:
    if layer is not None and layer not in classifier.layers:
        raise UsageError(f"--layer {layer} is not in this network; it has {', '.join(classifier.layers)}")
