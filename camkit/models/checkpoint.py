"""From a checkpoint to a classifier ready for inference, and back to a checkpoint that describes itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import save

from camkit.errors import CheckpointError, OutputError, UsageError
from camkit.models import zoo
from camkit.models.classifier import (
    FRESH_DEVIATION,
    IMAGENET_MEAN,
    IMAGENET_STD,
    ClassifierNetwork,
    Colour,
    Folded,
    LoadedClassifier,
    fold_batch_norms,
)
from camkit.models.description import FORMAT_VERSION, checked_classes, checked_description
from camkit.models.recognise import has_head, recognise
from camkit.models.state import State, examples, fitted, rename, shapes_of
from camkit.models.tensors import read_tensors
from camkit.models.user import load_user_model, start_user_model
from camkit.models.weights import PACKAGED, PACKAGES, installed_weights

IMAGENET_CLASSES = 1000


def load_classifier(
    ckpt: Path,
    *,
    arch: str | None = None,
    model: str | None = None,
    output_stride: int | None = None,
    for_inference: bool = True,
) -> LoadedClassifier:
    """Read a checkpoint, find out what it is (unless `arch` says), and build the network around its weights.

    ckpt            a file, or `toy`: the classifier of the toy world that comes with camkit
    model           `package.module:factory` of a network of the user's own
    output_stride   default: what the checkpoint records, else the network's own (16 for residual networks)
    for_inference   fold batch norms and order the weights for speed; False to train or save the network again
    """
    ckpt = packaged(ckpt)
    tensors, own = read_tensors(ckpt)
    description = checked_description(ckpt, own) if own is not None else {}
    _check_model(ckpt, description, model)
    if model is not None and (arch is not None or output_stride is not None):
        raise UsageError("--model brings a network of its own: --arch and --output-stride do not go with it")
    if model is not None:
        return _load_users(ckpt, model, tensors, description)
    name, state = _trunk_of(ckpt, tensors, arch or description.get("arch"))
    network, ignored = _assemble(ckpt, name, state, output_stride or description.get("output_stride"))
    network.mean, network.std = colours_of(name, state, description)
    network.pooling = description.get("pooling", network.pooling)
    if for_inference:
        fold_batch_norms(network)
    if for_inference and network.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
    return LoadedClassifier(
        network=network.eval(),
        arch=name,
        num_classes=network.num_classes,
        classes=checked_classes(ckpt, description.get("classes"), network.num_classes),
        mean=network.mean,
        std=network.std,
        input_size=description.get("input_size"),
        path=ckpt,
        sha256=digest_of(ckpt),
        output_stride=network.output_stride,
        ignored=ignored,
        pooling=network.pooling,
    )


def packaged(ckpt: Path) -> Path:
    """The file behind a name: of what comes with camkit, or of a package of weights. A file of that name goes first."""
    ckpt, name = Path(ckpt), str(ckpt)
    if name not in (*PACKAGED, *PACKAGES) or ckpt.is_file():
        return ckpt
    return PACKAGED[name] if name in PACKAGED else installed_weights(name)


def load_start(
    ckpt: Path,
    classes: Sequence[str],
    *,
    arch: str | None = None,
    model: str | None = None,
    output_stride: int | None = None,
) -> tuple[ClassifierNetwork, str, bool]:
    """A network to train further, its architecture, and whether the checkpoint's linear layer was kept.

    It is kept where it has the same classes; else, or where there is none, a fresh one takes its place.
    """
    ckpt = packaged(ckpt)
    tensors, own = read_tensors(ckpt)
    description = checked_description(ckpt, own) if own is not None else {}
    _check_model(ckpt, description, model)
    known = description.get("classes")
    same = known is None or tuple(known) == tuple(classes)
    if model is not None:
        users, keep = start_user_model(model, len(classes), (ckpt, _without_branches(tensors, own)), keep_head=same)
        users.mean, users.std = description.get("mean", users.mean), description.get("std", users.std)
        return users, model, keep
    name, state = _trunk_of(ckpt, tensors, arch or description.get("arch"))
    mean, std = colours_of(name, state, description)
    name = zoo.architecture(name).trained_as or name
    head = state.get("head.weight")
    keep = same and head is not None and len(head) == len(classes)
    if not keep:
        state = _with_fresh_head(ckpt, name, state, len(classes))
    network, _ = _assemble(ckpt, name, state, output_stride or description.get("output_stride"))
    network.mean, network.std = mean, std
    return network, name, keep


def colours_of(name: str, state: State, description: Mapping[str, Any]) -> tuple[Colour, Colour]:
    """Mean and deviation of the photos it learned from, as it says; else those of ImageNet classifiers of its kind."""
    head = state.get("head.weight")
    imagenet = head is not None and head.ndim and len(head) == IMAGENET_CLASSES
    mean, std = zoo.architecture(name).imagenet if imagenet else (IMAGENET_MEAN, IMAGENET_STD)
    return description.get("mean", mean), description.get("std", std)


def _with_fresh_head(path: Path, name: str, state: State, num_classes: int) -> State:
    fresh = {**state, "head.weight": torch.empty(num_classes, 1)}
    inputs = _empty_network(path, name, fresh, None).head.in_features
    fresh["head.weight"] = torch.empty(num_classes, inputs).normal_(std=FRESH_DEVIATION)
    if "head.bias" in fresh:
        fresh["head.bias"] = torch.zeros(num_classes)
    return fresh


def _load_users(ckpt: Path, model: str, tensors: State, description: Mapping[str, Any]) -> LoadedClassifier:
    network = load_user_model(model, ckpt, _without_branches(tensors, description), own=bool(description))
    network.mean = description.get("mean", network.mean)
    network.std = description.get("std", network.std)
    network.pooling = description.get("pooling", network.pooling)
    return LoadedClassifier(
        network=network,
        arch=model,
        num_classes=network.num_classes,
        classes=checked_classes(ckpt, description.get("classes"), network.num_classes),
        mean=network.mean,
        std=network.std,
        input_size=description.get("input_size"),
        path=ckpt,
        sha256=digest_of(ckpt),
        output_stride=None,
        pooling=network.pooling,
    )


def _without_branches(tensors: State, description: Mapping[str, Any] | None) -> State:
    """What the classifier of an ICD checkpoint is made of."""
    if not description or description.get("kind") != "icd":
        return tensors
    return {key: value for key, value in tensors.items() if not key.startswith("icd.")}


def _check_model(path: Path, description: Mapping[str, Any], model: str | None) -> None:
    """An error if the network's factory is needed, or must not be given."""
    factory = description.get("model")
    if factory is not None and model is None:  # a file must not decide which code runs
        raise CheckpointError(
            f"{path}: holds a network of your own, made by {factory}: give --model {factory}, where it can be imported"
        )
    if description and factory is None and model is not None:
        raise UsageError(f"--model {model} does not go with {path}, which holds {description['arch']}: leave it out")


