"""From a checkpoint to a segmentation network, to run or to train further, and back to one that describes itself."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch

from camkit.errors import CheckpointError, UsageError
from camkit.models import zoo
from camkit.models.checkpoint import colours_of, digest_of, packaged, save_state
from camkit.models.classifier import Folded, fold_batch_norms
from camkit.models.description import FORMAT_VERSION, checked_classes, colour, optional_size
from camkit.models.segmentation.network import SegmentationNetwork, draw_weights
from camkit.models.segmentation.table import (
    SEGMENTERS,
    Segmenter,
    find_segmenter,
    find_trunk,
    segmenter,
)
from camkit.models.state import State, examples, fitted, shapes_of
from camkit.models.tensors import read_tensors

KIND = "segmentation"
COMPUTED = re.compile(r"\.(relative_position_index|attn_mask)$")
"""Tensors that follow from the shapes, which some programs store."""

NOT_IN_TRUNKS = re.compile(r"backbone\.norm\d\.")
"""What a network adds inside of its backbone: Swin's norms of each level."""


@dataclass(frozen=True, eq=False)
class LoadedSegmentation:
    """A network in evaluation mode on the CPU, and what its checkpoint says about it.

    classes     names without the background; None: the file has none
    input_size  longer side of the photo the network knows best; None: native
    ignored     keys of the checkpoint that the network has no use for
    figures     what was measured when camkit trained it, by name
    """

    network: SegmentationNetwork
    arch: str
    classes: tuple[str, ...] | None
    path: Path
    sha256: str
    input_size: int | None = None
    ignored: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)


class Beginning(NamedTuple):
    """A network to train. fresh: names of its modules that start from nothing; kept: the scores' layers are not among
    them, since the checkpoint had them for the same classes."""

    network: SegmentationNetwork
    fresh: tuple[str, ...]
    kept: bool


class _Stored(NamedTuple):
    """What a file holds, under own keys. arch: of a segmentation network; None: of something else with that trunk."""

    path: Path
    arch: str | None
    trunk: str
    state: State
    described: Mapping[str, Any]


def load_segmentation(ckpt: Path, *, for_inference: bool = True) -> LoadedSegmentation:
    """Read a published checkpoint or one of camkit's own, find out what it is, and build the network around it.

    for_inference  fold batch norms; False to train or save the network again
    """
    ckpt = Path(ckpt)
    stored = _read(ckpt)
    if stored.arch is None:
        raise CheckpointError(
            f"{ckpt}: has the trunk of {stored.trunk} but nothing that segments; camkit segment-train begins from it"
        )
    try:
        network = _empty(stored, segmenter(stored.arch), stored.arch, None, stored.described.get("output_stride"))
    except UsageError as error:
        raise CheckpointError(f"{ckpt}: records what no {stored.arch} has; is the file damaged? {error}") from error
    wanted = _wanted(stored, network)
    network.load_state_dict(fitted(ckpt, stored.arch, wanted, network.state_dict()), assign=True)
    _take_description(network, stored)
    if for_inference:
        fold_batch_norms(network)
    classes = checked_classes(ckpt, stored.described.get("classes"), network.num_classes)
    return LoadedSegmentation(
        network.eval(), stored.arch, classes, ckpt, digest_of(ckpt), stored.described.get("input_size"),
        tuple(key for key in stored.state if key not in wanted), _figures(stored.described.get("extra")),
    )  # fmt: skip


def begin_segmentation(ckpt: Path, arch: str, classes: Sequence[str], *, output_stride: int | None = None) -> Beginning:
    """A network of this architecture to train further, from a checkpoint of the same, or of its trunk alone.

    The layers that give the scores are kept where the checkpoint has them for the same classes.
    """
    stored = _read(packaged(Path(ckpt)))
    known = _trainable(arch)
    if stored.arch != arch:
        kept = {name: value for name, value in stored.described.items() if name in ("mean", "std")}
        stored = stored._replace(arch=None, state=_only_backbone(stored.state), described=kept)
    if stored.trunk not in known.trunks:
        raise CheckpointError(f"{ckpt}: has the trunk of {stored.trunk}; {arch} begins from {_either(known.trunks)}")
    return _begin(stored, arch, classes, output_stride or stored.described.get("output_stride"))


