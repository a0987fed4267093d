"""What the stages reach on a device: photos a second, share of the time in the network, peak memory, floor.

    python -m tests.bench.bench_gpu [--device cuda] [--ckpt FILE] [--photos 64] [--precision bfloat16] [--out FILE.json]

Drawn photos of three sizes that VOC has. A stage runs once to warm up, once to be timed, once with the network's calls
timed, and at last with their inputs alone, ready in memory: the floor. A seeded resnet50 where no checkpoint is given.
"""

from __future__ import annotations

import argparse
import json
import resource
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

import camkit
from camkit.pipeline.device import Device, choose_device, inference
from camkit.settings.infercam import FAST, settings_of
from camkit.stages import classify as classify_stage
from camkit.stages import maps
from tests.models.tiny import tiny_checkpoint

SIZES = ((375, 500), (333, 500), (500, 375))
Run = Callable[[camkit.Inputs, camkit.Network, camkit.Output, camkit.Runtime], float]


def stages() -> dict[str, Run]:
    def of(command: Any, **settings: Any) -> Run:
        def run(*arguments: Any) -> float:
            made = command(*arguments, **settings)
            return float((made[0] if isinstance(made, tuple) else made).seconds)

        return run

    fast = settings_of(changes=FAST)
    return {
        "classify": of(camkit.classify),
        "cam": of(camkit.cam),
        "infercam": of(camkit.infercam),
        "infercam --snap 96": of(camkit.infercam, settings=replace(settings_of(), snap=96)),
        "infercam --fast": of(camkit.infercam, settings=fast),
        "infercam --fast --snap 96": of(camkit.infercam, settings=replace(fast, snap=96)),
    }


def write_photos(folder: Path, count: int) -> camkit.Inputs:
    rng = np.random.default_rng(0)
    for n in range(count):
        height, width = SIZES[n % len(SIZES)]
        coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3), dtype=np.uint8)).resize((width, height))
        noise = rng.integers(-20, 21, (height, width, 3))
        pixels = np.clip(np.asarray(coarse).astype(int) + noise, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{n:05d}.jpg", quality=90)
    (folder / "labels.csv").write_text("".join(f"{n:05d},{n % 20},{(n + 7) % 20}\n" for n in range(count)))
    return camkit.Inputs(folder, labels=folder / "labels.csv")


class Watched:
    """A network's features, counted by the shape of their input, and timed; empty: zeros in their place."""

    def __init__(self, *, empty: bool = False) -> None:
        self.shapes: Counter[tuple[int, ...]] = Counter()
        self.seconds, self.empty = 0.0, empty
        self.cpu: list[float] = []  # before every call
        self.features: Any = None

    def watch(self, network: Any) -> None:
        self.features = network.features
        channels = network.weight.shape[1]

        def features(x: torch.Tensor) -> torch.Tensor:
            self.shapes[tuple(x.shape)] += 1
            self.cpu.append(time.process_time())
            if self.empty:
                return x.new_zeros(len(x), channels, -(-x.shape[2] // 16), -(-x.shape[3] // 16))
            start = now(x)
            made = self.features(x)
            self.seconds += now(x) - start
            return made

        network.features = features


def now(x: torch.Tensor) -> float:
    if x.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter()


def watching(watched: Watched | None, work: Callable[[], float]) -> float:
    """Run a stage whose network is watched."""
    load = maps.load_network

    def watched_load(*arguments: Any, **options: Any) -> Any:
        loaded = load(*arguments, **options)
        if watched is not None:
            watched.watch(loaded.network)
        return loaded

    maps.load_network = classify_stage.load_network = watched_load
    try:
        return work()
    finally:
        maps.load_network = classify_stage.load_network = load


def floor_of(watched: Watched, device: Device) -> float:
    with inference(device):
        inputs = {shape: torch.randn(shape, device=device.torch_device) for shape in watched.shapes}
        start = now(next(iter(inputs.values())))
        for shape, times in watched.shapes.items():
            for _ in range(times):
                made = watched.features(inputs[shape])
        return now(made) - start


def peak_mb(device: Device) -> float:
    if device.is_cpu:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return torch.cuda.max_memory_allocated() / 1e6


def bench(name: str, run: Run, arguments: tuple[Any, ...], folder: Path, runtime: Any, photos: int) -> dict[str, Any]:
    device = choose_device(runtime.device, runtime.precision)
    if not device.is_cpu:
        torch.cuda.reset_peak_memory_stats()

    def work() -> float:
        return run(*arguments, camkit.Output(folder / "out.h5", overwrite=True), runtime)

    work()
    seconds, watched = work(), Watched()
    peak, whole = peak_mb(device), watching(watched, work)
    return {
        "command": name,
        "photos_per_second": round(photos / seconds, 2),
        "network_share": round(watched.seconds / whole, 3),
        "peak_mb": round(peak),
        "shapes": len(watched.shapes),
        "calls_per_photo": round(sum(watched.shapes.values()) / photos, 2),
        "floor_share": round(floor_of(watched, device) / seconds, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--precision", default="auto")
    parser.add_argument("--ckpt", type=Path)
    parser.add_argument("--photos", type=int, default=64)
    parser.add_argument("--out", type=Path)
    asked = parser.parse_args()
    runtime = camkit.Runtime(device=asked.device, precision=asked.precision)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inputs = write_photos(folder, asked.photos)
        ckpt = asked.ckpt or tiny_checkpoint(folder / "r50.pth", "resnet50-irn", width=64)
        table = []
        for stage, run in stages().items():
            table.append(bench(stage, run, (inputs, camkit.Network(ckpt)), folder, runtime, asked.photos))
            print(json.dumps(table[-1]), flush=True)
    if asked.out:
        told = {"device": asked.device, "precision": asked.precision, "torch": torch.__version__, "stages": table}
        asked.out.write_text(json.dumps(told, indent=1) + "\n")


if __name__ == "__main__":
    main()
