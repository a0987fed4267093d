"""`camkit crf`: maps, signed scores, probabilities or masks made to follow the edges of the photos, by a dense CRF."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from camkit.data.images import ImageSet
from camkit.errors import UsageError
from camkit.methods.crf import dense_crf
from camkit.methods.crf.unary import unary_of_labels, unary_of_probs, with_background
from camkit.methods.icd_seeds import positive_part
from camkit.methods.seeds import classes_of_mask, mask_of_maps, mask_of_probs
from camkit.pipeline.output import Output, Runtime, Summary, check_inputs_stay
from camkit.pipeline.photos import read_photo
from camkit.pipeline.select import Shard
from camkit.pipeline.upstream import (
    Sources,
    find_photos,
    history_of,
    name_of_input,
    open_input,
    paths_of,
    refine_store,
    stored_records,
)
from camkit.settings.crf import CrfSettings, Engine, Preset, settings_of
from camkit.settings.option import NO_CHANGES
from camkit.stages.maps import Grid, grid_of
from camkit.stages.mask_rules import seeds_of
from camkit.store.provenance import stage
from camkit.store.reader import Reader
from camkit.store.schema import Header, Kind, in_words, kinds_that
from camkit.types import Activation, Record, Resolution, no_classes
from camkit.upsample import upsample

log = logging.getLogger("camkit")


def crf(
    sources: Sources,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    preset: Preset = "psa",
    changes: Mapping[str, Any] = NO_CHANGES,
    masks: bool = False,
    images: Path | str | None = None,
    engine: Literal["auto"] | Engine = "auto",
    size: Resolution | None = None,
    shard: Shard | None = None,
) -> Summary:
    """Run a dense CRF over every image of a maps, signed, probs or masks store: a probs store, or one of masks.

    preset   psa, irn, dcsm or icd, with the `changes` of `settings_of`
    images   where the photos are; None: where the store's were
    size     resolution of the probs: "full" (None), or a stride in pixels
    workers  of the runtime: so many photos at once
    """
    paths = paths_of(sources)
    check_inputs_stay(output.out, paths)
    _check_output(output, masks, size)
    chosen = choose_engine(engine)
    with open_input(paths) as store:
        name = name_of_input(paths)
        settings = settings_of(preset, changes)
        effective = effective_settings(settings, store.header.holds, changes, name)
        photos = find_photos(store, images, name)
        if store.header.holds.is_signed and settings.unary == "hard":
            log.info(
                "a pixel that several classes claim goes to the largest score; "
                "by the product of map and score: camkit mask --cams, then camkit crf"
            )
        parameters = {
            **asdict(settings.parameters),
            "unary": settings.unary,
            **{name: getattr(settings, name) for name in effective},
            "engine": chosen,
            **({"masks": True} if masks else {"size": str(size or "full"), "dtype": output.dtype or "float16"}),
        }
        header = _header(store, photos, parameters, masks)
        finish = (
            partial(as_mask, num_classes=len(store.header.classes)) if masks
            else partial(as_probs, grid=grid_of(size or "full"))
        )  # fmt: skip
        step = partial(
            crf_of_batch, photos=photos, header=store.header, settings=settings, engine=chosen, finish=finish
        )
        records = partial(stored_records, store=store)
        return refine_store(
            store, header, output, runtime, records, step, description="crf", shard=shard, threads=runtime.workers
        )


def effective_settings(settings: CrfSettings, kind: Kind, changes: Mapping[str, Any], name: str) -> Sequence[str]:
    """The settings that count for an input of this kind and name; UsageError where a change has no effect."""
    if kind.mask is None:
        takes = in_words(kinds_that(lambda kind: kind.mask))
        raise UsageError(f"{name} is a {kind.name} store; camkit crf takes {takes}")
    if settings.unary == "soft" and not kind.per_class:
        raise UsageError(
            f"{name} holds {kind.name}, whose energies are hard: give --unary hard, or --preset irn or icd"
        )
    if settings.unary == "soft":
        effective = () if kind.background else ("alpha",)
    else:
        effective = ("confidence", *(("background",) if kind.thresholded else ()), "share")
    for option in ("alpha", "confidence", "background", "share"):
        if option in changes and option not in effective:
            raise UsageError(f"--{option} has no effect on the {settings.unary} energies of {kind.name}; leave it out")
    return effective


def _header(store: Reader, photos: ImageSet, parameters: Mapping[str, Any], masks: bool) -> Header:
    root = str(photos.root.resolve())
    return Header(
        kind="masks" if masks else "probs",
        classes=store.header.classes,
        image_root=root,
        provenance=stage("crf", parameters, selection={"images": root}, parents=[history_of(store)]),
    )


def crf_of_batch(
    batch: Sequence[Record], *, photos: ImageSet, header: Header, settings: CrfSettings, engine: Engine,
    finish: Callable[[Activation, np.ndarray, np.ndarray], Activation],
) -> list[Activation]:  # fmt: skip
    """The CRF lets go of the interpreter lock: several photos are refined at once."""
    found = [record.upstream for record in batch if record.upstream is not None]
    return [finish(one, *probs_of(one, photos, header, settings, engine)) for one in found]


def as_probs(found: Activation, probs: np.ndarray, classes: np.ndarray, *, grid: Grid) -> Activation:
    return replace(found, values=upsample(probs, grid.of(found.size)), classes=classes, notes={})


def as_mask(found: Activation, probs: np.ndarray, classes: np.ndarray, *, num_classes: int) -> Activation:
    return replace(found, values=mask_of_probs(probs, classes, num_classes), classes=no_classes(), notes={})


def probs_of(
    activation: Activation, photos: ImageSet, header: Header, settings: CrfSettings, engine: Engine
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [1 + C_i, H, W] by the CRF, and the classes [C_i]; without classes all is background."""
    classes = activation.classes
    if header.holds.is_mask:
        classes = classes_of_mask(activation.values, len(header.classes))
    if len(classes) == 0:
        return np.ones((1, *activation.size), np.float32), classes
    image = read_photo(activation, photos)
    unary = unary_of(activation, header, settings, classes)
    return dense_crf(image, unary, settings.parameters, engine=engine), classes


