"""What a photo costs in each network of the zoo, beside resnet50; and EfficientNet-Lite beside timm's, where timm is.

    python tests/bench/bench_networks.py [WIDTH HEIGHT]

Features of one photo at output stride 16 as the commands compute them (batch norms folded, the order of the weights
that is the faster one), on one thread. CPU-seconds: the best of ROUNDS that take turns, since machines are shared.
Memory: the highest of a process of its own, above what it has before the first photo.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path

import torch
from torch import Tensor, nn

from camkit.models import zoo
from camkit.models.classifier import fold_batch_norms

ROUNDS = 6
STRIDE = 16
NAMES = ("resnet50", "resnet38", "vgg16", "resnet18", *(f"efficientnet-lite{size}" for size in range(5)))
BASE = "resnet50"
TIMM = {f"timm tf_efficientnet_lite{size}": f"tf_efficientnet_lite{size}" for size in (0, 2)}


def ready(name: str) -> Callable[[Tensor], Tensor]:
    if name in TIMM:
        import timm  # type: ignore[import-not-found]

        network = timm.create_model(TIMM[name], pretrained=False, output_stride=STRIDE).eval()
        return network.to(memory_format=torch.channels_last).forward_features
    possible = zoo.build(name, 20).output_strides
    own = zoo.build(name, 20, output_stride=STRIDE if STRIDE in possible else None).eval()
    fold_batch_norms(own)
    return _ordered(own, channels_last=own.channels_last).features  # type: ignore[operator] # a ClassifierNetwork


def _ordered(network: nn.Module, *, channels_last: bool) -> nn.Module:
    return network.to(memory_format=torch.channels_last if channels_last else torch.contiguous_format)  # type: ignore[call-overload]


def seconds_of(networks: Mapping[str, Callable[[Tensor], Tensor]], photo: Tensor) -> dict[str, float]:
    best = dict.fromkeys(networks, float("inf"))
    for _ in range(ROUNDS):
        for name, features in networks.items():
            start = time.process_time()
            features(photo)
            best[name] = min(best[name], time.process_time() - start)
    return best


def peak() -> float:
    """Of this process's memory since `forget_peak`, in MB; Linux alone tells."""
    status = Path("/proc/self/status").read_text()
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM")) / 1024


def forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def main() -> None:
    words = sys.argv[1:]
    alone = words.pop(0) if words and not words[0].isdigit() else None
    width, height = map(int, words or ("400", "304"))
    torch.set_num_threads(1)
    photo = torch.randn(1, 3, height, width)
    with torch.inference_mode():
        if alone is not None:
            features = ready(alone)
            forget_peak()
            before = peak()
            features(photo)
            print(f"{peak() - before:.0f}")
            return
        names = [*NAMES, *(TIMM if find_spec("timm") else ())]
        seconds = seconds_of({name: ready(name) for name in names}, photo)
    print("| network | CPU-seconds a photo | of resnet50's | peak memory |\n|---|---|---|---|")
    for name in names:
        command = [sys.executable, __file__, name, str(width), str(height)]
        memory = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
        print(f"| {name} | {seconds[name]:.3f} | {seconds[name] / seconds[BASE]:.2f} | {memory} MB |")


if __name__ == "__main__":
    main()
