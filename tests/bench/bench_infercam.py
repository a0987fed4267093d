"""What InferCam costs against CAM: pixels that go through the network, and time per pixel.

    python tests/bench/bench_infercam.py CHECKPOINT VOC_ROOT [PHOTOS] [LABELS] [RESIZE]

The whole stage is run for both on the same photos; a bare loop repeats just the forwards of each, on tensors of the
same shapes that lie ready in memory: that is the floor.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import torch

import camkit
from camkit.pipeline.device import choose_device, inference
from camkit.settings.infercam import FAST, settings_of
from camkit.stages import maps
from camkit.stages.network import load_network

ROUNDS = 3


def counting(network: Any, shapes: Counter[tuple[int, ...]]) -> None:
    """Every input of the network is counted by its shape."""
    features = network.features

    def counted(x: torch.Tensor) -> torch.Tensor:
        shapes[tuple(x.shape)] += 1
        return features(x)

    network.features = counted


def pixels(shapes: Counter[tuple[int, ...]]) -> int:
    return sum(times * batch * height * width for (batch, _, height, width), times in shapes.items())


def bare(network: Any, shapes: Counter[tuple[int, ...]]) -> float:
    inputs = {shape: torch.randn(shape) for shape in shapes}
    start = time.perf_counter()
    for shape, times in shapes.items():
        for _ in range(times):
            network.features(inputs[shape])
    return time.perf_counter() - start


def main() -> None:
    ckpt, root = Path(sys.argv[1]), Path(sys.argv[2])
    photos = int(sys.argv[3]) if len(sys.argv) > 3 else 6
    labels = Path(sys.argv[4]) if len(sys.argv) > 4 else None
    resize = sys.argv[5] if len(sys.argv) > 5 else None
    inputs = camkit.Inputs(root, list="val", labels=labels, limit=photos)
    device = choose_device("cpu")
    network = load_network(camkit.Network(ckpt), device).network
    kinds: dict[str, Any] = {
        "cam": lambda out: camkit.cam(inputs, camkit.Network(ckpt), out, resize=resize),
        "infercam": lambda out: camkit.infercam(inputs, camkit.Network(ckpt), out, resize=resize),
        "infercam --fast": lambda out: camkit.infercam(
            inputs, camkit.Network(ckpt), out, resize=resize, settings=settings_of(changes=FAST)
        ),
    }
    shapes: dict[str, Counter[tuple[int, ...]]] = {name: Counter() for name in kinds}
    seconds: dict[str, list[float]] = {name: [] for name in kinds}
    loader = maps.load_network
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(ROUNDS + 1):
            for name, run in kinds.items():

                def load(*arguments: Any, name: str = name, turn: int = turn, **options: Any) -> Any:
                    loaded = loader(*arguments, **options)
                    if turn == 0:
                        counting(loaded.network, shapes[name])
                    return loaded

                maps.load_network = load
                seconds[name].append(run(camkit.Output(Path(folder) / f"{turn}-{name}.h5")).seconds)
    maps.load_network = loader
    floors = {}
    with inference(device):
        for name in kinds:
            floors[name] = min(bare(network, shapes[name]) for _ in range(2))
    base = pixels(shapes["cam"]), sorted(seconds["cam"][1:])[ROUNDS // 2]
    print(f"{photos} photos; per photo")
    for name in kinds:
        forwards = sum(shape[0] * times for shape, times in shapes[name].items())
        pushed, took = pixels(shapes[name]), sorted(seconds[name][1:])[ROUNDS // 2]
        times = took / base[1]
        print(
            f"{name:16} {forwards / photos:6.1f} forwards, {pushed / photos / 1e6:6.2f} Mpx "
            f"({pushed / base[0]:.2f}x cam), {took / photos:6.3f} s ({times:.2f}x cam; "
            f"{times / (pushed / base[0]):.3f} per pixel), "
            f"bare forwards {floors[name] / photos:6.3f} s, reached {100 * floors[name] / took:.0f} %"
        )


if __name__ == "__main__":
    main()
