"""What the writers of all formats share."""

from __future__ import annotations

import pickle
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np

from camkit.data.writing import write_whole
from camkit.types import Activation


class Target(Protocol):
    """One format, written into a folder image by image. Paths are relative to the folder."""

    @property
    def endings(self) -> tuple[str, ...]:
        """Files that speak of all images, written last."""

    @property
    def temporary(self) -> bool:
        """Whether the files of single images vanish when the endings are there."""

    def files(self, id: str) -> tuple[str, ...]:
        """What is there once the image is written."""

    def write(self, folder: Path, activation: Activation) -> None: ...

    def finish(self, folder: Path, ids: tuple[str, ...], complete: bool) -> None:
        """Write the endings; `ids` are the images that were written, now or in earlier runs, perhaps not all."""


@dataclass(frozen=True)
class OneFile:
    """The frame of formats where an image is one file that speaks for itself."""

    suffix: str
    encode: Callable[[IO[bytes], Activation], Any]
    endings: tuple[str, ...] = ()
    temporary: bool = False

    def files(self, id: str) -> tuple[str, ...]:
        return (id + self.suffix,)

    def write(self, folder: Path, activation: Activation) -> None:
        write_whole(folder / (activation.id + self.suffix), lambda file: self.encode(file, activation))

    def finish(self, folder: Path, ids: tuple[str, ...], complete: bool) -> None:
        """Nothing is left to say."""


def save_object(file: IO[bytes], content: dict[Any, Any]) -> None:
    """As `numpy.save` does with what is no array: a pickle in a `.npy` file. NumPy 1, too, can read it."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|O", "fortran_order": False, "shape": ()})
    file.write(_with_old_names(pickle.dumps(np.array(content, object), protocol=3)))


def _with_old_names(pickled: bytes) -> bytes:
    """`numpy._core`, unknown before NumPy 1.26, as `numpy.core`, which every version knows."""
    parts, end = [], 0
    for opcode, name, start in pickletools.genops(pickled):
        if opcode.name == "GLOBAL" and str(name).startswith("numpy._core."):
            parts += [pickled[end:start], b"cnumpy.core."]
            end = start + len(b"cnumpy._core.")  # type: ignore[operator]
    return b"".join([*parts, pickled[end:]])