def _trunk_of(path: Path, tensors: State, arch: str | None) -> tuple[str, State]:
    """The architecture's name (`arch`, if somebody insists on it) and the tensors under the network's own keys."""
    if arch is not None:
        wanted = zoo.architecture(arch)
        state = wanted.under_own_keys(tensors)
        if state is not None and wanted.fits(shapes_of(state)):
            return arch, state
    found = recognise(tensors)
    if arch is not None:
        holds = f"holds {found.arch}" if found.arch else f"has keys like {examples(tensors)}"
        raise CheckpointError(f"{path}: is not {arch}: it {holds}\nleave --arch out to let camkit find out")
    if found.kind == "segmentation":
        raise CheckpointError(f"{path}: is {found.other}, not a classifier")
    if found.arch is not None:
        return found.arch, found.state
    expected = " or ".join(dict.fromkeys(known.signature for known in zoo.ARCHITECTURES.values()))
    raise CheckpointError(
        f"{path}: is {found.other or 'no network camkit knows'}: {len(tensors)} keys like {examples(tensors)}, "
        f"where {expected} was expected\n"
        f"known are {', '.join(zoo.ARCHITECTURES)}; for another network give --model package.module:factory"
    )


def _assemble(
    path: Path, name: str, state: State, output_stride: int | None
) -> tuple[ClassifierNetwork, tuple[str, ...]]:
    """The network around the state's tensors (copied once, as float32), and the keys it has no use for."""
    if not has_head(state):
        what = recognise(state).other
        told = f"is {what}, not a classifier" if what else f"has the trunk of {name} but no classifier"
        heads = " or ".join(f"{title}.weight" for title in zoo.architecture(name).heads)
        raise CheckpointError(f"{path}: {told}: no {heads} of shape [classes, channels]")
    hollow = [key for key, shape in shapes_of(state).items() if 0 in shape]
    if hollow:
        raise CheckpointError(f"{path}: {examples(hollow)} hold no numbers; no {name} is like that")
    network = _empty_network(path, name, state, output_stride)
    expected = network.state_dict()
    trunk = {key.split(".")[0] for key in expected}
    wanted = {key: value for key, value in state.items() if key.split(".")[0] in trunk}
    wanted["head.weight"] = state["head.weight"].flatten(1)
    network.load_state_dict(fitted(path, name, wanted, expected), assign=True)
    return network, tuple(key for key in state if key not in wanted)


