"""`refine pixel` beside the CRF, photo by photo: python tests/bench/bench_pixel.py MAPS-STORE IMAGES COUNT

Both on one core, in turn; the smallest of three times each.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch

from camkit.methods.crf import dense_crf
from camkit.methods.crf.unary import unary_of_labels
from camkit.methods.seeds import mask_of_maps
from camkit.pipeline.device import choose_device
from camkit.pipeline.photos import read_photo
from camkit.pipeline.upstream import find_photos
from camkit.settings.crf import settings_of as crf_settings
from camkit.settings.pixel import settings_of
from camkit.stages.refine_pixel import refined_values
from camkit.store.reader import open_store
from camkit.upsample import upsample


def seconds(work: Callable[[], object]) -> float:
    times = []
    for _ in range(3):
        begun = time.process_time()
        work()
        times.append(time.process_time() - begun)
    return min(times)


def main(store: Path, images: Path, count: int) -> None:
    torch.set_num_threads(1)
    crf, device = crf_settings("irn", {}), choose_device("cpu", "float32")
    found: dict[str, list[float]] = {"crf": [], "par": [], "pamr": []}
    with open_store(store) as maps:
        photos = find_photos(maps, images, str(store))
        for id in [id for id in maps.ids if len(maps.read(id).classes)][:count]:
            one = maps.read(id)
            photo, values = read_photo(one, photos), upsample(one.values, one.size)
            labels = mask_of_maps(values, np.arange(len(values)), crf.background, len(values))
            unary = unary_of_labels(labels, len(values) + 1, crf.confidence, None)
            found["crf"].append(seconds(partial(dense_crf, photo, unary, crf.parameters, engine="native")))
            for preset in ("par", "pamr"):
                settings = settings_of(preset)  # type: ignore[arg-type]
                found[preset].append(seconds(partial(refined_values, photo, values, settings, device)))
    for name, times in found.items():
        ratios = [first / own for first, own in zip(found["crf"], times, strict=True)]
        print(f"{name}: {1000 * statistics.median(times):.0f} ms a photo, CRF ÷ {name} {statistics.median(ratios):.2f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
