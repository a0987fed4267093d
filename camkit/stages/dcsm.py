"""`camkit dcsm`: distinct class-specific saliency maps of every photo."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from camkit.errors import UsageError
from camkit.pipeline.output import Output, Runtime, Summary
from camkit.pipeline.select import Inputs
from camkit.pipeline.upstream import Sources, paths_of
from camkit.stages.maps import MapMethod, write_maps
from camkit.stages.network import Network

if TYPE_CHECKING:
    from camkit.methods.dcsm import Saliency
    from camkit.methods.response import ResponseMap
    from camkit.models.classifier import LoadedClassifier

log = logging.getLogger("camkit")

Backprop = Literal["guided", "plain", "input"]

INPUT_SIZE = 500
"""Longer side of the photo where neither the user nor the checkpoint says: the paper's."""

RESIDUAL = ("layer2", "layer3", "layer4.0")
DEFAULT_LAYERS: Mapping[str, tuple[str, ...]] = {
    "vgg16": tuple(f"conv{block}_{n}" for block in (3, 4, 5) for n in (1, 2, 3)),
    **dict.fromkeys(("resnet38", "resnet38-seam"), ("b4", "b5", "b6")),
    **dict.fromkeys(("resnet18", "resnet34", "resnet50", "resnet101", "resnet50-irn"), RESIDUAL),
    "toy": ("block1", "block2"),
}
"""Of each architecture: for VGG16 the paper's; for others what was best on photos or drawn scenes, or is most like it.

A residual network's last stage ends with its features, whose gradients are the same at every position: of it only the
first block counts.
"""


@dataclass(frozen=True)
class DcsmSettings:
    """What is made of gradients, and at which scales of the photo.

    backprop  guided; plain; or input: Simonyan's baseline, plain and of the photo itself
    layers    by name; None: the architecture's, see DEFAULT_LAYERS. Of a convolution: behind its batch norm
    The others are those of camkit.methods.dcsm.Saliency.
    """

    backprop: Backprop = "guided"
    layers: tuple[str, ...] | None = None
    candidates: int = 3
    candidate_threshold: float = 0.5
    alpha: float = 3.0
    normalise: bool = True
    upsample_channels: bool = False
    scales: tuple[float, ...] = (0.8, 1.0, 1.2)

    def __post_init__(self) -> None:
        if not self.scales:
            raise UsageError("--scales: give at least one")


PRESETS: Mapping[Backprop, DcsmSettings] = {
    "guided": DcsmSettings(),
    "plain": DcsmSettings("plain"),
    "input": DcsmSettings("input", ("input",), candidates=0, alpha=8.0, scales=(1.0,)),
}
NO_CHANGES: Mapping[str, Any] = {}


def settings_of(backprop: Backprop = "guided", changes: Mapping[str, Any] = NO_CHANGES) -> DcsmSettings:
    """What the paper does with this back-propagation, some of it changed, by the names of DcsmSettings' fields."""
    if backprop not in PRESETS:
        raise UsageError(f"--backprop {backprop} is not known; known are {', '.join(get_args(Backprop))}")
    if backprop == "input" and "layers" in changes:
        raise UsageError("--backprop input is about the layer input alone; leave out --layers, or take plain or guided")
    return replace(PRESETS[backprop], **changes)


def scales_of(sizes: Sequence[float]) -> tuple[str, tuple[float, ...]]:
    """Longer sides in whole pixels → the one in the middle, as `resize` takes it, and all as multiples of it."""
    middle = sorted(sizes)[len(sizes) // 2]
    return f"{middle:.0f}", tuple(size / middle for size in sizes)


def dcsm(
    inputs: Inputs,
    network: Network,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    settings: DcsmSettings = PRESETS["guided"],
    resize: str | None = None,
    size: str = "4",
) -> Summary:
    """Write DCSM's maps of the classes present in every image, with notes of which classes competed.

    Values are equation 5's, up to tanh(alpha): they are not divided by the maximum of their class.
    resize  longer side of the photo at scale 1: N, `native`, or None: as the checkpoint records, else 500
    size    resolution of the maps: `full`, or a stride in pixels
    """
    saliency = cache(partial(saliency_of, settings=settings))

    def method(loaded: LoadedClassifier) -> MapMethod:
        from camkit.methods.dcsm import dcsm as maps

        return partial(maps, classifier=loaded.network, saliency=saliency(loaded), scales=settings.scales)

    def parameters(loaded: LoadedClassifier) -> Mapping[str, Any]:
        return {**asdict(settings), "layers": list(saliency(loaded).layers)}

    return write_maps(
        "dcsm", method, parameters, inputs, network, output, runtime,
        resize=resize, size=size, input_size=INPUT_SIZE,
    )  # fmt: skip


def response_of(loaded: LoadedClassifier, settings: DcsmSettings = PRESETS["guided"]) -> ResponseMap:
    """DCSM as a response map of one scale."""
    from camkit.methods.dcsm import dcsm_response

    return partial(dcsm_response, classifier=loaded.network, saliency=saliency_of(loaded, settings))


def saliency_of(loaded: LoadedClassifier, settings: DcsmSettings) -> Saliency:
    """The settings, with the layers that count; those that tell nothing are left out, with a word about it."""
    from camkit.methods.dcsm import Saliency, probe_layers

    names = settings.layers or DEFAULT_LAYERS.get(loaded.arch)
    if names is None:
        known = ", ".join(loaded.network.layers)
        raise UsageError(f"--layers: name those of {loaded.arch} whose gradients count: {known}, or parts of them")
    guided = settings.backprop == "guided"
    layers, relus = probe_layers(loaded.network, names, guided=guided)
    seeing = tuple(name for name, layer in layers.items() if not layer.blind)
    if not seeing:
        raise UsageError(
            f"--layers {','.join(names)}: its gradients are the same at every position, because only a mean and a "
            "linear layer follow\nname a layer below it (camkit info --layers CKPT lists them)"
        )
    if len(seeing) < len(layers):
        blind = ", ".join(name for name in layers if name not in seeing)
        log.warning("left out, since its gradients are the same at every position: %s", blind)
    if guided and not relus:
        log.warning("no ReLU was met above %s: guided back-propagation is plain here", ", ".join(seeing))
    return Saliency(
        layers=seeing,
        guided=guided,
        candidates=settings.candidates,
        candidate_threshold=settings.candidate_threshold,
        alpha=settings.alpha,
        normalise=settings.normalise,
        upsample_channels=settings.upsample_channels,
    )


def describe_layers(sources: Sources) -> list[dict[str, Any]]:
    """The named layers of a checkpoint, as `--layers` takes them, from the input up."""
    paths = paths_of(sources)
    if len(paths) != 1:
        raise UsageError("give one checkpoint, whose layers are to be listed")
    from camkit.methods.dcsm import probe_layers
    from camkit.models.checkpoint import load_classifier, packaged

    loaded = load_classifier(packaged(paths[0]))
    default = DEFAULT_LAYERS.get(loaded.arch, ())
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
