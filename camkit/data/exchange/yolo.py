"""Ultralytics' data sets: photos beside polygons (YOLO-seg) or beside grey masks (semantic), and a data.yaml."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from camkit.data.exchange.huggingface import copy_photo
from camkit.data.exchange.outlines import parts_of, polygon_of
from camkit.data.exchange.source import undecided
from camkit.data.writing import write_whole
from camkit.types import Activation

DATA = "data.yaml"
_SPLIT = "train"


@dataclass(frozen=True)
class YoloTarget:
    """Takes masks. semantic: PNGs with 0 background and 255 ignored; else a polygon for each connected part."""

    classes: Sequence[str]
    photos: Mapping[str, Path]
    semantic: bool = False
    endings: tuple[str, ...] = (DATA,)
    temporary: bool = False

    def files(self, id: str) -> tuple[str, ...]:
        said = f"masks/{_SPLIT}/{id}.png" if self.semantic else f"labels/{_SPLIT}/{id}.txt"
        return f"images/{_SPLIT}/{id}{self.photos[id].suffix}", said

    def write(self, folder: Path, activation: Activation) -> None:
        photo, said = (folder / name for name in self.files(activation.id))
        copy_photo(self.photos[activation.id], photo)
        if self.semantic:
            write_whole(said, lambda file: Image.fromarray(activation.values).save(file, "PNG"))
        else:
            text = "".join(self._lines(activation))
            write_whole(said, lambda file: file.write(text.encode()))

    def _lines(self, activation: Activation) -> list[str]:
        """`class x y x y …`, shares of width and height."""
        scale = np.array([activation.size[1], activation.size[0]])
        return [
            f"{value - 1} {' '.join(f'{share:.6f}' for share in (polygon_of(part) / scale).ravel())}\n"
            for value, part in parts_of(activation.values, undecided(len(self.classes)))
        ]

    def finish(self, folder: Path, ids: tuple[str, ...], complete: bool) -> None:
        names = ["background", *self.classes] if self.semantic else [*self.classes]
        lines = [f"path: {json.dumps(str(folder.resolve()), ensure_ascii=False)}"]
        lines += [f"{split}: images/{_SPLIT}" for split in ("train", "val")]
        lines += ["masks_dir: masks"] if self.semantic else []
        lines += ["names:", *(f"  {n}: {json.dumps(name, ensure_ascii=False)}" for n, name in enumerate(names))]
        write_whole(folder / DATA, lambda file: file.write(("\n".join(lines) + "\n").encode()))
