"""IRN's pickled dicts: {"keys": classes [C], "cam": [C, h, w] at stride 4, "high_res": [C, H, W]}."""

from __future__ import annotations

import io
from collections import OrderedDict
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO, Any

import numpy as np

from camkit.data.exchange.planes import Planes, has_keys, keyed_planes, load_dict, plane_source
from camkit.data.exchange.source import Ask, Source, files_of, names_for
from camkit.data.exchange.writing import save_object
from camkit.errors import ImageError
from camkit.types import Activation
from camkit.upsample import upsample

STRIDE = 4


def read_irn(path: Path, ask: Ask) -> Source:
    read = partial(_planes, array=ask.array)
    return plane_source("irn", files_of(path, ".npy"), read, ask, names_for(ask, path))


def _planes(path: Path, array: str | None) -> Planes:
    content = load_dict(path)
    if not has_keys(content):
        raise ImageError(f"{path} is of the format psa (a dict of maps), not irn (a dict with keys)")
    return keyed_planes(content, array, path)


def write_irn(file: IO[bytes], activation: Activation) -> None:
    """Maps of any size."""
    height, width = activation.size
    content = {
        "keys": _Tensor(activation.classes.astype(np.int64)),
        "cam": _Tensor(upsample(activation.values, (-(-height // STRIDE), -(-width // STRIDE)))),
        "high_res": upsample(activation.values, activation.size),
    }
    save_object(file, content)


@dataclass(frozen=True, eq=False)
class _Tensor:
    """Pickled as a torch tensor, which IRN's programs take it for.

    torch's own way of pickling puts addresses of memory into the file, so that no two are the same.
    """

    values: np.ndarray

    def __reduce__(self) -> tuple[Any, ...]:
        import torch

        tensor = torch.from_numpy(np.ascontiguousarray(self.values))
        storage = _Storage(tensor)
        return torch._utils._rebuild_tensor_v2, (
            storage,
            0,
            tuple(tensor.size()),
            tensor.stride(),
            False,
            OrderedDict(),
        )


@dataclass(frozen=True, eq=False)
class _Storage:
    tensor: Any

    def __reduce__(self) -> tuple[Any, ...]:
        import torch

        memory = self.tensor.untyped_storage()
        stored = io.BytesIO()
        torch.save(torch.storage.TypedStorage(wrap_storage=memory, dtype=self.tensor.dtype, _internal=True), stored)
        return torch.storage._load_from_bytes, (stored.getvalue(),)
