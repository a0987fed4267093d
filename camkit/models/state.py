"""State dicts: tensors by key, brought under a network's own keys and checked against it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from camkit.errors import CheckpointError

State = dict[str, Tensor]
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def shapes_of(tensors: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    return {key: tuple(value.shape) for key, value in tensors.items()}


def rename(state: Mapping[str, Tensor], fronts: Mapping[str, str]) -> State:
    """Keys that start with a key of `fronts` get its value there instead."""
    renamed = {}
    for key, value in state.items():
        front = next((front for front in fronts if key.startswith(front)), "")
        renamed[fronts.get(front, "") + key.removeprefix(front)] = value
    return renamed


def without_wrappers(state: Mapping[str, Tensor], signature: str) -> State | None:
    """Keys without what wrappers put in front (`module.`, `model.backbone.`), found by where the key `signature` lies.

    Neighbours of a wrapped trunk (`module.fc.…` beside `module.backbone.…`) lose what they share with it.
    None: no such key.
    """
    fronts = [key.removesuffix(signature) for key in state if f".{key}".endswith(f".{signature}")]
    if not fronts:
        return None
    parts = min(fronts, key=len).split(".")
    parents = ["".join(f"{part}." for part in parts[:n]) for n in range(len(parts))]
    nearest: dict[str, str] = {}
    for key in state:
        inside = max((parent for parent in parents if key.startswith(parent)), key=len)
        name = key.removeprefix(inside)
        if name not in nearest or len(nearest[name]) < len(key):
            nearest[name] = key
    return {name: state[key] for name, key in nearest.items()}


def fitted(path: Path, name: str, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> State:
    """Copies of exactly the expected tensors, in their types, or an error that says how `state` differs."""
    missing = [key for key in expected if key not in state and not key.endswith("num_batches_tracked")]
    unknown = [key for key in state if key not in expected]
    if missing or unknown:
        told = (
            f"{len(keys)} {how} ({examples(keys)})"
            for how, keys in (("missing", missing), ("unknown", unknown))
            if keys
        )
        raise CheckpointError(f"{path}: does not fit {name}; of its keys {', '.join(told)}")
    return {key: _fitted(path, key, state, like) for key, like in expected.items()}


def _fitted(path: Path, key: str, state: Mapping[str, Tensor], like: Tensor) -> Tensor:
    if key not in state:
        return torch.zeros(like.shape, dtype=like.dtype)
    tensor = state[key]
    if tensor.shape != like.shape:
        raise CheckpointError(f"{path}: {key} is {list(tensor.shape)}, but {list(like.shape)} fits the other shapes")
    if like.is_floating_point():
        _check_numbers(path, key, tensor)
    return tensor.to(like.dtype, copy=True, memory_format=torch.contiguous_format)


def _check_numbers(path: Path, key: str, tensor: Tensor) -> None:
    if tensor.dtype not in FLOATS:
        raise CheckpointError(f"{path}: {key} holds {tensor.dtype}; floating-point weights are needed")
    # the sum is cheaper, but may overflow in sound weights
    if not tensor.sum().isfinite() and not tensor.isfinite().all():
        raise CheckpointError(f"{path}: {key} holds NaN or infinite values; did its training diverge?")


def examples(keys: Iterable[str]) -> str:
    keys = list(keys)
    return ", ".join(key[:60] for key in keys[:3]) + (", …" if len(keys) > 3 else "")
