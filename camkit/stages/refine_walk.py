"""`camkit refine walk`: maps and probabilities spread by random walks between pixels that belong together."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from camkit.data.images import ImageSet
from camkit.defaults import MAP_STRIDE
from camkit.errors import UsageError
from camkit.methods.crf.unary import with_background
from camkit.methods.icd_seeds import positive_part
from camkit.methods.seeds import mask_of_probs
from camkit.pipeline.device import Device, choose_device, inference
from camkit.pipeline.output import Output, Runtime, Summary, check_inputs_stay
from camkit.pipeline.photos import view_size
from camkit.pipeline.select import Shard
from camkit.pipeline.upstream import (
    Sources,
    find_photos,
    history_of,
    name_of_input,
    open_input,
    paths_of,
    records_with_photos,
    refine_store,
)
from camkit.settings.option import NO_CHANGES
from camkit.settings.walk import Affinity, Preset, WalkSettings, settings_of
from camkit.stages.maps import Grid, grid_of
from camkit.store.provenance import stage
from camkit.store.reader import Reader
from camkit.store.schema import Header, Kind, kinds_that
from camkit.types import Activation, LongerSide, Record, Resolution, Size, no_classes
from camkit.upsample import upsample

if TYPE_CHECKING:
    import torch

    from camkit.models.affinity import LoadedAffinity

log = logging.getLogger("camkit")

SMALLEST = np.finfo(np.float32).tiny


def refine_walk(
    sources: Sources,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    affinity: Affinity,
    ckpt: Path | str | None = None,
    preset: Preset = "paper",
    changes: Mapping[str, Any] = NO_CHANGES,
    masks: bool = False,
    images: Path | str | None = None,
    resize: LongerSide | None = None,
    size: Resolution | None = None,
    shard: Shard | None = None,
) -> Summary:
    """Random walks over every image of a maps, signed or probs store: a probs store, or one of masks.

    Of signed scores what is above 0 walks.

    ckpt     of AffinityNet or IRN
    preset   paper or published, with the `changes` of `settings_of`
    images   where the photos are; None: where the store's were
    resize   longer side of the photo as it is seen: a number, "native", or None: what the network knows, else
             native up to 1,000 px
    size     resolution of the probs: a stride in pixels (None: 4), or "full"
    """
    paths = paths_of(sources)
    settings = settings_of(affinity, preset, changes)
    check_inputs_stay(output.out, [*paths, ckpt])
    _check(output, affinity, ckpt, masks, size)
    device = choose_device(runtime.device, runtime.precision)
    loaded = _load(affinity, ckpt, device)
    with open_input(paths) as store:
        name = name_of_input(paths)
        settings = settings_for(settings, store.header.holds, affinity, changes, name)
        photos = find_photos(store, images, name)
        view = view_size(resize, loaded.input_size if loaded else None)
        grid = grid_of(size or MAP_STRIDE)
        parameters = {
            "affinity": affinity,
            **{name: value for name, value in asdict(settings).items() if value is not None},
            "resize": str(view),
            "precision": device.precision,
            **({"masks": True} if masks else _parameters(grid, output)),
        }
        header = _header(store, photos, parameters, loaded)
        step = partial(
            walks_of_batch, loaded=loaded, settings=settings, device=device, signed=store.header.holds.is_signed,
            finish=partial(as_mask, num_classes=len(header.classes)) if masks else partial(as_probs, grid=grid),
        )  # fmt: skip
        records = partial(records_with_photos, store=store, photos=photos, view=view, workers=runtime.workers)
        return refine_store(store, header, output, runtime, records, step, description="refine walk", shard=shard)


def _check(output: Output, affinity: Affinity, ckpt: Path | str | None, masks: bool, size: Resolution | None) -> None:
    if affinity == "colour" and ckpt is not None:
        raise UsageError("--affinity colour needs no network: leave out --ckpt")
    if affinity != "colour" and ckpt is None:
        raise UsageError(f"--affinity {affinity} needs a network: give --ckpt, or take --affinity colour")
    if masks and size is not None:
        raise UsageError("--size is for probs; masks are as large as the photo")
    if masks and output.dtype is not None:
        raise UsageError("--dtype is for probs; masks are whole numbers")


def settings_for(
    settings: WalkSettings, kind: Kind, affinity: Affinity, changes: Mapping[str, Any], name: str
) -> WalkSettings:
    """What counts for an input of this kind and name; UsageError where it cannot walk, or a change has no effect."""
    takes = kinds_that(lambda kind: kind.class_maps if affinity == "irn" else kind.per_class)
    if kind.name not in takes:
        raise UsageError(f"{name} is a {kind.name} store; --affinity {affinity} takes {', '.join(takes)}")
    if kind.background and "alpha" in changes:
        raise UsageError(f"--alpha has no effect on {kind.name}, which say what is background; leave it out")
    return replace(settings, alpha=None) if kind.background else settings


def _load(affinity: Affinity, ckpt: Path | str | None, device: Device) -> LoadedAffinity | None:
    if affinity == "colour" or ckpt is None:
        return None
    from camkit.models.affinity import load_affinity

    loaded = load_affinity(Path(ckpt), affinity)
    loaded.network.to(device.torch_device)
    return loaded


def _parameters(grid: Grid, output: Output) -> dict[str, Any]:
    return {"size": str(grid), "dtype": output.dtype or "float16"}


def _header(store: Reader, photos: ImageSet, parameters: Mapping[str, Any], loaded: LoadedAffinity | None) -> Header:
    root = str(photos.root.resolve())
    network = {"name": loaded.path.name, "sha256": loaded.sha256, "arch": loaded.arch} if loaded else None
    return Header(
        kind="masks" if "masks" in parameters else "probs",
        classes=store.header.classes,
        image_root=root,
        provenance=stage(
            "refine walk", parameters, checkpoint=network, selection={"images": root}, parents=[history_of(store)]
        ),
    )


def walks_of_batch(
    batch: Sequence[Record], *, loaded: LoadedAffinity | None, settings: WalkSettings, device: Device, signed: bool,
    finish: Callable[[Record, np.ndarray], Activation],
) -> list[Activation]:  # fmt: skip
    found = []
    for record in batch:
        assert record.upstream is not None
        if record.image is None:
            found.append(finish(record, np.ones((1, *record.size), np.float32)))
            continue
        with inference(device):
            probs = walked_probs(record.image, record.upstream.values, loaded, settings, device, signed=signed)
        found.append(finish(record, probs))
    return found


def walked_probs(
    image: np.ndarray, values: np.ndarray, loaded: LoadedAffinity | None, settings: WalkSettings, device: Device,
    *, signed: bool = False,
) -> np.ndarray:  # fmt: skip
    """Probabilities [1 + C, h, w], background first, of a photo [h, w, 3] uint8 and its maps, scores or probs."""
    import torch

    from camkit.methods.walk.affinity import cell_means
    from camkit.methods.walk.propagation import random_walk

    seen = torch.from_numpy(image).to(device.torch_device).permute(2, 0, 1).float()
    affinities, boundary = _affinities_of(seen, loaded, settings)
    values = upsample(values, image.shape[:2] if boundary is None else (boundary.shape[0], boundary.shape[1]))
    values = positive_part(values) if signed else values
    if boundary is not None:
        start = torch.from_numpy(values).to(seen.device) * (1 - boundary)
    else:
        values = values if settings.alpha is None else with_background(values, settings.alpha)
        start = cell_means(torch.from_numpy(values).to(seen.device), settings.stride)
    walked = random_walk(start, affinities.pow_(settings.power), settings.radius, settings.steps).cpu().numpy()
    return probs_of_walk(walked, image.shape[:2], settings)


def probs_of_walk(walked: np.ndarray, size: Size, settings: WalkSettings) -> np.ndarray:
    """Walked scores of cells [K, h, w] → probabilities [1 + C, H, W]; a background that did not walk is added."""
    height, width = (side * settings.stride for side in walked.shape[1:])
    scores = upsample(walked, (height, width))[:, : size[0], : size[1]]
    if settings.background is not None:
        scores /= max(scores.max(), SMALLEST)
        scores = np.concatenate([np.full_like(scores[:1], settings.background), scores])
    return scores / np.maximum(scores.sum(axis=0), SMALLEST)


def _affinities_of(
    seen: torch.Tensor, loaded: LoadedAffinity | None, settings: WalkSettings
) -> tuple[torch.Tensor, torch.Tensor | None]:
    """Of a photo [3, h, w] in [0, 255], and IRN's boundaries."""
    from camkit.methods.response import normalised
    from camkit.methods.walk.affinity import (
        boundary_affinity,
        colour_affinity,
        colours_of_cells,
        embed,
        feature_affinity,
        find_boundary,
        published_pairs,
    )

    if loaded is None:
        return colour_affinity(colours_of_cells(seen, settings.stride), settings.radius), None
    photo = normalised(seen, loaded.network.mean, loaded.network.std)
    if loaded.kind == "irn":
        boundary = find_boundary(loaded.network, photo, settings.stride, loaded.smallest_side)
        return boundary_affinity(boundary, settings.radius), boundary
    affinities = feature_affinity(embed(loaded.network, photo, settings.stride), settings.radius)
    return published_pairs(affinities, settings.radius) if settings.published else affinities, None


def as_probs(record: Record, probs: np.ndarray, grid: Grid) -> Activation:
    assert record.upstream is not None
    return Activation(record.id, upsample(probs, grid.of(record.size)), record.upstream.classes, record.size)


def as_mask(record: Record, probs: np.ndarray, num_classes: int) -> Activation:
    assert record.upstream is not None
    mask = mask_of_probs(upsample(probs, record.size), record.upstream.classes, num_classes)
    return Activation(record.id, mask, no_classes(), record.size)
