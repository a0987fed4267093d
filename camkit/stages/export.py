"""`camkit export`: a store in the format of another program."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from camkit.data.exchange.coco_results import CocoTarget
from camkit.data.exchange.deeplab import DeeplabTarget
from camkit.data.exchange.gathered import (
    Gathered,
    coco_file,
    coco_image,
    cvat_file,
    cvat_image,
    label_studio_file,
    label_studio_task,
)
from camkit.data.exchange.huggingface import HuggingFaceTarget
from camkit.data.exchange.irn import write_irn
from camkit.data.exchange.npz import write_npz
from camkit.data.exchange.png import write_png
from camkit.data.exchange.psa import write_psa
from camkit.data.exchange.writing import OneFile, Target
from camkit.data.exchange.yolo import YoloTarget
from camkit.data.images import find_images
from camkit.data.reading import examples
from camkit.defaults import MASK_THRESHOLD
from camkit.errors import InputError, UsageError
from camkit.pipeline.folder_sink import FolderSink, Maker
from camkit.pipeline.output import Runtime, Summary, check_inputs_stay, write_activations
from camkit.pipeline.run import Step
from camkit.pipeline.upstream import (
    Sources,
    folders_of_input,
    history_of,
    name_of_input,
    open_input,
    paths_of,
    recorded_root,
    stored_records,
)
from camkit.stages.mask_rules import step_for
from camkit.store.provenance import stage
from camkit.store.reader import Reader
from camkit.store.schema import Header, Kind, kinds_that
from camkit.types import Activation, Record
from camkit.upsample import upsample

log = logging.getLogger("camkit")

MAKER = Maker("camkit export", "camkit export", "an export")
GATHERED: Mapping[str, tuple[str, Any, Any]] = {
    "coco-instances": ("instances.json", coco_image, coco_file),
    "cvat": ("annotations.xml", cvat_image, cvat_file),
    "label-studio": ("tasks.json", label_studio_task, label_studio_file),
}
"""The one file, what it says of an image, and how all of that becomes it."""
WITH_PHOTOS = ("deeplab", "huggingface", "yolo-seg", "ultralytics")
MASKS = ("png", "coco", *GATHERED, *WITH_PHOTOS)
MOST_IN_8_BITS = 254
TAKES: Mapping[str, Callable[[Kind], bool]] = {
    "psa": lambda kind: kind.per_class and kind.unit,
    "irn": lambda kind: kind.class_maps and kind.unit,
    "npz": lambda kind: kind.per_class and kind.unit,
    **dict.fromkeys(MASKS, lambda kind: kind.masks_in_passing),
}
ONE_FILE: Mapping[str, tuple[str, Callable[[Kind], Callable[..., None]]]] = {
    "psa": (".npy", lambda kind: partial(write_psa, background=kind.background > 0)),
    "irn": (".npy", lambda kind: write_irn),
    "npz": (".npz", lambda kind: partial(write_npz, kind=kind.name)),
    "png": (".png", lambda kind: write_png),
}
"""Suffix, and what writes a store of a kind."""


def export_store(
    sources: Sources,
    folder: Path | str,
    format: str,
    runtime: Runtime = Runtime(),
    *,
    threshold: float | None = None,
    list: Path | str | None = None,
    images: Path | str | None = None,
    overwrite: bool = False,
) -> Summary:
    """Write what a store holds into a folder, as the programs of `format` write and read it.

    threshold  of a maps store, for formats of masks: as of `camkit mask`
    list       deeplab: the list to write; None: list.txt in the folder
    images     of formats that name or copy the photos: where they are; None: where the store's were
    """
    paths, folder = paths_of(sources), Path(folder)
    list, images = (None if path is None else Path(path) for path in (list, images))
    with open_input(paths) as store:
        _check(store, name_of_input(paths), format, threshold, list)
        masks = format in MASKS
        step = step_for(store, MASK_THRESHOLD if threshold is None else threshold) if masks else _step(format)
        header = Header(
            kind="masks" if masks else store.header.kind,
            classes=store.header.classes,
            image_root=store.header.image_root,
            provenance=stage("export", _parameters(format, store, threshold, list), parents=[history_of(store)]),
        )
        read = [*paths, images, store.header.image_root or None]
        check_inputs_stay(folder, read, "choose another folder")
        target = _target(format, store, folder, list, images)
        if store.failures:
            log.warning("%d images had failed before and are left out (camkit info --failures)", len(store.failures))
        with FolderSink(folder, target, header, store.ids, MAKER, overwrite=overwrite) as sink:
            records = partial(stored_records, store=store)
            return write_activations(sink, store.ids, records, step, description="export", runtime=runtime)


def _check(store: Reader, name: str, format: str, threshold: float | None, list: Path | None) -> None:
    kind = store.header.holds
    if format not in TAKES:
        raise UsageError(f"{format} is not a format; the formats are {', '.join(TAKES)}")
    if not TAKES[format](kind):
        takes = ", ".join(kinds_that(TAKES[format]))
        raise UsageError(f"{name} holds {kind.name}; the format {format} takes {takes}")
    if threshold is not None and not (kind.thresholded and format in MASKS):
        raise UsageError(f"--threshold turns maps into masks, but {name} holds {kind.name} and the format is {format}")
    if list is not None and format != "deeplab":
        raise UsageError(f"--list names the list to write, which belongs to the format deeplab, not {format}")


def _parameters(format: str, store: Reader, threshold: float | None, list: Path | None) -> dict[str, Any]:
    parameters: dict[str, Any] = {"format": format}
    if store.header.holds.thresholded and format in MASKS:
        parameters["threshold"] = MASK_THRESHOLD if threshold is None else threshold
    if list is not None:
        parameters["list"] = str(list.resolve())
    return parameters


def _target(format: str, store: Reader, folder: Path, list: Path | None, images: Path | None) -> Target:
    classes = store.header.classes
    if format in ONE_FILE:
        suffix, encode = ONE_FILE[format]
        return OneFile(suffix, encode(store.header.holds))
    if format == "coco":
        return CocoTarget.of(classes, store.ids)
    if format in GATHERED:
        ending, describe, gather = GATHERED[format]
        return Gathered(ending, describe, gather, classes, _names(store, images))
    photos = _photos(store, images)
    if format in ("yolo-seg", "ultralytics"):
        if format == "ultralytics" and len(classes) > MOST_IN_8_BITS:
            raise UsageError(f"the format ultralytics keeps classes in 8 bits, which {len(classes)} do not fit")
        return YoloTarget(classes, photos, semantic=format == "ultralytics")
    if format == "deeplab":
        check_inputs_stay(list, [*store.paths, *photos.values()], "choose another --list")
        return DeeplabTarget.of(folder, list, photos)
    return HuggingFaceTarget(classes, photos)


def _names(store: Reader, images: Path | None) -> dict[str, str]:
    """The files' names below their folder, where they are known: a tool is to find its photos by them."""
    try:
        photos = _photos(store, images)
    except UsageError:
        log.warning("the photos are not known here: images go by their ids, without a suffix; give --images FOLDER")
        return {}
    return {id: f"{id}{path.suffix}" for id, path in photos.items()}


def _photos(store: Reader, images: Path | None) -> dict[str, Path]:
    """The photo of every image of the store."""
    root = images or recorded_root(store.header.image_root, store.names[0], folders_of_input(store))
    paths = find_images(root).paths
    missing = [id for id in store.ids if id not in paths]
    if missing:
        raise InputError(
            f"{len(missing)} of {len(store.ids)} images have no photo in {root}: {examples(missing)}\n"
            "give --images the folder that the store was made from"
        )
    return {id: paths[id] for id in store.ids}


def _step(format: str) -> Step:
    return _full_size if format == "psa" else _as_stored


def _full_size(batch: Sequence[Record]) -> list[Activation]:
    return [replace(one, values=upsample(one.values, one.size)) for one in _as_stored(batch)]


def _as_stored(batch: Sequence[Record]) -> list[Activation]:
    return [record.upstream for record in batch if record.upstream is not None]
