"""What a camkit checkpoint says of itself, checked before it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from camkit.errors import CheckpointError
from camkit.models import zoo
from camkit.models.classifier import POOLINGS, Colour
from camkit.types import AffinityKind, Pooling

FORMAT_VERSION = 1
KINDS = ("classifier", "icd")  # an ICD checkpoint is a classifier, and more


def checked_description(path: Path, own: Mapping[str, Any]) -> dict[str, Any]:
    kind = own.get("kind")
    if kind not in KINDS:
        told = f"; it is for camkit refine walk --affinity {kind}" if str(kind) in get_args(AffinityKind) else ""
        told = "; it is for camkit segment" if kind == "segmentation" else told
        raise CheckpointError(f"{path}: is a camkit checkpoint of kind {kind!r}, not a classifier{told}")
    check_version(path, own)
    return {
        "kind": kind,
        "arch": own.get("arch"),
        "model": factory_of(own),
        "classes": own.get("classes"),
        "mean": colour(path, "mean", own.get("mean")),
        "std": colour(path, "std", own.get("std")),
        "input_size": optional_size(path, "input_size", own.get("input_size")),
        "output_stride": optional_size(path, "output_stride", own.get("output_stride")),
        "pooling": _pooling(path, own.get("pooling", "average")),
    }


def factory_of(own: Mapping[str, Any]) -> str | None:
    """Of a classifier of the user's own."""
    model = own.get("model")
    return model if own.get("kind") in KINDS and isinstance(model, str) else None


def check_version(path: Path, own: Mapping[str, Any]) -> None:
    version, arch = own.get("version"), str(own.get("arch"))
    if version != FORMAT_VERSION or (arch not in zoo.ARCHITECTURES and factory_of(own) is None):
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


def checked_classes(path: Path, classes: Any, num_classes: int) -> tuple[str, ...] | None:
    if classes is None:
        return None
    if not isinstance(classes, list) or not all(isinstance(name, str) and name.isprintable() for name in classes):
        raise CheckpointError(f"{path}: its class names are not a list of names of one line")
    if len(classes) != num_classes:
        raise CheckpointError(f"{path}: names {len(classes)} classes, but its classifier has {num_classes}")
    return tuple(classes)
