"""`camkit import`: what other programs wrote, as a store."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from camkit.data.classes import read_classes
from camkit.data.exchange.formats import READERS, recognise
from camkit.data.exchange.naming import match_photos
from camkit.data.exchange.source import Ask, Found, Source, check_classes, checked_values
from camkit.data.images import ImageSet, find_images, image_size, list_file
from camkit.data.lists import read_id_list
from camkit.data.voc import find_voc
from camkit.errors import CamkitError, ImageError, LabelError, UsageError
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.output import Output, Runtime, Summary, check_inputs_stay, open_output, write_activations
from camkit.pipeline.select import shard_of_environment
from camkit.store.provenance import stage
from camkit.store.schema import Header, kind_of, shard_ids
from camkit.types import Activation, Record, Size

log = logging.getLogger("camkit")


@dataclass(frozen=True)
class Foreign:
    """What the user says of the files to import; None where they are to speak for themselves.

    format   psa, irn, npz, png, coco, deeplab, huggingface
    kind     maps or probs
    classes  voc, coco or a file of names; None: those in the files, else VOC's
    array    of files that hold several arrays, the one to take
    images   where the photos are; list: only these of the images; limit: only the first so many
    clip     take values below 0 as 0 and above 1 as 1
    """

    format: str | None = None
    kind: str | None = None
    classes: str | None = None
    array: str | None = None
    images: Path | None = None
    list: str | None = None
    limit: int | None = None
    clip: bool = False


@dataclass(frozen=True)
class Import:
    """What is imported: a source, the name in it of every id, and the photo of every id where they are known."""

    source: Source
    names: Mapping[str, str]
    photos: Mapping[str, Path]
    image_root: str
    clip: bool

    def read(self, id: str) -> Record | Failure:
        """A class beyond those that have names is the trouble of all, not of this image."""
        name = self.names[id]
        path = self.source.files[name]
        try:
            found = self.source.read(name)
            size = self._size(id, found, path)
        except LabelError:
            raise
        except CamkitError as error:
            return Failure(id, error)
        check_classes(found, self.source.kind, len(self.source.classes), path)
        return Record(id, size, upstream=Activation(id, found.values, found.classes, size))

    def _size(self, id: str, found: Found, path: Path) -> Size:
        photo = self.photos.get(id)
        if photo is None:
            if found.size is None:
                raise ImageError(f"{path} does not say how large its photo is; give --images the folder of the photos")
            return found.size
        size = image_size(photo)
        if found.size is not None and found.size != size:
            there, expected = ("{1} x {0}".format(*shape) for shape in (found.size, size))
            raise ImageError(f"{path} is for a photo of {there} px, but {photo} has {expected}")
        return size

    def checked(self, batch: Sequence[Record]) -> list[Activation]:
        """A step: what was read, of which maps and probabilities must lie in their range."""
        return [replace(record.upstream, values=self._values(record.upstream)) for record in batch if record.upstream]

    def _values(self, found: Activation) -> np.ndarray:
        if kind_of(self.source.kind).is_mask:
            return found.values
        values = found.values if len(found.values) else np.zeros((0, *found.size), np.float32)
        return checked_values(values, self.source.kind, self.clip, self.source.files[self.names[found.id]])

    def records(self, ids: Sequence[str], workers: int) -> Iterator[Record | Failure]:
        return load_ahead(ids, self.read, workers=workers)


def import_files(
    path: Path | str, output: Output, runtime: Runtime = Runtime(), foreign: Foreign = Foreign()
) -> Summary:
    """Write a store of the maps, probabilities or masks that another program left in a folder or file."""
    path = Path(path)
    _check(foreign, path, output)
    content = open_import(path, foreign)
    source, ids = content.source, tuple(content.names)
    log.info("format %s: %s of %d images, %d classes", source.format, source.kind, len(ids), len(source.classes))
    content.read(ids[0])  # the classes are wrong in all files or in none: before anything is written
    header = Header(
        kind=source.kind,
        classes=source.classes,
        image_root=content.image_root,
        provenance=stage("import", _parameters(content, foreign, output), selection=_selection(content, path)),
    )
    shard = shard_of_environment()
    with open_output(output, header, ids, shard, inputs=[path, foreign.images]) as sink:
        return write_activations(
            sink,
            shard_ids(ids, shard),
            partial(content.records, workers=runtime.workers),
            content.checked,
            description="import",
            runtime=runtime,
            threads=runtime.workers,
        )


def open_import(path: Path, foreign: Foreign) -> Import:
    """Find the images and their photos; everything that concerns all of them is found wrong here."""
    photos = find_images(foreign.images) if foreign.images is not None else None
    list_path = list_file(foreign.list, (photos and photos.voc) or find_voc(path)) if foreign.list is not None else None
    classes = read_classes(foreign.classes) if foreign.classes is not None else None
    ask = Ask(classes, foreign.kind, foreign.array, list_path, foreign.images)
    source = READERS[foreign.format or recognise(path, list_path)](path, ask)
    if foreign.kind is not None and not kind_of(source.kind).unit:
        raise UsageError(f"--kind is for maps and probabilities; the format {source.format} has {source.kind}")
    names = _named(source, photos)
    if list_path is not None:
        listed = read_id_list(list_path, names.keys(), str(path))
        names = {id: name for id, name in names.items() if id in listed}
    names = dict(islice(sorted(names.items()), foreign.limit))
    if photos is not None:
        return Import(source, names, photos.paths, str(photos.root.resolve()), foreign.clip)
    root = "" if source.image_root is None else str(source.image_root.resolve())
    return Import(source, names, source.photos, root, foreign.clip)


def _named(source: Source, photos: ImageSet | None) -> dict[str, str]:
    """id → name in the source. Ids are those of the photos, where they are known."""
    if photos is None:
        return {name: name for name in source.files}
    return match_photos(source.files, photos.paths, str(photos.root))


def _check(foreign: Foreign, path: Path, output: Output) -> None:
    if foreign.format not in (None, *READERS):
        raise UsageError(f"{foreign.format} is not a format; the formats are {', '.join(READERS)}")
    if foreign.limit is not None and foreign.limit < 1:
        raise UsageError(f"--limit {foreign.limit}: take at least one image")
    check_inputs_stay(output.out, [path, foreign.images])


def _parameters(content: Import, foreign: Foreign, output: Output) -> dict[str, Any]:
    parameters: dict[str, Any] = {"format": content.source.format, "kind": content.source.kind}
    if kind_of(content.source.kind).unit:
        parameters |= {"dtype": output.dtype or "float16", "clip": foreign.clip}
    if foreign.array is not None:
        parameters["array"] = foreign.array
    return parameters


def _selection(content: Import, path: Path) -> dict[str, Any]:
    """Where the files are, and a digest of ids and files, tell whether a run is the same."""
    digest = hashlib.sha256()
    for id, name in content.names.items():
        file = os.path.abspath(content.source.files[name])  # noqa: PTH100 - of many files: Path.resolve asks the disk
        digest.update(json.dumps([id, file]).encode() + b"\n")
    return {"count": len(content.names), "sha256": digest.hexdigest(), "images": str(path.resolve())}
