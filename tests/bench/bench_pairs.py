"""A training step's affinities and their gradients against the published way, which gathers both cells of every pair.

    python tests/bench/bench_pairs.py [BATCH]

AffinityNet: embeddings of 448 channels on 56×56 cells (crops of 448 px), radius 5; IRN: boundaries of 128×128 cells
(crops of 512 px), radius 10. Forward and backward passes, both ways in turn, the fastest of ROUNDS each; memory in
processes of their own. The published way compares only cells around which the whole half disc fits; ours, all.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from camkit.methods.walk.affinity import half_disc, path
from camkit.methods.walk.learning import boundary_affinities, feature_affinities
from tests.bench.bench_memory import LAUNCHER

ROUNDS = 3
BATCH = 4


def inner(size: int, radius: int) -> Tensor:
    """Numbers of the cells to whose sides and below the half disc fits."""
    reach = radius - 1
    return torch.arange(size * size).view(size, size)[: size - reach, reach : size - reach].flatten()


def gathered_features(features: Tensor, radius: int) -> Tensor:
    """[B, D, h, h] → [B, K, n]."""
    size = features.shape[-1]
    flat, here = features.flatten(2), inner(size, radius)
    there = torch.cat([here + dy * size + dx for dy, dx in half_disc(radius)])
    of_there = flat.index_select(2, there).unflatten(2, (-1, len(here)))
    return (-(of_there - flat.index_select(2, here)[:, :, None]).abs().mean(dim=1)).exp()


def gathered_boundaries(boundary: Tensor, radius: int) -> Tensor:
    """[B, h, h] → [B, K, n], ways of one length at a time."""
    size, flat, here = boundary.shape[-1], boundary.flatten(1), inner(boundary.shape[-1], radius)
    by_length: dict[int, list[Tensor]] = {}
    for offset in half_disc(radius):
        way = torch.stack([here + dy * size + dx for dy, dx in path(offset)])
        by_length.setdefault(len(way), []).append(way)
    found = []
    for ways in by_length.values():
        places = torch.stack(ways)
        met = flat.index_select(1, places.flatten()).view(len(flat), *places.shape)
        found.append(1 - F.max_pool2d(met, (met.shape[2], 1)).squeeze(2))
    return torch.cat(found, dim=1)


def embedding(batch: int) -> Tensor:
    torch.manual_seed(0)
    return torch.randn(batch, 448, 56, 56, requires_grad=True)


def boundaries(batch: int) -> Tensor:
    torch.manual_seed(0)
    return torch.rand(batch, 128, 128, requires_grad=True)


Way = Callable[[Tensor, int], Tensor]
WORK: Mapping[str, tuple[Callable[[int], Tensor], int, Way, Way]] = {
    "affinitynet": (embedding, 5, feature_affinities, gathered_features),
    "irn": (boundaries, 10, boundary_affinities, gathered_boundaries),
}


def step(kind: str, batch: int, *, published: bool) -> float:
    """Seconds of the affinities and of the gradient of their mean."""
    make, radius, own, gathered = WORK[kind]
    values = make(batch)
    start = time.perf_counter()
    (gathered if published else own)(values, radius).mean().backward()
    return time.perf_counter() - start


def megabytes(code: str) -> float:
    code = f"from tests.bench.bench_pairs import *; {code}"
    result = subprocess.run([sys.executable, "-c", LAUNCHER, "-c", code], stdout=subprocess.PIPE, check=True)
    return float(result.stdout.split()[-1])


def main() -> None:
    batch = int(sys.argv[1]) if sys.argv[1:] else BATCH
    print(f"batches of {batch}, {torch.get_num_threads()} threads")
    for kind in WORK:
        took = [(step(kind, batch, published=False), step(kind, batch, published=True)) for _ in range(ROUNDS)]
        own, published = (min(column) for column in zip(*took, strict=True))
        print(f"{kind}: {1000 * own:.0f} ms, published way {1000 * published:.0f} ms: {published / own:.2f} times")
        idle = megabytes(f"WORK['{kind}'][0]({batch})")
        peaks = [megabytes(f"step('{kind}', {batch}, published={way})") - idle for way in (False, True)]
        ratio = peaks[1] / peaks[0]
        print(f"  memory above the input: {peaks[0]:.0f} MB, published way {peaks[1]:.0f} MB: {ratio:.1f} times")


if __name__ == "__main__":
    main()