def unary_of(activation: Activation, header: Header, settings: CrfSettings, classes: np.ndarray) -> np.ndarray:
    """Energies [1 + C_i, H, W] of what a maps, signed, probs or masks store holds of an image."""
    if settings.unary == "soft":
        return unary_of_probs(probable(activation, header.holds, settings.alpha))
    known = len(header.classes) + 1 if settings.share == "all" else None
    labels = labels_of(activation, header, settings.background, classes)
    return unary_of_labels(labels, len(classes) + 1, settings.confidence, known)


def probable(activation: Activation, kind: Kind, alpha: float) -> np.ndarray:
    """[1 + C_i, H, W]: how probable background and the classes are, from maps, signed scores or probabilities."""
    values = upsample(activation.values, activation.size)
    if kind.background:
        return values
    return with_background(positive_part(values) if kind.is_signed else values, alpha)


def labels_of(activation: Activation, header: Header, background: float, classes: np.ndarray) -> np.ndarray:
    """[H, W]: 0 background, the place in `classes` + 1, −1 undecided."""
    kind = header.holds
    if kind.is_mask or kind.is_signed:
        mask = activation.values if kind.is_mask else seeds_of(activation, len(header.classes))
        labels = np.searchsorted(classes, mask.astype(np.int64) - 1) + 1
        labels[mask == 0] = 0
        labels[(mask > len(header.classes)) | (mask == np.iinfo(mask.dtype).max)] = -1
        return labels
    values = upsample(activation.values, activation.size)
    if kind.background:
        return values.argmax(axis=0)
    return mask_of_maps(values, np.arange(len(values)), background, len(values))


def _check_output(output: Output, masks: bool, size: Resolution | None) -> None:
    if masks and size is not None:
        raise UsageError("--size is for probs; masks are as large as the photo")
    if masks and output.dtype is not None:
        raise UsageError("--dtype is for probs; masks are whole numbers")


def choose_engine(engine: Literal["auto"] | Engine) -> Engine:
    if engine == "auto":
        return "native"
    if engine not in get_args(Engine):
        raise UsageError(f"--engine {engine} is not known; known are auto, {' and '.join(get_args(Engine))}")
    if engine == "pydensecrf":
        from camkit.methods.crf.library import load_library

        load_library()
    return engine
