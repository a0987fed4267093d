"""What a step of `segment-train` and a photo of `segment` cost beside the bare network; and a photo of 48 megapixels.

    python -m tests.bench.bench_segment [PHOTOS]

A light network on EfficientNet-Lite0 with random weights, photos of 500×375, one thread. A command's cost is the
difference of two runs, of which one does twice as much: start-up falls out. The bare network does the same passes on
tensors that are ready. CPU-seconds; memory is the peak of the whole process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image

from camkit.data.classes import VOC_CLASSES
from camkit.defaults import CPU_BATCH
from camkit.methods import segmentation as method
from camkit.models.segmentation.checkpoint import new_segmentation
from camkit.settings.recipe import PRESETS
from camkit.settings.segmentation import ARCHITECTURES, LOOKING
from tests.support.segment import draw_saliency, stores_of
from tests.support.world import World, draw_world

TRUNK = "efficientnet-lite0"
PHOTO = (375, 500)
LARGE = (6000, 8000)
LIGHT = PRESETS["light"]

# A process inherits the peak of the one it was forked from: a lean one stands between.
LAUNCHER = """
import os, sys
_, status, usage = os.wait4(os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, *sys.argv[1:]]), 0)
print(usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)
sys.exit(status != 0)
"""
Cost = tuple[float, float]


def cost(*words: object, folder: Path) -> Cost:
    """CPU-seconds and megabytes of a process."""
    command = [sys.executable, "-c", LAUNCHER, "-m", *map(str, words)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[2])}
    result = subprocess.run(command, cwd=folder, stdout=subprocess.PIPE, check=True, env=environment)
    seconds, peak = result.stdout.split()[-2:]
    return float(seconds), float(peak)


def difference(run: Callable[[int], Cost], amount: int) -> Cost:
    """Of one unit, by runs of `amount` and of twice as many."""
    (once, _), (twice, peak) = run(amount), run(2 * amount)
    return (twice - once) / amount, peak


def train(world: World, folder: Path, steps: int, *options: object) -> Cost:
    epochs = steps * LIGHT.batch_size // len(world.ids)
    return cost(
        "camkit", "segment-train", "-q", "masks.h5", "--trunk", TRUNK, "--epochs", epochs, *options,
        "--out", f"{epochs}{len(options)}.safetensors", folder=folder,
    )  # fmt: skip


def see(world: World, folder: Path, photos: int, *options: object) -> Cost:
    words = ("--ckpt", "10.safetensors", "--images", world.root, "--limit", photos)
    return cost("camkit", "segment", "-q", *words, *options, "--out", f"{photos}.h5", folder=folder)


def bare(what: str, amount: int) -> None:
    """In a process of its own."""
    torch.manual_seed(0)
    network = new_segmentation(ARCHITECTURES["light"], TRUNK, VOC_CLASSES).network
    if what == "step":
        crop = LIGHT.augmentation.crop
        x, labels = torch.randn(LIGHT.batch_size, 3, crop, crop), torch.randint(0, 21, (LIGHT.batch_size, crop, crop))
        optimiser = torch.optim.AdamW(network.parameters(), LIGHT.rate)
        for _ in range(amount):
            optimiser.zero_grad()
            F.cross_entropy(F.interpolate(network.logits(x), crop, mode="bilinear"), labels).backward()
            optimiser.step()
        return
    longer = LIGHT.augmentation.resize or max(PHOTO)
    seen = [round(side * longer / max(PHOTO)) for side in PHOTO]
    network.eval()
    with torch.inference_mode():
        for _ in range(amount // CPU_BATCH):
            for scale in LOOKING["light"].scales:
                x = method.scaled(torch.rand(CPU_BATCH, 3, *seen), scale, "bilinear")
                for _ in range(1 + LOOKING["light"].flip):
                    network.logits(x)


def row(name: str, found: Cost, beside: Cost) -> None:
    print(f"{name:<34}{found[0]:8.3f} CPU-s ({found[0] / beside[0]:.2f} times){found[1]:8.0f} MB", flush=True)


def main() -> None:
    if sys.argv[1:2] == ["bare"]:
        torch.set_num_threads(1)
        bare(sys.argv[2], int(sys.argv[3]))
        return
    count = int(sys.argv[1]) if sys.argv[1:] else 2 * LIGHT.batch_size
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        world = draw_world(folder, count, [PHOTO])
        stores_of(world, folder)
        draw_saliency(world, folder / "saliency")

        def of_bare(what: str) -> Callable[[int], Cost]:
            return lambda amount: cost("tests.bench.bench_segment", "bare", what, amount, folder=folder)

        steps = count // LIGHT.batch_size
        step = difference(of_bare("step"), steps)
        row("step, bare network", step, step)
        row("segment-train", difference(lambda n: train(world, folder, n), steps), step)
        with_saliency = ("--saliency", folder / "saliency")
        row("segment-train --saliency", difference(lambda n: train(world, folder, n, *with_saliency), steps), step)
        half = count // 2 // CPU_BATCH * CPU_BATCH
        photo = difference(of_bare("photo"), half)
        row("photo, bare network", photo, photo)
        row("segment", difference(lambda n: see(world, folder, n), half), photo)
        large(world, folder)


def large(world: World, folder: Path) -> None:
    """The network is a tiny one: what is asked is what surrounds it."""
    photo: Any = np.random.default_rng(0).integers(0, 256, (LARGE[0] // 8, LARGE[1] // 8, 3), dtype=np.uint8)
    (folder / "large").mkdir()
    Image.fromarray(photo).resize(LARGE[::-1]).save(folder / "large/photo.jpg")
    tiny = ("--trunk", "toy", "--width", 4, "--epochs", 1, "--limit", 8, "--crop", 48, "--resize", 48)
    cost("camkit", "segment-train", "-q", "masks.h5", *tiny, "--out", "tiny.safetensors", folder=folder)
    words = ("--ckpt", "tiny.safetensors", "--images", "large", "--resize", "native", "--png", "png")
    seconds, peak = cost("camkit", "segment", "-q", *words, folder=folder)
    print(f"48 megapixels, six views, --png: {seconds:.0f} CPU-s, {peak:.0f} MB")


if __name__ == "__main__":
    main()
