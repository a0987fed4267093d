"""From a checkpoint to a classifier ready for inference, and back to a checkpoint that describes itself."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import torch
from safetensors import SafetensorError
from safetensors.torch import save
from torch import nn

from camkit.errors import CheckpointError, OutputError, UsageError
from camkit.models import zoo
from camkit.models.classifier import POOLINGS, ClassifierNetwork, Colour, LoadedClassifier, fold_batch_norms
from camkit.models.recognise import has_head, recognise
from camkit.models.state import State, examples, fitted, rename, shapes_of
from camkit.models.tensors import read_tensors
from camkit.models.user import load_user_model
from camkit.types import AffinityKind, Pooling

FORMAT_VERSION = 1
KINDS = ("classifier", "icd")  # an ICD checkpoint is a classifier, and more
FRESH_DEVIATION = 0.01  # of a linear layer's weights, as ICD has it
PACKAGED = {name: Path(__file__).with_name(f"{name}.safetensors") for name in ("toy", "toy-icd", "toy-affinity")}


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
    if model is not None and (arch is not None or output_stride is not None):
        raise UsageError("--model brings a network of its own: --arch and --output-stride do not go with it")
    if model is not None:
        return _load_users(ckpt, model, tensors)
    description = _checked_description(ckpt, own) if own is not None else {}
    name, state = _trunk_of(ckpt, tensors, arch or description.get("arch"))
    network, ignored = _assemble(ckpt, name, state, output_stride or description.get("output_stride"))
    network.mean = description.get("mean", network.mean)
    network.std = description.get("std", network.std)
    network.pooling = description.get("pooling", network.pooling)
    if for_inference:
        fold_batch_norms(network)
    if for_inference and network.channels_last:
        network.to(memory_format=torch.channels_last)  # type: ignore[call-overload] # torch's stubs lack it
    return LoadedClassifier(
        network=network.eval(),
        arch=name,
        num_classes=network.num_classes,
        classes=_checked_classes(ckpt, description.get("classes"), network.num_classes),
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
    """The file behind the name of a checkpoint that comes with camkit; a file of that name goes first."""
    ckpt = Path(ckpt)
    return PACKAGED[str(ckpt)] if str(ckpt) in PACKAGED and not ckpt.is_file() else ckpt


def load_start(
    ckpt: Path,
    classes: Sequence[str],
    *,
    arch: str | None = None,
    output_stride: int | None = None,
) -> tuple[ClassifierNetwork, str, bool]:
    """A network to train further, its architecture, and whether the checkpoint's linear layer was kept.

    It is kept where it has the same classes; else, or where there is none, a fresh one takes its place.
    """
    ckpt = packaged(ckpt)
    tensors, own = read_tensors(ckpt)
    description = _checked_description(ckpt, own) if own is not None else {}
    name, state = _trunk_of(ckpt, tensors, arch or description.get("arch"))
    head, known = state.get("head.weight"), description.get("classes")
    keep = head is not None and len(head) == len(classes) and (known is None or tuple(known) == tuple(classes))
    if not keep:
        state = _with_fresh_head(ckpt, name, state, len(classes))
    network, _ = _assemble(ckpt, name, state, output_stride or description.get("output_stride"))
    network.mean = description.get("mean", network.mean)
    network.std = description.get("std", network.std)
    return network, name, keep


def _with_fresh_head(path: Path, name: str, state: State, num_classes: int) -> State:
    fresh = {**state, "head.weight": torch.empty(num_classes, 1)}
    inputs = _empty_network(path, name, fresh, None).head.in_features
    fresh["head.weight"] = torch.empty(num_classes, inputs).normal_(std=FRESH_DEVIATION)
    if "head.bias" in fresh:
        fresh["head.bias"] = torch.zeros(num_classes)
    return fresh


def _load_users(ckpt: Path, model: str, tensors: State) -> LoadedClassifier:
    network = load_user_model(model, ckpt, tensors)
    return LoadedClassifier(
        network=network,
        arch=model,
        num_classes=network.num_classes,
        classes=None,
        mean=network.mean,
        std=network.std,
        input_size=None,
        path=ckpt,
        sha256=digest_of(ckpt),
        output_stride=None,
    )


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


def _checked_description(path: Path, own: Mapping[str, Any]) -> dict[str, Any]:
    kind = own.get("kind")
    if kind not in KINDS:
        told = f"; it is for camkit refine walk --affinity {kind}" if str(kind) in get_args(AffinityKind) else ""
        raise CheckpointError(f"{path}: is a camkit checkpoint of kind {kind!r}, not a classifier{told}")
    check_version(path, own)
    return {
        "arch": str(own["arch"]),
        "classes": own.get("classes"),
        "mean": colour(path, "mean", own.get("mean")),
        "std": colour(path, "std", own.get("std")),
        "input_size": optional_size(path, "input_size", own.get("input_size")),
        "output_stride": optional_size(path, "output_stride", own.get("output_stride")),
        "pooling": _pooling(path, own.get("pooling", "average")),
    }


def check_version(path: Path, own: Mapping[str, Any]) -> None:
    version, arch = own.get("version"), str(own.get("arch"))
    if version != FORMAT_VERSION or arch not in zoo.ARCHITECTURES:
        raise CheckpointError(f"{path}: was written by another version of camkit ({version}, {arch}); update camkit")


def colour(path: Path, name: str, value: Any) -> Colour:
    sound = (
        isinstance(value, list) and len(value) == 3 and all(isinstance(v, float | int) and 0 <= v <= 1 for v in value)
    )
    if not sound or (name == "std" and min(value) == 0):
        raise CheckpointError(f"{path}: its {name} is {value!r}; three numbers in [0, 1] are needed")
    return (float(value[0]), float(value[1]), float(value[2]))


def _pooling(path: Path, name: Any) -> Pooling:
    if name not in POOLINGS:
        raise CheckpointError(f"{path}: its pooling is {name!r}; known are {' and '.join(POOLINGS)}")
    return name


def optional_size(path: Path, name: str, value: Any) -> int | None:
    if value is not None and (type(value) is not int or value < 1):
        raise CheckpointError(f"{path}: its {name} is {value!r}; a positive whole number is needed")
    return value


def _checked_classes(path: Path, classes: Any, num_classes: int) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(name, str) for name in classes):
        raise CheckpointError(f"{path}: its class names are not a list of names")
    if len(classes) != num_classes:
        raise CheckpointError(f"{path}: names {len(classes)} classes, but its classifier has {num_classes}")
    return tuple(classes)


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

    settings  of a kind other than a plain classifier: what it adds is made of
    """
    if any(isinstance(module, nn.Identity) for module in network.modules()):
        raise ValueError("a network with folded batch norms cannot be saved: load it with for_inference=False")
    description = {
        "arch": arch,
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
    tensors = {key: value.detach().cpu().contiguous() for key, value in state.items()}
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
