"""The store a stage reads: at a path, several shards, or on standard input."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from camkit.data.images import ImageSet, find_images
from camkit.data.reading import examples, is_folder
from camkit.data.voc import find_voc
from camkit.errors import CamkitError, InputError, UsageError
from camkit.pipeline.load import Failure, load_ahead
from camkit.pipeline.output import Output, Runtime, Summary, is_pipe_or_file, open_output, write_activations
from camkit.pipeline.photos import ViewSize, read_photo
from camkit.pipeline.run import Step
from camkit.pipeline.select import Shard, shard_of_environment
from camkit.store.pipe import receive_store
from camkit.store.prototypes import PrototypeStore
from camkit.store.provenance import sha256_file, stage
from camkit.store.reader import Reader, open_store
from camkit.store.schema import Header, shard_ids
from camkit.types import Record

log = logging.getLogger("camkit")

STANDARD_INPUT = Path("-")
STANDARD_INPUT_NAME = "standard input"
PHOTOS = "CAMKIT_PHOTOS"
"""An environment variable: folders whose photos a store may name, besides those below its own and the current one."""

Sources = Path | str | Sequence[Path | str]
"""A store, the shards of one, a folder of masks; `-` or an empty sequence is standard input."""


def paths_of(sources: Sources) -> tuple[Path, ...]:
    return (Path(sources),) if isinstance(sources, Path | str) else tuple(map(Path, sources))


@contextmanager
def open_input(paths: Sequence[Path]) -> Iterator[Reader]:
    """Open the stores; `-`, or none when standard input is a pipe or a file, is the store on standard input."""
    if not reads_standard_input(paths):
        with open_store(*paths) as store:
            yield store
        return
    with receive_store() as path, open_store(path, name=STANDARD_INPUT_NAME) as store:
        yield store


def reads_standard_input(
    paths: Sequence[Path], question: str = "which store? name it, or pipe it in from another camkit command"
) -> bool:
    if list(paths) == [STANDARD_INPUT]:
        return True
    if paths:
        return False
    if sys.stdin is not None and is_pipe_or_file(sys.stdin.fileno()):
        return True
    raise UsageError(question)


def history_of(store: Reader) -> Mapping[str, Any]:
    """The store's provenance; of one made by hand, which has none, a digest of the file."""
    if store.header.provenance:
        return store.header.provenance
    return stage("a store without a history", {"sha256": [sha256_file(path) for path in store.paths]})


def name_of_input(paths: Sequence[Path]) -> str:
    return ", ".join(map(str, paths)) if paths and not reads_standard_input(paths) else STANDARD_INPUT_NAME


def stored_records(ids: Sequence[str], store: Reader) -> Iterator[Record | Failure]:
    """Records that carry nothing but what the store holds of the image."""
    for id in ids:
        try:
            activation = store.read(id)
        except CamkitError as error:
            yield Failure(id, error)
        else:
            yield Record(id, activation.size, upstream=activation)


def records_with_photos(
    ids: Sequence[str], store: Reader, photos: ImageSet, view: ViewSize, workers: int
) -> Iterator[Record | Failure]:
    """What the store holds, and the photo that it is about."""
    return load_ahead(stored_records(ids, store), partial(_with_photo, photos=photos, view=view), workers=workers)


def _with_photo(record: Record | Failure, photos: ImageSet, view: ViewSize) -> Record | Failure:
    """A photo without classes is not looked at."""
    if isinstance(record, Failure) or record.upstream is None or len(record.upstream.classes) == 0:
        return record
    try:
        return replace(record, image=read_photo(record.upstream, photos, view))
    except CamkitError as error:
        return Failure(record.id, error)


def refine_store(
    store: Reader,
    header: Header,
    output: Output,
    runtime: Runtime,
    records: Callable[[Sequence[str]], Iterable[Record | Failure]],
    step: Step,
    *,
    description: str,
    inputs: Iterable[Path | str | None] = (),
    ids: Sequence[str] | None = None,
    shard: Shard | None = None,
    threads: int = 0,
) -> Summary:
    """Run a step over the images of a store, or those of its ids that are named, into another store.

    inputs  what the stage reads besides the store
    """
    if store.failures:
        log.warning("%d images had failed before and are left out (camkit info --failures)", len(store.failures))
    ids = store.ids if ids is None else ids
    shard = shard or shard_of_environment()
    with open_output(output, header, ids, shard, inputs=[*store.paths, *inputs]) as sink:
        own = shard_ids(ids, shard)
        return write_activations(sink, own, records, step, description=description, runtime=runtime, threads=threads)


def find_photos(store: Reader, images: Path | str | None, name: str) -> ImageSet:
    """The photos in `images`, or where the store says its photos were; at least one of the store's is there."""
    photos = photos_of(store, images, name)
    if store.ids and photos.paths.keys().isdisjoint(store.ids):
        raise InputError(
            f"none of the {len(store.ids)} images is in {photos.root}: looked for {examples(store.ids)}\n"
            f"give --images the folder that {name} was made from"
        )
    return photos


def photos_of(store: Reader | PrototypeStore, images: Path | str | None, name: str) -> ImageSet:
    return photos_at(store.header.image_root, images, name, beside=folders_of_input(store))


def photos_at(
    image_root: str,
    images: Path | str | None,
    name: str,
    list: str | None = None,
    *,
    beside: Iterable[Path],
) -> ImageSet:
    """The photos in `images`, or where those of the input of this name were; of a list only those.

    beside  the folders that the input lies in
    """
    if images is not None:
        return find_images(Path(images), list)
    root = recorded_root(image_root, name, beside)
    voc = find_voc(root.parent)
    return find_images(voc.root if voc and voc.images == root else root, list)


def folders_of_input(store: Reader | PrototypeStore) -> tuple[Path, ...]:
    """None where it came through a pipe."""
    if isinstance(store, PrototypeStore):
        return (Path(store.name).parent,)
    return () if store.names == (STANDARD_INPUT_NAME,) else tuple(path.parent for path in store.paths)


def recorded_root(image_root: str, name: str, beside: Iterable[Path]) -> Path:
    """Where the photos are by the word of an input that anybody may have written: it may not name any folder."""
    if not image_root:
        raise InputError(f"{name} does not say where its photos are; give --images FOLDER")
    root = Path(image_root)
    if not is_folder(root):
        raise InputError(f"the photos of {name} were in {root}, which is not there\ngive --images FOLDER")
    named = filter(None, os.environ.get(PHOTOS, "").split(os.pathsep))
    if not any(root.resolve().is_relative_to(one.resolve()) for one in (Path(), *beside, *map(Path, named))):
        raise InputError(
            f"{name} says that its photos are in {root}, which is neither below its own folder nor below this one\n"
            f"if that is right, give --images {root}, or name the folder in {PHOTOS}"
        )
    return root
