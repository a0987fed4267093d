"""Files of weights, told apart by content: torch's zip and legacy pickles, never running code in them; safetensors."""

from __future__ import annotations

import difflib
import json
import re
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from camkit.errors import CheckpointError
from camkit.models.state import State
from camkit.models.weights import PACKAGED, PACKAGES

WRAPPERS = (
    "state_dict",
    "model_state_dict",
    "model",
    "net",
    "network",
    "module",
    "ema",
    "model_ema",
    "weights",
    "params",
)
HARMLESS = (
    "argparse.Namespace",
    "numpy.dtype",
    "numpy.core.multiarray.scalar",
    "numpy._core.multiarray.scalar",
)
MAGICS = {
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: run `git lfs pull`",
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (a camkit store?), not a torch or safetensors checkpoint",
    b"\x12\x01\x00\x00\x00\x00\x00\x00": "an MXNet parameter file: convert it to a torch checkpoint first",
    b"\x93NUMPY": "a NumPy array, not a checkpoint",
    b"\x89PNG": "an image, not a checkpoint",
    b"\xff\xd8\xff": "an image, not a checkpoint",
    b"\x1f\x8b": "compressed with gzip: unpack it first",
}


def _way_to_weights(path: Path) -> str:
    """What to do who named what is not there."""
    if "://" in str(path) or str(path).startswith(("https:/", "http:/")):
        return "camkit downloads nothing: fetch the file, and name it"
    known = [*PACKAGED, *PACKAGES]
    near = difflib.get_close_matches(str(path), known, n=1)
    return f"do you mean {near[0]}?" if near else f"give a file of weights, or one of {', '.join(known)}"


def read_tensors(path: Path) -> tuple[State, dict[str, Any] | None]:
    """All tensors of a checkpoint, taken out of wrapping dicts, and camkit's own description if there is one.

    The tensors may still be mapped from the file: copy what is kept.
    """
    try:
        if path.exists() and not path.is_file():
            raise CheckpointError(f"{path}: is not a file; --ckpt takes a file of weights")
        with path.open("rb") as file:
            head = file.read(1024)
            size = file.seek(0, 2)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "cannot be read"
        raise CheckpointError(f"{path}: {reason}; {_way_to_weights(path)}") from error
    if not head:
        raise CheckpointError(f"{path}: the file is empty; fetch it again")
    for magic, what in MAGICS.items():
        if head.startswith(magic):
            raise CheckpointError(f"{path}: is {what}")
    if head[5:9] == b"\0\0\0{":  # behind the length of a header below a terabyte
        return _read_safetensors(path)
    if head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):
        raise CheckpointError(f"{path}: is a web page, not a checkpoint: does the download need a login?")
    if _is_text(head):
        raise CheckpointError(f"{path}: is a text file, not a checkpoint")
    archive = head.startswith(b"PK\x03\x04")
    if archive:
        _check_archive(path, size)
    tensors = dict(_tensors_of(path, _unwrap(_unpickle(path, archive))))
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors; --ckpt takes a state dict of weights")
    return tensors, None


def _is_text(head: bytes) -> bool:
    return not any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)


def _check_archive(path: Path, size: int) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, OSError, ValueError, RuntimeError) as error:
        raise CheckpointError(f"{path}: the file is damaged or cut short; fetch it again") from error
    if any(member.filename.endswith("/constants.pkl") for member in members):
        raise CheckpointError(
            f"{path}: is a TorchScript archive; save the module's `state_dict()` with torch.save instead"
        )
    if not any(member.filename.endswith("data.pkl") for member in members):
        raise CheckpointError(f"{path}: is a zip archive, but not a torch checkpoint")
    if sum(member.file_size for member in members) > 4 * size + 2**20:
        raise CheckpointError(f"{path}: unpacks to many times its size, which no checkpoint does; refused")


class Skipped:
    """Stands in for what training programs leave beside the weights; holds nothing and does nothing."""

    def __init__(self, *args: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        pass


def _unpickle(path: Path, archive: bool) -> Any:
    # numpy's own constructors could be led to corrupt memory by a hostile file
    harmless: list[Any] = [(Skipped, name) for name in HARMLESS]
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(harmless):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=archive)
    except Exception as error:  # whatever a hostile pickle provokes, the user gets one message
        raise CheckpointError(f"{path}: {_why(error)}") from error


def _why(error: Exception) -> str:
    text = str(error)
    code = re.search(r"GLOBAL ([\w.]+)", text)
    if code:
        return f"refused, since reading it would run code ({code[1]}); save only the `state_dict()` with torch.save"
    if "legacy .tar" in text:
        return "has the tar format of the first torch versions; load it with one of them and save it again"
    return "is no checkpoint that torch can read safely, or is damaged; fetch it again"


def _unwrap(loaded: Any, depth: int = 0) -> Any:
    """The innermost dict of tensors: `{"epoch": 3, "state_dict": {…}}` and the like."""
    if not isinstance(loaded, Mapping) or depth == 4:
        return loaded
    for key in WRAPPERS:
        inner = loaded.get(key)
        if isinstance(inner, Mapping) and inner:
            return _unwrap(inner, depth + 1)
    if any(isinstance(value, Tensor) for value in loaded.values()):
        return loaded
    nested = [value for value in loaded.values() if isinstance(value, Mapping) and value]
    return _unwrap(nested[0], depth + 1) if len(nested) == 1 else loaded


def _tensors_of(path: Path, loaded: Any) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(loaded, Mapping):
        raise CheckpointError(f"{path}: holds no state dict but {type(loaded).__name__}; save `model.state_dict()`")
    for key, value in loaded.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            continue
        if value.layout != torch.strided or value.device.type != "cpu" or value.is_quantized:
            raise CheckpointError(f"{path}: {key} is sparse, quantised or without data; plain float weights are needed")
        if value.numel() * value.element_size() > value.untyped_storage().nbytes():
            raise CheckpointError(f"{path}: {key} claims more numbers than the file holds; refused")
        yield key, value.detach()


def _read_safetensors(path: Path) -> tuple[State, dict[str, Any] | None]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - not a dict
    except Exception as error:  # whatever a hostile header provokes, the user gets one message
        raise CheckpointError(f"{path}: the safetensors file is damaged or cut short; fetch it again") from error
    if not tensors:
        raise CheckpointError(f"{path}: holds no tensors; --ckpt takes a state dict of weights")
    return tensors, _own_description(path, metadata)


def _own_description(path: Path, metadata: Mapping[str, str]) -> dict[str, Any] | None:
    if "camkit" not in metadata:
        return None
    try:
        description = json.loads(metadata["camkit"])
    except (ValueError, RecursionError):
        description = None
    if not isinstance(description, dict):
        raise CheckpointError(f"{path}: its camkit description is not readable; save the checkpoint again")
    return description
