"""PSA's pickled dicts: {class: map [H, W]}, or of probabilities {0: background, class + 1: probability [H, W]}."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import IO

from camkit.data.classes import ClassIndex
from camkit.data.exchange.planes import Planes, has_keys, load_dict, named_planes, plane_source
from camkit.data.exchange.source import Ask, Source, files_of, names_for
from camkit.data.exchange.writing import save_object
from camkit.errors import ImageError
from camkit.types import Activation
from camkit.upsample import upsample


def read_psa(path: Path, ask: Ask) -> Source:
    classes = names_for(ask, path)
    read = partial(_planes, classes=ClassIndex(classes))
    return plane_source("psa", files_of(path, ".npy"), read, ask, classes)


def _planes(path: Path, classes: ClassIndex) -> Planes:
    content = load_dict(path)
    if has_keys(content):
        raise ImageError(f"{path} is of the format irn (a dict with keys), not psa (a dict of maps)")
    return named_planes(content, classes, path)


def write_psa(file: IO[bytes], activation: Activation, *, background: bool) -> None:
    """Maps or probabilities of any size: they become as large as the photo."""
    classes = activation.classes.tolist()
    keys = [0, *(index + 1 for index in classes)] if background else classes
    save_object(file, dict(zip(keys, upsample(activation.values, activation.size), strict=True)))
