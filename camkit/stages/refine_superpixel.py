"""`camkit refine`: maps, probabilities and masks made better by what else is known of the photo."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from camkit.data.reading import examples
from camkit.defaults import MAP_STRIDE, MASK_THRESHOLD
from camkit.errors import InputError, StoreError, UsageError
from camkit.methods.superpixels import average, vote
from camkit.pipeline.output import Output, Runtime, Summary, check_inputs_stay
from camkit.pipeline.run import Step
from camkit.pipeline.upstream import (
    Sources,
    history_of,
    name_of_input,
    open_input,
    paths_of,
    refine_store,
    stored_records,
)
from camkit.settings.superpixels import How
from camkit.stages.maps import Grid, grid_of
from camkit.stages.mask_rules import masks_of_batch
from camkit.store.provenance import stage
from camkit.store.reader import Reader, open_store
from camkit.store.schema import Header, Kind, kinds_that
from camkit.types import Activation, Record, Resolution, no_classes
from camkit.upsample import upsample

log = logging.getLogger("camkit")


TAKES: Mapping[How, Callable[[Kind], bool]] = {
    "average": lambda kind: kind.per_class,
    "vote": lambda kind: kind.masks_in_passing,
}


@dataclass(frozen=True)
class Superpixels:
    """What to do with the pixels of a superpixel; the fields are the options of `refine_superpixel`, resolved."""

    how: How
    threshold: float | None
    grid: Grid


def refine_superpixel(
    sources: Sources,
    superpixels: Path | str,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    how: How | None = None,
    threshold: float | None = None,
    size: Resolution | None = None,
) -> Summary:
    """Make what a store says of every image the same all over each superpixel.

    superpixels  a store of superpixels
    how          `average` of maps, signed scores or probabilities; `vote` of masks, or of those that maps and
                 probabilities give; None: vote of masks, else average
    threshold    of a vote on maps: as of `camkit mask`
    size         of averages: a stride in pixels (None: 4), or "full"
    """
    paths, superpixels = paths_of(sources), Path(superpixels)
    check_inputs_stay(output.out, [*paths, superpixels])
    with open_input(paths) as store, open_store(superpixels) as regions:
        name = name_of_input(paths)
        plan = _plan(store.header.holds, name, output, how, threshold, size)
        _check_superpixels(regions, store, name)
        header = Header(
            kind="masks" if plan.how == "vote" else store.header.kind,
            classes=store.header.classes,
            image_root=store.header.image_root,
            provenance=stage(
                "refine superpixel", _parameters(plan, output), parents=[history_of(store), history_of(regions)]
            ),
        )
        step = _step(plan, store.header, regions)
        records = partial(stored_records, store=store)
        return refine_store(store, header, output, runtime, records, step, description="refine superpixel")


def _plan(
    kind: Kind, name: str, output: Output, how: How | None, threshold: float | None, size: Resolution | None
) -> Superpixels:
    """UsageError for what cannot be done with this kind of store, and for options without effect."""
    how = how or ("vote" if kind.is_mask else "average")
    if not TAKES[how](kind):
        raise UsageError(f"{name} holds {kind.name}; --how {how} takes {', '.join(kinds_that(TAKES[how]))}")
    on_maps = how == "vote" and kind.thresholded
    if threshold is not None and not on_maps:
        raise UsageError(f"--threshold is for --how vote on maps, but this is --how {how} and {name} holds {kind.name}")
    if how == "vote" and (size is not None or output.dtype is not None):
        raise UsageError("--size and --dtype are for averages; a vote gives masks as large as the photo")
    if on_maps and threshold is None:
        threshold = MASK_THRESHOLD
    return Superpixels(how, threshold, grid_of(size or MAP_STRIDE))


def _parameters(plan: Superpixels, output: Output) -> dict[str, Any]:
    if plan.how == "vote":
        return {"how": plan.how} if plan.threshold is None else {"how": plan.how, "threshold": plan.threshold}
    return {"how": plan.how, "size": str(plan.grid), "dtype": output.dtype or "float16"}


def _check_superpixels(regions: Reader, store: Reader, name: str) -> None:
    """Everything that is missing is said before the run."""
    path = ", ".join(map(str, regions.paths))
    if not regions.header.holds.superpixels:
        raise UsageError(f"{path} holds {regions.header.kind}; --superpixels takes what camkit superpixels writes")
    missing = [id for id in store.ids if id not in regions]
    if missing and len(missing) == len(store):
        raise InputError(
            f"{path} and {name} have no image in common: {examples(regions.ids)} against {examples(store.ids)}\n"
            "make superpixels of the same images: camkit superpixels"
        )
    if missing:
        log.warning(
            "%s has no superpixels of %d of %d images: %s", path, len(missing), len(store), examples(missing)
        )  # fmt: skip


def _step(plan: Superpixels, header: Header, regions: Reader) -> Step:
    if plan.how == "average":
        return partial(averages_of_batch, regions=regions, grid=plan.grid)
    return partial(votes_of_batch, regions=regions, header=header, threshold=plan.threshold or 0.0)


def averages_of_batch(batch: Sequence[Record], *, regions: Reader, grid: Grid) -> list[Activation]:
    averages = []
    for record in batch:
        assert record.upstream is not None
        values = average(upsample(record.upstream.values, record.size), _superpixels_of(record, regions))
        values = upsample(values, grid.of(record.size))
        averages.append(Activation(record.id, values, record.upstream.classes, record.size))
    return averages


def votes_of_batch(batch: Sequence[Record], *, regions: Reader, header: Header, threshold: float) -> list[Activation]:
    classes = len(header.classes)
    masks = masks_of_batch(batch, kind=header.holds, threshold=threshold, num_classes=classes)
    return [
        Activation(record.id, _voted(mask.values, _superpixels_of(record, regions)), no_classes(), record.size)
        for record, mask in zip(batch, masks, strict=True)
    ]


def _voted(mask: np.ndarray, superpixels: np.ndarray) -> np.ndarray:
    return vote(mask, superpixels, np.iinfo(mask.dtype).max)


def _superpixels_of(record: Record, regions: Reader) -> np.ndarray:
    """[H, W], of a photo of the size that the record's was."""
    found = regions.read(record.id)
    if found.size != record.size:
        (height, width), (wanted_height, wanted_width) = found.size, record.size
        raise StoreError(
            f"{regions.path_of(record.id)} has superpixels of a photo of {width}x{height}, "
            f"but this one is {wanted_width}x{wanted_height}; make them of the same photos"
        )
    return found.values