def _empty_network(path: Path, name: str, state: State, output_stride: int | None) -> ClassifierNetwork:
    try:
        with torch.device("meta"):
            return zoo.architecture(name).from_shapes(shapes_of(state), output_stride)
    except (KeyError, IndexError, ValueError, RuntimeError, ZeroDivisionError, TypeError) as error:
        raise CheckpointError(f"{path}: its shapes make no {name}: {error}".splitlines()[0]) from error


def digest_of(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read any more: {error.strerror}") from error


def save_classifier(
    path: Path,
    network: ClassifierNetwork,
    *,
    arch: str,
    classes: Sequence[str] | None,
    mean: Colour,
    std: Colour,
    input_size: int | None,
    output_stride: int | None,
    extra: Mapping[str, Any] | None = None,
    kind: str = "classifier",
    settings: Mapping[str, Any] | None = None,
) -> None:
    """Write the weights under their published keys, with a description of what they are; see `save_state`.

    arch      a name of the zoo, or the factory of a network of the user's own
    settings  of a kind other than a plain classifier: what it adds is made of
    """
    if any(isinstance(module, Folded) for module in network.modules()):
        raise ValueError("a network with folded batch norms cannot be saved: load it with for_inference=False")
    description = {
        **({"arch": arch} if arch in zoo.ARCHITECTURES else {"model": arch}),
        "classes": list(classes) if classes is not None else None,
        "mean": list(mean),
        "std": list(std),
        "input_size": input_size,
        "output_stride": output_stride,
        "pooling": network.pooling,
        "extra": dict(extra or {}),
        **({} if settings is None else {kind: dict(settings)}),
    }
    save_state(path, rename(network.state_dict(), dict(network.published)), kind, description)


def save_state(path: Path, state: Mapping[str, torch.Tensor], kind: str, description: Mapping[str, Any]) -> None:
    """Write weights as safetensors, with what they are. A kill at any instant leaves the old file or the new one."""
    tensors = _apart({key: value.detach().cpu().contiguous() for key, value in state.items()})
    described = json.dumps({"kind": kind, "version": FORMAT_VERSION, **description})
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("wb") as file:  # safetensors' own save_file makes files that only their owner may read
            file.write(save(tensors, metadata={"camkit": described}))
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except (OSError, SafetensorError) as error:
        raise OutputError(f"{path}: cannot be written: {error}") from error
    finally:
        partial.unlink(missing_ok=True)


def _apart(tensors: Mapping[str, torch.Tensor]) -> State:
    """Copies of those that share their memory with one before, as safetensors has it."""
    seen: set[int] = set()
    apart = {}
    for key, value in tensors.items():
        place = value.untyped_storage().data_ptr()
        apart[key] = value.clone() if place in seen else value
        seen.add(place)
    return apart
