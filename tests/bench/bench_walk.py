"""Random walks against the published way, squaring the dense transition matrix eight times, in one run.

    python tests/bench/bench_walk.py [PHOTO]

A photo of 500×375 at stride 8 and 4, affinities of its colours within radius 5, 256 steps, for 2, 3 and 21 maps. One of
the eight squarings is timed and counted eight times: all take as long. Per walk the fastest of ROUNDS counts. Memory in
processes of their own; bandwidth against how fast NumPy sums 256 MB. Without a photo: smooth random colours.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np
import torch
from PIL import Image

from camkit.methods.walk.affinity import colour_affinity, colours_of_cells, half_disc
from camkit.methods.walk.propagation import Stencil, polynomial_weights, random_walk
from tests.bench.bench_memory import LAUNCHER

ROUNDS = 9
RADIUS, POWER, STEPS = 5, 10, 256


def colours(stride: int, path: str | None = None) -> torch.Tensor:
    if path:
        with Image.open(path) as image:
            photo = np.array(image.convert("RGB").resize((500, 375)))
    else:
        rng = np.random.default_rng(0)
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8))
        photo = np.array(coarse.resize((500, 375), Image.Resampling.BICUBIC))
    return colours_of_cells(torch.from_numpy(photo).permute(2, 0, 1).float(), stride)


def affinities(stride: int, path: str | None = None) -> torch.Tensor:
    return colour_affinity(colours(stride, path), RADIUS) ** POWER


def transition(planes: torch.Tensor) -> torch.Tensor:
    """The dense matrix [n, n], its columns normalised."""
    height, width = planes.shape[1:]
    cells = torch.arange(height * width).view(height, width)
    dense = torch.eye(height * width)
    for plane, (dy, dx) in zip(planes, half_disc(RADIUS), strict=True):
        left, right = max(-dx, 0), width - max(dx, 0)
        here, there = cells[: height - dy, left:right], cells[dy:, left + dx : right + dx]
        dense[here, there] = dense[there, here] = plane[: height - dy, left:right]
    return dense.div_(dense.sum(dim=0, keepdim=True))


def fastest(work: Callable[[], object], rounds: int = ROUNDS) -> float:
    """Seconds."""
    took = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        took.append(time.perf_counter() - start)
    return min(took)


def bandwidth() -> float:
    """GB/s at which one core reads memory."""
    values = np.ones(64 << 20, np.float32)
    return values.nbytes / fastest(values.sum) / 1e9


def compare(stride: int, path: str | None) -> None:
    planes = affinities(stride, path)
    dense = transition(planes)
    start = time.perf_counter()
    squared = dense @ dense
    one = time.perf_counter() - start
    seconds = 8 * one
    rate = 2 * len(dense) ** 3 / one / 1e9
    print(f"stride {stride}, {len(dense)} cells: eight squarings {seconds:.2f} s ({rate:.0f} GFLOP/s)")
    del dense, squared
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    for maps in (2, 3, 21):
        values = torch.rand(maps, *planes.shape[1:])
        fast = fastest(lambda values=values: random_walk(values, planes, RADIUS, STEPS))
        slow = fastest(lambda values=values: random_walk(values, planes, RADIUS, STEPS, one_by_one=True))
        off = random_walk(values, planes, RADIUS, STEPS) - random_walk(values, planes, RADIUS, STEPS, one_by_one=True)
        print(
            f"  {maps:2} maps: {STEPS} products {1000 * slow:.1f} ms, {len(polynomial_weights(STEPS)) - 1} products "
            f"{1000 * fast:.1f} ms (largest difference {float(off.abs().max()):.1e}): "
            f"dense / sparse {seconds / slow:.0f} and {seconds / fast:.0f}"
        )
    torch.set_num_threads(threads)


def agreement(path: str | None) -> None:
    """At stride 8, where the dense power can be had."""
    planes = affinities(8, path)
    dense = transition(planes)
    for _ in range(8):
        dense = dense @ dense
    values = torch.rand(3, *planes.shape[1:])
    off = random_walk(values, planes, RADIUS, STEPS).flatten(1) - values.flatten(1) @ dense
    print(f"stride 8: dense and sparse differ by {float(off.abs().max()):.1e} at most")


def traffic(stride: int, path: str | None) -> None:
    planes = affinities(stride, path)
    stencil = Stencil.of(planes, RADIUS)
    values = torch.zeros(2, stencil.planes.shape[1])
    took = fastest(lambda: stencil.average(values), 5 * ROUNDS)
    read = stencil.planes.nbytes / took / 1e9
    share = read / bandwidth()
    size = stencil.planes.nbytes / 1e6
    print(
        f"stride {stride}: a product reads {size:.1f} MB of affinities at {read:.1f} GB/s, {share:.0%} of the bandwidth"
    )


def megabytes(work: str, stride: int) -> float:
    code = f"from tests.bench.bench_walk import {work}; {work}({stride})"
    result = subprocess.run([sys.executable, "-c", LAUNCHER, "-c", code], stdout=subprocess.PIPE, check=True)
    return float(result.stdout.split()[-1])


def idle(stride: int) -> None:
    """What the libraries need."""
    random_walk(torch.rand(2, 4, 4), affinities(stride)[:, :4, :4].contiguous(), RADIUS, 2)
    torch.rand(64, 64).matmul(torch.rand(64, 64))


def sparse(stride: int) -> None:
    idle(stride)
    planes = affinities(stride)
    random_walk(torch.rand(2, *planes.shape[1:]), planes, RADIUS, STEPS)


def squaring(stride: int) -> None:
    """The matrix and the place for its square, as each of eight needs them; that it is computed too changes nothing."""
    idle(stride)
    dense = transition(affinities(stride))
    torch.empty_like(dense).copy_(dense)


def main() -> None:
    path = sys.argv[1] if sys.argv[1:] else None
    print(f"{torch.get_num_threads()} threads for dense products; the walk has one")
    agreement(path)
    for stride in (8, 4):
        compare(stride, path)
    for stride in (8, 4, 1):
        traffic(stride, path)
    for stride in (8, 4):
        nothing = megabytes("idle", stride)
        own, published = megabytes("sparse", stride) - nothing, megabytes("squaring", stride) - nothing
        print(f"stride {stride}: sparse {own:.0f} MB, dense {published:.0f} MB, without the libraries' {nothing:.0f}")


if __name__ == "__main__":
    main()
