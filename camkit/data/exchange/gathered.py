"""Formats that are one file about all images: what is said of an image waits in a hidden folder until all are there."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from xml.sax.saxutils import quoteattr

import numpy as np

from camkit.data.classes import COCO_CLASSES, COCO_IDS
from camkit.data.exchange import rle
from camkit.data.exchange.brush import brush_lengths
from camkit.data.exchange.outlines import parts_of
from camkit.data.exchange.source import undecided
from camkit.data.writing import write_whole
from camkit.types import Activation

Said = Mapping[str, Any]
Facts = list[dict[str, Any]]
_PARTS = ".parts"


@dataclass(frozen=True)
class Gathered:
    """describe  an image's mask, its name and the classes → facts, as JSON can hold them
    gather    names and facts of all images, one after the other, and the classes → the file, piece by piece
    """

    ending: str
    describe: Callable[[Activation, str, Sequence[str]], Said]
    gather: Callable[[Iterator[Said], Sequence[str]], Iterator[str]]
    classes: Sequence[str]
    names: Mapping[str, str]
    temporary: bool = True

    @property
    def endings(self) -> tuple[str, ...]:
        return (self.ending,)

    def files(self, id: str) -> tuple[str, ...]:
        return (f"{_PARTS}/{id}.json",)

    def write(self, folder: Path, activation: Activation) -> None:
        said = self.describe(activation, self.names.get(activation.id, activation.id), self.classes)
        text = json.dumps(said, separators=(",", ":"), ensure_ascii=False)
        write_whole(folder / self.files(activation.id)[0], lambda file: file.write(text.encode()))

    def finish(self, folder: Path, ids: tuple[str, ...], complete: bool) -> None:
        said = (json.loads((folder / self.files(id)[0]).read_bytes()) for id in ids)
        write_whole(folder / self.ending, lambda file: _write(file, self.gather(said, self.classes)))
        if complete:
            shutil.rmtree(folder / _PARTS, ignore_errors=True)


def _write(file: IO[bytes], pieces: Iterator[str]) -> None:
    for piece in pieces:
        file.write(piece.encode())


def _regions(activation: Activation, classes: Sequence[str]) -> Iterator[tuple[int, np.ndarray, tuple[int, ...]]]:
    """Of each connected part: the class, where it is [H, W], and its box: left, top, width, height."""
    for value, part in parts_of(activation.values, undecided(len(classes))):
        rows, columns = np.flatnonzero(part.any(axis=1)), np.flatnonzero(part.any(axis=0))
        left, top = int(columns[0]), int(rows[0])
        yield value - 1, part, (left, top, int(columns[-1]) + 1 - left, int(rows[-1]) + 1 - top)


def coco_image(activation: Activation, name: str, classes: Sequence[str]) -> Said:
    height, width = activation.size
    objects = [
        {
            "category_id": coco_number(index, classes),
            "segmentation": {"size": [height, width], "counts": rle.to_text(rle.encode(part))},
            "area": int(part.sum()),
            "bbox": list(box),
            "iscrowd": 0,
        }
        for index, part, box in _regions(activation, classes)
    ]
    return {"file_name": name, "width": width, "height": height, "objects": objects}


def coco_file(said: Iterator[Said], classes: Sequence[str]) -> Iterator[str]:
    """Images and annotations are numbered from 1."""
    images: Facts = []
    count = 0
    yield '{"annotations":['
    for image in said:
        images.append({"id": len(images) + 1, **{key: image[key] for key in ("file_name", "width", "height")}})
        for one in image["objects"]:
            count += 1
            yield ("," if count > 1 else "") + json.dumps({"id": count, "image_id": len(images), **one})
    categories = [{"id": coco_number(index, classes), "name": name} for index, name in enumerate(classes)]
    yield f'],"images":{json.dumps(images)},"categories":{json.dumps(categories, ensure_ascii=False)}}}\n'


def coco_number(index: int, classes: Sequence[str]) -> int:
    """COCO's own numbers have gaps."""
    return COCO_IDS[index] if tuple(classes) == COCO_CLASSES else index + 1


def cvat_image(activation: Activation, name: str, classes: Sequence[str]) -> Said:
    """Run lengths of the pixels in the box, row by row, beginning with those that are not of the object."""
    height, width = activation.size
    objects = []
    for index, part, (left, top, wide, high) in _regions(activation, classes):
        runs = rle.encode(part[top : top + high, left : left + wide].T).tolist()  # of the transpose: row by row
        objects.append({"label": classes[index], "rle": runs, "box": [left, top, wide, high]})
    return {"name": name, "width": width, "height": height, "objects": objects}


def cvat_file(said: Iterator[Said], classes: Sequence[str]) -> Iterator[str]:
    """CVAT for images, version 1.1."""
    labels = "".join(f"<label><name>{quoteattr(name)[1:-1]}</name><type>mask</type></label>" for name in classes)
    yield '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n<version>1.1</version>\n'
    yield f"<meta><task><labels>{labels}</labels></task></meta>\n"
    for number, image in enumerate(said):
        size = f'width="{image["width"]}" height="{image["height"]}"'
        yield f'<image id="{number}" name={quoteattr(image["name"])} {size}>\n'
        for one in image["objects"]:
            left, top, wide, high = one["box"]
            runs = ", ".join(map(str, one["rle"]))
            yield (
                f'<mask label={quoteattr(one["label"])} source="auto" occluded="0" rle="{runs}" left="{left}" '
                f'top="{top}" width="{wide}" height="{high}" z_order="0"></mask>\n'
            )
        yield "</image>\n"
    yield "</annotations>\n"


def label_studio_task(activation: Activation, name: str, classes: Sequence[str]) -> Said:
    """A task with a prediction: a brush for each class."""
    height, width = activation.size
    values = [value for value in np.unique(activation.values).tolist() if value not in (0, undecided(len(classes)))]
    results = [
        {
            "id": f"{activation.id}/{value}", "type": "brushlabels", "from_name": "tag", "to_name": "image",
            "original_width": width, "original_height": height, "image_rotation": 0,
            "value": {
                "format": "rle", "rle": brush_lengths(activation.values == value), "brushlabels": [classes[value - 1]],
            },
        }
        for value in values
    ]  # fmt: skip
    return {"data": {"image": name}, "predictions": [{"model_version": "camkit", "result": results}]}


def label_studio_file(said: Iterator[Said], classes: Sequence[str]) -> Iterator[str]:
    for number, task in enumerate(said):
        yield (",\n" if number else "[\n") + json.dumps(task, ensure_ascii=False)
    yield "\n]\n"