def new_segmentation(
    arch: str, trunk: str, classes: Sequence[str], *, width: int | None = None, output_stride: int | None = None
) -> Beginning:
    """A network whose weights are all fresh, on a trunk of the zoo. `width`: channels of the first convolution."""
    known = _trainable(arch)
    if trunk not in known.trunks or trunk not in zoo.ARCHITECTURES:
        possible = [name for name in known.trunks if name in zoo.ARCHITECTURES]
        hint = f"without a checkpoint it begins from {_either(possible)}" if possible else "give a checkpoint"
        raise UsageError(f"{arch} does not begin from {trunk}: {hint}")
    fresh = zoo.build(trunk, 1, width=width).state_dict()
    state = _only_backbone({f"backbone.{key}": value for key, value in fresh.items()})
    begun = _begin(_Stored(Path(trunk), None, trunk, state, {}), arch, classes, output_stride)
    return begun._replace(fresh=tuple(name for name, _ in begun.network.named_children()))


def save_segmentation(
    path: Path,
    network: SegmentationNetwork,
    *,
    arch: str,
    classes: Sequence[str] | None,
    input_size: int | None,
    extra: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights under their published keys, with a description; see camkit.models.checkpoint.save_state."""
    if any(isinstance(module, Folded) for module in network.modules()):
        raise ValueError("a network with folded batch norms cannot be saved: load it with for_inference=False")
    description = {
        "arch": arch,
        "trunk": network.trunk,
        "classes": None if classes is None else list(classes),
        "mean": list(network.mean),
        "std": list(network.std),
        "input_size": input_size,
        "output_stride": network.output_stride,
        "extra": dict(extra or {}),
    }
    save_state(path, network.published_state(), KIND, description)


def _trainable(arch: str) -> Segmenter:
    known = segmenter(arch)
    if not known.trunks:
        raise UsageError(f"{arch} is read, not trained: its program learns from objects, not from masks of classes")
    return known


def _read(path: Path) -> _Stored:
    tensors, own = read_tensors(path)
    if own is not None and own.get("kind") == KIND:
        return _read_own(path, tensors, own)
    found = find_segmenter(tensors) if own is None else None
    if found is not None:
        _check_hollow(path, found[1])
        return _Stored(path, found[0], SEGMENTERS[found[0]].trunk, found[1], {})
    trunk = find_trunk(tensors)
    if trunk is None:
        raise CheckpointError(
            f"{path}: is no network camkit knows: {len(tensors)} keys like {examples(tensors)}\n"
            f"segmentation networks known are {', '.join(SEGMENTERS)}"
        )
    _check_hollow(path, trunk[1])
    return _Stored(path, None, *trunk, _colours(path, *trunk, own or {}))


def _colours(path: Path, trunk: str, state: State, own: Mapping[str, Any]) -> dict[str, Any]:
    """What a trunk's photos were normed by: as its description says, else as is usual for it; none: as its network."""
    told: dict[str, Any] = {name: colour(path, name, own[name]) for name in ("mean", "std") if name in own}
    if trunk not in zoo.ARCHITECTURES:
        return told
    head = {key.removeprefix("backbone."): value for key, value in state.items() if key == "backbone.head.weight"}
    return dict(zip(("mean", "std"), colours_of(trunk, head, told), strict=True))


def _read_own(path: Path, tensors: State, own: Mapping[str, Any]) -> _Stored:
    version, arch = own.get("version"), own.get("arch")
    if version != FORMAT_VERSION or not isinstance(arch, str) or arch not in SEGMENTERS:
        raise CheckpointError(f"{path}: was written by another version of camkit ({version}, {arch}); update camkit")
    known, trunk = SEGMENTERS[arch], own.get("trunk")
    if trunk not in (known.trunk, *known.trunks):
        raise CheckpointError(f"{path}: says that {arch} has the trunk {trunk!r:.40}; is the file damaged?")
    _check_hollow(path, tensors)
    described = {
        "classes": own.get("classes"),
        "mean": colour(path, "mean", own.get("mean")),
        "std": colour(path, "std", own.get("std")),
        "input_size": optional_size(path, "input_size", own.get("input_size")),
        "output_stride": optional_size(path, "output_stride", own.get("output_stride")),
        "extra": own.get("extra"),
    }
    return _Stored(path, arch, trunk, known.under_own_keys(tensors) or tensors, described)


def _figures(extra: Any) -> Mapping[str, Any]:
    figures = extra.get("figures") if isinstance(extra, dict) else None
    return figures if isinstance(figures, dict) else {}


def _check_hollow(path: Path, state: State) -> None:
    hollow = [key for key, tensor in state.items() if tensor.ndim and not tensor.numel()]
    if hollow:
        raise CheckpointError(f"{path}: {examples(hollow)} hold no numbers; no network is like that")


def _empty(
    stored: _Stored, known: Segmenter, arch: str, outputs: int | None, output_stride: int | None
) -> SegmentationNetwork:
    """The network for these shapes, without numbers."""
    options = {"output_stride": output_stride} if known.strided else {}
    try:
        with torch.device("meta"):
            network = known.build(stored.trunk, shapes_of(stored.state), outputs, **options)
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError, TypeError, AssertionError) as error:
        told = f"{type(error).__name__} {error}".splitlines()[0]
        raise CheckpointError(f"{stored.path}: its shapes make no {arch}: {told:.200}") from error
    if output_stride not in (None, network.output_stride):
        raise UsageError(f"--output-stride {output_stride} does not fit {arch}, which has {network.output_stride}")
    return network


