"""Merging of superpixels against a program that compares two at a time: time per photo, and whether they agree.

    python tests/bench/bench_merging.py CHECKPOINT VOC_ROOT [PHOTOS] [LAYER]

Photos of 500×375, Felzenszwalb's superpixels as `camkit superpixels` makes them, merged to 64 by the checkpoint's
features. Both programs get the same features; of ours the fastest of ROUNDS runs counts, each on one thread.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import camkit
from camkit.methods.layers import layer_features
from camkit.methods.merging import merge, region_features
from camkit.methods.superpixels import segment
from camkit.pipeline.device import choose_device, inference
from camkit.settings.superpixels import Felzenszwalb, Merging, Pairs
from camkit.stages.network import load_network
from tests.reference.merging import merge_slowly

ROUNDS = 5
SIZE = (375, 500)
PAIRS: tuple[Pairs, ...] = ("adjacent", "all")


def read_photos(root: Path, count: int) -> Iterator[np.ndarray]:
    for path in sorted((root / "JPEGImages").glob("*.jpg")):
        with Image.open(path) as image:
            if count and image.size == SIZE[::-1]:
                count -= 1
                yield np.asarray(image.convert("RGB"))


def timed(work: Callable[[], Any], rounds: int = ROUNDS) -> tuple[float, Any]:
    """The fastest of so many runs, in ms, and what it gave."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        result = work()
        times.append(1000 * (time.perf_counter() - start))
    return min(times), result


def bench_photo(photo: np.ndarray, network: Any, layer: str | None) -> dict[str, float]:
    """The ms that every part takes, and how often ours fits into the other program's time."""
    ms: dict[str, float] = {}
    pixels = torch.from_numpy(photo.copy()).permute(2, 0, 1)[None].float()
    ms["superpixels"], regions = timed(lambda: segment(photo, SIZE, Felzenszwalb()), 1)
    ms["network"], planes = timed(lambda: layer_features(pixels, network, layer), 2)
    ms["their features"], features = timed(lambda: region_features(planes[0].numpy(), regions))
    for pairs in PAIRS:
        merging = Merging(64, pairs)
        took, own = timed(lambda: merge(regions, features, merging))  # noqa: B023 - called here and now
        slow, expected = timed(lambda: merge_slowly(regions, features, 64, pairs == "adjacent"), 1)  # noqa: B023
        ms[pairs], ms[f"{pairs}, ratio"] = took, slow / took
        agree = "equal" if (own == expected).all() else "NOT EQUAL"
        print(f"{regions.max() + 1:4} superpixels, {pairs:8}: {took:5.1f} ms, one by one {slow:6.0f} ms, {agree}")
    return ms


def main() -> None:
    photos = list(read_photos(Path(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 5))
    layer = sys.argv[4] if sys.argv[4:] else None
    torch.set_num_threads(1)
    device = choose_device("cpu")
    network = load_network(camkit.Network(Path(sys.argv[1])), device).network
    merge(np.arange(4).reshape(2, 2), np.ones((4, 2)), Merging(1))  # loads the machine code, or compiles it
    with inference(device):
        measured = [bench_photo(photo, network, layer) for photo in photos]
    for name in measured[0]:
        values = [one[name] for one in measured]
        print(f"{name}: mean {np.mean(values):.0f}, least {min(values):.0f}, most {max(values):.0f}")


if __name__ == "__main__":
    main()
