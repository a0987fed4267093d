"""`camkit mask`: activation maps and signed scores to segmentation masks."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from camkit.data.exchange.png import write_png
from camkit.data.exchange.writing import OneFile
from camkit.data.reading import examples
from camkit.data.saliency import find_saliency
from camkit.defaults import MASK_THRESHOLD
from camkit.errors import InputError, UsageError
from camkit.pipeline.folder_sink import FolderSink, Maker
from camkit.pipeline.output import (
    Output,
    ResumableSink,
    Runtime,
    Summary,
    check_inputs_stay,
    open_output,
    write_activations,
)
from camkit.pipeline.select import shard_of_environment
from camkit.pipeline.upstream import Sources, history_of, name_of_input, open_input, paths_of, stored_records
from camkit.stages.empty_maps import CountsEmptyMasks
from camkit.stages.mask_rules import Witnesses, step_for
from camkit.stages.saliency_maps import history_of_pictures
from camkit.store.provenance import stage
from camkit.store.reader import Reader, open_store
from camkit.store.schema import Header, Kind, MaskRule, shard_ids
from camkit.types import Rule

log = logging.getLogger("camkit")

PNG = OneFile(".png", write_png)
MAKER = Maker("camkit mask", "camkit masks", "masks")

RULES: Mapping[MaskRule | None, Rule] = {"threshold": "threshold", "sign": "icd"}
"""What --rule calls it."""

RAW_CAMS = "camkit icd-apply --branch cam --raw"


def mask(
    sources: Sources,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    threshold: float | None = None,
    png: Path | str | None = None,
    rule: Rule | None = None,
    cams: Path | str | None = None,
    saliency: Path | str | None = None,
) -> Summary:
    """Write a mask for every image of a store: to a masks store, or as palette PNGs into the folder `png`.

    threshold  of a maps store: a pixel is the class with the largest map where that is above, else background (0.3)
    rule       `threshold` of maps, `icd` of signed scores: foreground above 0, undecided where classes contradict
    cams       with `icd`: a store of raw signed CAMs, of which what is above 0 is divided by the photo's largest of any
               class, or of maps; of several classes that claim a pixel the largest CAM × score gets it
    saliency   with `icd`: a folder of grey pictures; background is what is not salient
    """
    paths, cams = paths_of(sources), None if cams is None else Path(cams)
    saliency = None if saliency is None else Path(saliency)
    read = (*paths, cams, saliency)
    check_inputs_stay(output.out, read)
    check_inputs_stay(png, read, "choose another folder for --png")
    with open_input(paths) as store, open_witnesses(store, cams, saliency) as witnesses:
        kind = store.header.holds
        _check_options(f"{name_of_input(paths)} holds {kind.name}", kind, rule, threshold, cams, saliency)
        threshold = MASK_THRESHOLD if threshold is None else threshold
        step = CountsEmptyMasks(step_for(store, threshold, witnesses))
        parameters: dict[str, Any] = {"threshold": threshold} if kind.thresholded else {}
        if kind.is_signed and cams is None:
            log.info("no --cams: a pixel that several classes claim goes to the largest score")
        if kind.is_signed:
            parameters = {"rule": "icd", **({"saliency": str(saliency.resolve())} if saliency else {})}
        parents = [history_of(store), *([history_of(witnesses.cams)] if witnesses.cams else [])]
        if witnesses.saliency:
            parents.append(history_of_pictures(witnesses.saliency, store.ids))
        header = Header(
            kind="masks",
            classes=store.header.classes,
            image_root=store.header.image_root,
            provenance=stage("mask", parameters, parents=parents),
        )
        if store.failures:
            log.warning("%d images had failed before and have no masks (camkit info --failures)", len(store.failures))
        shard = shard_of_environment()
        ids = shard_ids(store.ids, shard)
        sinks: AbstractContextManager[ResumableSink]
        if png is not None:
            check_inputs_stay(png, [store.header.image_root or None], "choose another folder for --png")
            sinks = FolderSink(Path(png), PNG, header, store.ids, MAKER, own=ids, overwrite=output.overwrite)
        else:
            sinks = open_output(output, header, store.ids, shard, inputs=read)
        with sinks as sink:
            summary = write_activations(
                sink,
                ids,
                partial(stored_records, store=store),
                step,
                description="mask",
                runtime=runtime,
            )
        if kind.thresholded:
            step.say(threshold)
        return summary


def _check_options(
    there: str, kind: Kind, rule: Rule | None, threshold: float | None, cams: Path | None, saliency: Path | None
) -> None:
    """UsageError for what has no effect on this kind of store."""
    if threshold is not None and not kind.thresholded:
        raise UsageError(f"--threshold is for maps, but {there}")
    if rule is not None and rule != RULES.get(kind.mask):
        takes = "maps" if rule == "threshold" else "signed scores (camkit icd-apply)"
        raise UsageError(f"--rule {rule} is for {takes}, but {there}")
    for option, value in (("--cams", cams), ("--saliency", saliency)):
        if value is not None and not kind.is_signed:
            raise UsageError(f"{option} is for signed scores (camkit icd-apply), but {there}")


@contextmanager
def open_witnesses(store: Reader, cams: Path | None, saliency: Path | None) -> Iterator[Witnesses]:
    """Everything that is missing is said before the run."""
    pictures: Mapping[str, Path] = {}
    if saliency is not None:
        pictures = find_saliency(saliency)
        _check_there(store, pictures, f"{saliency} has no saliency map")
    if cams is None:
        yield Witnesses(None, pictures)
        return
    with open_store(cams) as maps:
        held = maps.header.holds
        if not held.class_maps:
            raise UsageError(f"{cams} holds {maps.header.kind}; --cams takes what {RAW_CAMS} writes")
        if held.thresholded or maps.header.provenance.get("parameters", {}).get("raw") is False:
            log.warning(
                "%s: each class is divided by its own largest, so a weak one may get what several claim; take what %s "
                "writes", cams, RAW_CAMS,
            )  # fmt: skip
        if maps.header.classes != store.header.classes:
            raise UsageError(f"{cams} has other classes than the scores; make both with one checkpoint")
        _check_there(store, maps.ids, f"{cams} has no maps")
        yield Witnesses(maps, pictures)


def _check_there(store: Reader, known: Collection[str], what: str) -> None:
    there = frozenset(known)
    missing = [id for id in store.ids if id not in there]
    if missing and len(missing) == len(store.ids):
        raise InputError(f"{what} of any image: {examples(known)} against {examples(store.ids)}")
    if missing:
        log.warning("%s of %d of %d images: %s", what, len(missing), len(store.ids), examples(missing))
