"""`camkit crf`: maps, signed scores, probabilities or masks made to follow the edges of the photos, by a dense CRF."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from camkit.data.images import ImageSet
from camkit.errors import UsageError
from camkit.methods.crf import Engine, dense_crf
from camkit.methods.crf.settings import NO_CHANGES, CrfSettings, Preset, effective_settings, settings_of
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
from camkit.stages.maps import Grid
from camkit.stages.mask_rules import seeds_of
from camkit.store.provenance import stage
from camkit.store.reader import Reader
from camkit.store.schema import Header
from camkit.types import Activation, Record
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
    size: str | None = None,
    shard: Shard | None = None,
) -> Summary:
    """Run a dense CRF over every image of a maps, signed, probs or masks store: a probs store, or one of masks.

    preset   psa, irn, dcsm or icd, with the `changes` of `settings_of`
    images   where the photos are; None: where the store's were
    size     resolution of the probs: `full` (None), or a stride in pixels
    workers  of the runtime: so many photos at once
    """
    paths = paths_of(sources)
    check_inputs_stay(output.out, paths)
    _check_output(output, masks, size)
    chosen = choose_engine(engine)
    with open_input(paths) as store:
        name = name_of_input(paths)
        settings = settings_of(preset, changes)
        effective = effective_settings(settings, store.header.kind, changes, name)
        photos = find_photos(store, images, name)
        if store.header.kind == "signed" and settings.unary == "hard":
            log.info(
                "a pixel that several classes claim goes to the largest score; "
                "by the product of map and score: camkit mask --cams, then camkit crf"
            )
        parameters = {
            **asdict(settings.parameters),
            "unary": settings.unary,
            **{name: getattr(settings, name) for name in effective},
            "engine": chosen,
            **({"masks": True} if masks else {"size": size or "full", "dtype": output.dtype or "float16"}),
        }
        header = _header(store, photos, parameters, masks)
        step = partial(
            refined, photos=photos, header=store.header, settings=settings, engine=chosen, masks=masks,
            grid=Grid.parse(size or "full"),
        )  # fmt: skip
        records = partial(stored_records, store=store)
        return refine_store(
            store, header, output, runtime, records, step, description="crf", shard=shard, threads=runtime.workers
        )


def _header(store: Reader, photos: ImageSet, parameters: Mapping[str, Any], masks: bool) -> Header:
    root = str(photos.root.resolve())
    return Header(
        kind="masks" if masks else "probs",
        classes=store.header.classes,
        image_root=root,
        provenance=stage("crf", parameters, selection={"images": root}, parents=[history_of(store)]),
    )


def refined(
    batch: Sequence[Record], *, photos: ImageSet, header: Header, settings: CrfSettings, engine: Engine,
    masks: bool, grid: Grid,
) -> list[Activation]:  # fmt: skip
    """The CRF of each image. It lets go of the interpreter lock: several run at once."""
    made = []
    for record in batch:
        assert record.upstream is not None
        probs, classes = probs_of(record.upstream, photos, header, settings, engine)
        if masks:
            values, classes = mask_of_probs(probs, classes, len(header.classes)), classes[:0]
        else:
            values = upsample(probs, grid.of(record.size))
        made.append(Activation(record.id, values, classes, record.size))
    return made


def probs_of(
    activation: Activation, photos: ImageSet, header: Header, settings: CrfSettings, engine: Engine
) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities [1 + C_i, H, W] by the CRF, and the classes [C_i]; without classes all is background."""
    classes = activation.classes
    if header.kind == "masks":
        classes = classes_of_mask(activation.values, len(header.classes))
    if len(classes) == 0:
        return np.ones((1, *activation.size), np.float32), classes
    image = read_photo(activation, photos)
    unary = unary_of(activation, header, settings, classes)
    return dense_crf(image, unary, settings.parameters, engine=engine), classes


def unary_of(activation: Activation, header: Header, settings: CrfSettings, classes: np.ndarray) -> np.ndarray:
    """Energies [1 + C_i, H, W] of what a maps, signed, probs or masks store holds of an image."""
    if settings.unary == "soft":
        return unary_of_probs(probable(activation, header.kind, settings.alpha))
    known = len(header.classes) + 1 if settings.share == "all" else None
    labels = labels_of(activation, header, settings.background, classes)
    return unary_of_labels(labels, len(classes) + 1, settings.confidence, known)


def probable(activation: Activation, kind: str, alpha: float) -> np.ndarray:
    """[1 + C_i, H, W]: how probable background and the classes are, from maps, signed scores or probabilities."""
    values = upsample(activation.values, activation.size)
    if kind == "probs":
        return values
    return with_background(positive_part(values) if kind == "signed" else values, alpha)


def labels_of(activation: Activation, header: Header, background: float, classes: np.ndarray) -> np.ndarray:
    """[H, W]: 0 background, the place in `classes` + 1, −1 undecided."""
    if header.kind in ("masks", "signed"):
        mask = seeds_of(activation, len(header.classes)) if header.kind == "signed" else activation.values
        labels = np.searchsorted(classes, mask.astype(np.int64) - 1) + 1
        labels[mask == 0] = 0
        labels[mask > len(header.classes)] = -1
        return labels
    values = upsample(activation.values, activation.size)
    if header.kind == "probs":
        return values.argmax(axis=0)
    return mask_of_maps(values, np.arange(len(values)), background, len(values))


def _check_output(output: Output, masks: bool, size: str | None) -> None:
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
