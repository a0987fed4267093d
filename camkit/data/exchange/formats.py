"""The formats there are, and which of them a folder or file is of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path

from camkit.data.exchange.coco import read_coco
from camkit.data.exchange.deeplab import is_pairs, read_deeplab
from camkit.data.exchange.huggingface import METADATA, find_metadata, read_huggingface
from camkit.data.exchange.irn import read_irn
from camkit.data.exchange.npz import read_npz
from camkit.data.exchange.planes import PROBED, has_keys, load_dict
from camkit.data.exchange.png import read_png
from camkit.data.exchange.psa import read_psa
from camkit.data.exchange.source import MEMO, Ask, Source, files_of
from camkit.data.lists import walk
from camkit.data.reading import HDF5_SIGNATURE, is_file, is_folder, starts_with
from camkit.data.voc import find_voc
from camkit.errors import ImageError, InputError

READERS: Mapping[str, Callable[[Path, Ask], Source]] = {
    "psa": read_psa,
    "irn": read_irn,
    "npz": read_npz,
    "png": read_png,
    "coco": read_coco,
    "deeplab": read_deeplab,
    "huggingface": read_huggingface,
}

_SUFFIXES = (".npy", ".npz", ".png", ".json")
_TEXT = (".txt", ".lst", "")


def recognise(path: Path, list_file: Path | None = None) -> str:
    """The name of the format, by suffixes and content; InputError where that is none, or several."""
    if is_file(path):
        return _of_file(path)
    if not is_folder(path):
        raise InputError(f"there is nothing to import at {path}: it does not exist")
    if list_file is not None and is_pairs(list_file, path):
        return "deeplab"
    if find_metadata(path):
        return "huggingface"
    if find_voc(path):
        return "png"
    suffixes = sorted({Path(name).suffix.lower() for name in walk(path, _SUFFIXES) if Path(name).name != MEMO})
    if not suffixes:
        raise InputError(f"nothing to import in {path}: looked for {', '.join(_SUFFIXES)} and {METADATA}")
    if len(suffixes) > 1:
        raise InputError(f"{path} holds files of several formats ({', '.join(suffixes)}): say which with --format")
    return _of_npy(path) if suffixes == [".npy"] else "coco" if suffixes == [".json"] else suffixes[0][1:]


def _of_file(path: Path) -> str:
    suffix = path.suffix.lower()
    if starts_with(path, HDF5_SIGNATURE, InputError):
        raise InputError(f"{path} is an HDF5 file; a store of camkit needs no import")
    if suffix == ".npy":
        return _of_npy(path)
    if suffix in (".npz", ".png"):
        return suffix[1:]
    if path.name == METADATA:
        return "huggingface"
    if suffix == ".json":
        return "coco"
    if suffix in _TEXT and is_pairs(path):
        return "deeplab"
    raise InputError(f"{path} is of no format known here; they are {', '.join(READERS)}")


def _of_npy(path: Path) -> str:
    """By the first file that can be read."""
    damage: ImageError | None = None
    for file in islice(files_of(path, ".npy").values(), PROBED):
        try:
            return "irn" if has_keys(load_dict(file)) else "psa"
        except ImageError as error:
            damage = damage or error
    assert damage is not None
    raise damage
