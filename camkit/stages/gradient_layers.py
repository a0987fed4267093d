"""The layers of a classifier whose gradients DCSM takes: by default, as asked for, and as `camkit info` lists them."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from camkit.errors import UsageError
from camkit.pipeline.upstream import Sources, paths_of
from camkit.settings.dcsm import DcsmSettings

if TYPE_CHECKING:
    from camkit.methods.response import ResponseMap
    from camkit.models.classifier import LoadedClassifier

log = logging.getLogger("camkit")


def response_of(loaded: LoadedClassifier, settings: DcsmSettings) -> ResponseMap:
    """DCSM as a response map of one scale."""
    from camkit.methods.dcsm import dcsm_response

    return partial(dcsm_response, classifier=loaded.network, saliency=saliency_of(loaded, settings))


def saliency_of(loaded: LoadedClassifier, settings: DcsmSettings) -> DcsmSettings:
    """The settings, with the layers that count; those that tell nothing are left out, with a word about it."""
    from camkit.methods.dcsm import probe_layers

    names = settings.layers or loaded.network.gradient_layers
    if not names:
        known = ", ".join(loaded.network.layers)
        raise UsageError(f"--layers: name those of {loaded.arch} whose gradients count: {known}, or parts of them")
    layers, relus = probe_layers(loaded.network, names, guided=settings.guided)
    seeing = tuple(name for name, layer in layers.items() if not layer.blind)
    if not seeing:
        raise UsageError(
            f"--layers {','.join(names)}: its gradients are the same at every position, because only a mean and a "
            "linear layer follow\nname a layer below it (camkit info --layers CKPT lists them)"
        )
    if len(seeing) < len(layers):
        blind = ", ".join(name for name in layers if name not in seeing)
        log.warning("left out, since its gradients are the same at every position: %s", blind)
    if settings.guided and not relus:
        log.warning("no ReLU was met above %s: guided back-propagation is plain here", ", ".join(seeing))
    return replace(settings, layers=seeing)


def describe_layers(sources: Sources, model: str | None = None) -> list[dict[str, Any]]:
    """The named layers of a checkpoint, as `--layers` takes them, from the input up.

    model  `package.module:factory` of a network of the user's own
    """
    paths = paths_of(sources)
    if len(paths) != 1:
        raise UsageError("give one checkpoint, whose layers are to be listed")
    from camkit.methods.dcsm import probe_layers
    from camkit.models.checkpoint import load_classifier, packaged

    loaded = load_classifier(packaged(paths[0]), model=model)
    default = loaded.network.gradient_layers
    names = [n for layer in loaded.network.layers for n in (*(d for d in default if d.startswith(f"{layer}.")), layer)]
    layers, _ = probe_layers(loaded.network, names, guided=True)
    return [
        {
            "name": name,
            "channels": layer.channels,
            "stride": layer.stride,
            "same_everywhere": layer.blind,
            "default": name in default,
        }
        for name, layer in layers.items()
    ]


def layer_lines(layers: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    for layer in layers:
        words = "  gradients are the same at every position" if layer["same_everywhere"] else ""
        words = "  default of camkit dcsm" if layer["default"] else words
        yield f"{layer['name']:<10} {layer['channels']:>5} channels, a cell per {layer['stride']:>2} px{words}"
