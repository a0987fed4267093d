"""`camkit refine pixel`: maps and probabilities that pixels of like colours lend each other (PAR, PAMR)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from camkit.errors import UsageError
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
from camkit.settings.pixel import PixelSettings, Preset, settings_of
from camkit.stages.maps import Grid, grid_of
from camkit.store.provenance import stage
from camkit.store.schema import Header, in_words, kinds_that
from camkit.types import Activation, LongerSide, Record, Resolution
from camkit.upsample import upsample


def refine_pixel(
    sources: Sources,
    output: Output,
    runtime: Runtime = Runtime(),
    *,
    preset: Preset = "par",
    changes: Mapping[str, Any] = NO_CHANGES,
    images: Path | str | None = None,
    resize: LongerSide | None = None,
    size: Resolution | None = None,
    shard: Shard | None = None,
) -> Summary:
    """Pixel-adaptive refinement of every image of a maps, signed or probs store, into a store of the same kind.

    preset  par or pamr, with the `changes` of `settings_of`
    images  where the photos are; None: where the store's were
    resize  longer side of the photo as it is seen: a number, "native", or None: native up to 1,000 px
    size    resolution of the result: "full" (None), or a stride in pixels
    """
    paths = paths_of(sources)
    settings = settings_of(preset, changes)
    check_inputs_stay(output.out, paths)
    device = choose_device(runtime.device, runtime.precision)
    with open_input(paths) as store:
        name, kind = name_of_input(paths), store.header.holds
        if not kind.per_class:
            takes = in_words(kinds_that(lambda kind: kind.per_class))
            raise UsageError(f"{name} is a {kind.name} store; camkit refine pixel takes {takes}")
        photos = find_photos(store, images, name)
        view, grid = view_size(resize), grid_of(size or "full")
        parameters = {
            **asdict(settings), "resize": str(view), "size": str(grid), "dtype": output.dtype or "float16",
        }  # fmt: skip
        root = str(photos.root.resolve())
        header = Header(
            kind=store.header.kind,
            classes=store.header.classes,
            image_root=root,
            provenance=stage("refine pixel", parameters, selection={"images": root}, parents=[history_of(store)]),
        )
        step = partial(refine_batch, settings=settings, device=device, grid=grid)
        records = partial(records_with_photos, store=store, photos=photos, view=view, workers=runtime.workers)
        return refine_store(store, header, output, runtime, records, step, description="refine pixel", shard=shard)


def refine_batch(batch: Sequence[Record], *, settings: PixelSettings, device: Device, grid: Grid) -> list[Activation]:
    found = []
    for record in batch:
        assert record.upstream is not None
        values = record.upstream.values
        if record.image is not None:
            with inference(device):
                values = refined_values(record.image, values, settings, device)
        values = upsample(values, record.size)
        found.append(
            Activation(record.id, upsample(values, grid.of(record.size)), record.upstream.classes, record.size)
        )
    return found


def refined_values(image: np.ndarray, values: np.ndarray, settings: PixelSettings, device: Device) -> np.ndarray:
    """[C, h, w] of a photo [h, w, 3] uint8 and values of any resolution, by cells of `stride` pixels."""
    import torch

    from camkit.methods.pixel import affinities, refine
    from camkit.methods.walk.affinity import colours_of_cells

    seen = torch.from_numpy(image).to(device.torch_device).permute(2, 0, 1).float()
    cells = colours_of_cells(seen, settings.stride)[None]
    height, width = cells.shape[-2:]
    start = torch.from_numpy(upsample(values, (height, width))).to(seen.device)[None]
    refined = refine(start, affinities(cells, settings), settings)[0].cpu().numpy()
    whole = upsample(refined, (height * settings.stride, width * settings.stride))
    return whole[:, : image.shape[0], : image.shape[1]]