def _wanted(stored: _Stored, network: SegmentationNetwork) -> State:
    """What the network can use; all of its backbone's is to fit."""
    parts = _parts(network.state_dict())
    return {key: value for key, value in stored.state.items() if _part(key) in parts and not COMPUTED.search(key)}


def _part(key: str) -> str:
    """The module a key belongs to: one of the network's, or of its backbone's."""
    return ".".join(key.split(".")[: 2 if key.startswith("backbone.") else 1])


def _parts(keys: Mapping[str, Any]) -> set[str]:
    return {_part(key) for key in keys}


def _begin(stored: _Stored, arch: str, classes: Sequence[str], output_stride: int | None) -> Beginning:
    network = _empty(stored, segmenter(arch), arch, 1 + len(classes), output_stride)
    expected = network.state_dict()
    wanted = _wanted(stored, network)
    known = stored.described.get("classes")
    scores = {key for key in expected if key.startswith(tuple(f"{name}." for name in network.scores))}
    fits = all(key in wanted and wanted[key].shape == expected[key].shape for key in scores)
    kept = fits and (known is None or list(known) == list(classes))
    fresh = set() if kept else set(scores)
    fresh |= {key for key in expected if key not in wanted and _may_be_fresh(key, stored)}
    filled = {**wanted, **{key: torch.zeros(expected[key].shape, dtype=expected[key].dtype) for key in fresh}}
    network.load_state_dict(fitted(stored.path, arch, filled, expected), assign=True)
    draw_weights(network, fresh)
    _take_description(network, stored)
    return Beginning(network, tuple(sorted({_part(key) for key in fresh})), kept)


def _may_be_fresh(key: str, stored: _Stored) -> bool:
    return stored.arch is None and (not key.startswith("backbone.") or bool(NOT_IN_TRUNKS.match(key)))


def _only_backbone(state: State) -> State:
    return {key: value for key, value in state.items() if key.startswith("backbone.")}


def _take_description(network: SegmentationNetwork, stored: _Stored) -> None:
    network.mean = stored.described.get("mean", network.mean)
    network.std = stored.described.get("std", network.std)


def _either(names: Sequence[str]) -> str:
    return " or ".join(names)
